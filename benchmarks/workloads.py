"""Sixteen workloads beside JAX; what is measured, and how, says `beside`."""

from benchmarks.beside import Program, derivative_free, hessian, measured, value_and_grad
from benchmarks.harness import Options, Report
from benchmarks.programs import workloads as w

CHAIN = {"data": w.chain_data, "small": (7,), "group": "chain"}
MIXTURE = (w.mixture, w.mixture_data, (1000, 10, 25), (900, 10, 25), (20, 3, 4))

PROGRAMS = [
    Program("chain of 10", w.chain, size=(10,), other=(12,), **CHAIN),
    Program("chain of 1,000", w.chain, size=(1000,), other=(1100,), **CHAIN),
    Program("chain of 1,000,000", w.chain, size=(1_000_000,), other=(900_000,), **CHAIN),
    Program(
        "chain of 1,000,000, float32",
        w.chain,
        size=(1_000_000, "float32"),
        other=(900_000, "float32"),
        **CHAIN,
    ),
    Program("Rosenbrock", w.rosenbrock, w.chain_data, (100_000,), (90_000,), (10,)),
    Program(
        "Black-Scholes",
        w.black_scholes,
        w.black_scholes_data,
        (1_000_000,),
        (900_000,),
        (9,),
        value_and_grad(0, 2, 3, 4),
    ),
    Program("logistic", w.logistic, w.logistic_data, (20_000, 100), (18_000, 100), (30, 4)),
    Program("mlp, float32", w.mlp, w.mlp_data, (128,), (112,), (5, 12, 6)),
    Program("Gaussian mixture", *MIXTURE, value_and_grad(0, 1, 2, 3)),
    Program("pairwise", w.pairwise, w.pairwise_data, (1500,), (1400,), (12,)),
    Program(
        "rnn",
        w.rnn,
        w.rnn_data,
        (50, 16, 32),
        (50, 12, 32),
        (4, 3, 5),
        value_and_grad(0, 1),
        in_jax=("rnn",),
    ),
    Program(
        "jacobi_2d",
        w.jacobi_2d,
        w.jacobi_2d_data,
        (250,),
        (240,),
        (9,),
        in_jax=("jacobi_2d",),
        portable=False,
    ),
    Program(
        "attention, float32",
        w.attention,
        w.attention_data,
        (4, 8, 128, 32),
        (3, 8, 128, 32),
        (2, 2, 5, 4),
        value_and_grad(0, 1, 2),
    ),
    Program(
        "layer norm, float32",
        w.layer_norm,
        w.layer_norm_data,
        (1024, 1000),
        (1000, 1000),
        (4, 6),
        value_and_grad(0, 1, 2),
    ),
    Program(
        "clip and Adam, float32",
        w.clip_and_adam,
        w.clip_and_adam_data,
        (60,),
        (60, 64, 240),
        (3, 4, 5),
        derivative_free,
    ),
    Program("hessian of 200", w.coupled, w.chain_data, (200,), (190,), (6,), hessian),
]


def run(options: Options) -> Report:
    """Measure the workloads."""
    return measured("workloads", PROGRAMS, options)
