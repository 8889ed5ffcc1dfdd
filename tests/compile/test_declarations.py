"""What a primitive declares is all that the compiler needs: reductions and expansions made up here."""

import numpy as np
import pytest
from staged import names, optimised, recording_of

import tapegrad as tg
from tapegrad.compile.backends.llvm import parts
from tapegrad.compile.passes.pipeline import optimise
from tapegrad.ops.reduce.reductions import reduction
from tapegrad.tape.core.primitive import Primitive, Reduction
from tapegrad.tape.program.verification import verify


def _lifted(g, axis, keepdims):
    return g if keepdims else np.expand_dims(g, axis)


#: The root of a sum of squares, without a word about overflow.
root_sum = reduction(
    "root_sum",
    lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
    lambda g, y, x, axis, keepdims: x * _lifted(g / y, axis, keepdims),
    reduction=Reduction("add", 0.0, each="x * x", finish="sqrt(x)", rounding="wide"),
    register=False,
)

#: The greatest magnitude: a combination that is not a sum.
peak = reduction(
    "peak",
    lambda x, axis, keepdims: np.max(np.abs(x), axis=axis, keepdims=keepdims),
    lambda g, y, x, axis, keepdims: np.where(
        np.abs(x) == _lifted(y, axis, keepdims), np.sign(x) * _lifted(g, axis, keepdims), 0.0
    ),
    reduction=Reduction("maximum", 0.0, each="abs(x)"),
    register=False,
)

#: Two declarations of one softplus: as text, and as other functions.
softplus = Primitive(
    "softplus",
    lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0),
    (lambda g, y, x: g / (1 + np.exp(-x)),),
    family="elementwise",
    kernel="log1p(exp(-abs(x))) + maximum(x, 0)",
    register=False,
)
expanded_softplus = Primitive(
    "expanded_softplus",
    softplus.forward,
    softplus.vjps,
    expansion=lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0),
    register=False,
)


def compiled(function, *args):
    jitted = tg.jit(function, strict=True)
    for _ in range(2):
        jitted(*args)
    return jitted(*args)


@pytest.mark.parametrize("least", [parts.WORTH_DIVIDING, 1000])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("axis", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("primitive", [root_sum, peak], ids=lambda p: p.name)
def test_a_reduction_that_is_declared_fuses_over_any_axes(
    primitive, axis, dtype, least, monkeypatch
):
    monkeypatch.setattr(parts, "WORTH_DIVIDING", least)
    x = np.random.default_rng(0).normal(size=(50, 70)).astype(dtype)

    def function(x):
        y = primitive(np.tanh(x) * 2, axis=axis, keepdims=False)
        return y, np.sum(np.exp(y * 0.1))

    plan = recording_of(function, x).plan
    assert primitive.name in {e.primitive.name for k in plan.kernels for e in k.entries}
    assert not [e for e in plan.library_steps if e.primitive is primitive]
    for got, wanted in zip(compiled(function, x), function(x)):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-5 if dtype == "f4" else 1e-12)
    gradient = tg.grad(lambda x: np.sum(primitive(np.tanh(x), axis=axis, keepdims=True)))
    np.testing.assert_allclose(
        compiled(gradient, x), gradient(x), rtol=1e-4 if dtype == "f4" else 1e-10, atol=1e-7
    )


def test_a_declared_reduction_is_used_within_the_kernel_that_makes_it():
    def function(x):
        return x / root_sum(x, axis=(1,), keepdims=True)

    x = np.random.default_rng(0).normal(size=(5, 7))
    plan = recording_of(function, x).plan
    assert len(plan.kernels) == 1
    assert not plan.library_steps
    assert not plan.kernels[0].call.partials
    np.testing.assert_allclose(compiled(function, x), function(x), rtol=1e-13)


@pytest.mark.parametrize("primitive", [softplus, expanded_softplus], ids=lambda p: p.name)
def test_an_elementwise_operation_fuses_by_its_text_or_by_its_expansion(primitive):
    def function(x):
        return np.sum(primitive(x) * x)

    x = np.linspace(-30, 30, 60)
    for f in (function, tg.value_and_grad(function)):
        plan = recording_of(f, x).plan
        assert len(plan.kernels) == 1
        assert not plan.library_steps
        got, wanted = compiled(f, x), f(x)
        for a, b in zip(got, wanted) if type(got) is tuple else [(got, wanted)]:
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_derivatives_are_those_of_the_primitive_and_not_of_its_expansion():
    # The spread of constant data has the gradient 0; that of a square root of zero is not finite.
    x = np.full((3, 4), 2.0)
    f = tg.grad(lambda x: np.sum(np.std(x, axis=1)))
    assert "std" not in names(optimised(f, x))
    np.testing.assert_array_equal(compiled(f, x), 0)


def test_a_program_that_is_called_as_one_entry_is_written_out_and_keeps_its_lines():
    jitted = tg.jit(lambda x: (np.exp(x) * 2, np.sum(x)), strict=True)
    x = tg.tensor([0.5, 1.5])
    for _ in range(3):
        with tg.Tape() as tape:
            y, total = jitted(x)
            z = y * total
    program = tape.program([x], [z])
    assert "jit_call" in names(program)
    written = optimise(program, verify)
    assert names(written) == ["exp", "multiply", "sum", "multiply"]
    assert all("test_declarations.py" in str(e.where) for e in written.entries)
    (got,) = program.compile()(x.data)
    np.testing.assert_allclose(got, z.data, rtol=1e-14)


def test_what_has_no_kernel_for_its_dtype_is_not_written_out():
    for x in (np.ones((3, 4), np.float16), np.ones((3, 0)), np.arange(12).reshape(3, 4)):
        assert "mean" in names(optimised(lambda x: np.mean(x, axis=0) + 0.5, x))


def test_what_an_expansion_joins_and_a_rule_takes_apart_is_never_joined():
    def loss(x, gamma, beta):
        return np.sum(np.square(tg.nnet.batchnorm(x, gamma=gamma, beta=beta, eps=1e-3)))

    args = np.random.default_rng(0).normal(size=(4, 3, 5)), np.ones(3), np.zeros(3)
    gradient = tg.grad(loss, argnums=(0, 1, 2))
    assert "concatenate" not in names(optimised(gradient, *args))
    got, wanted = compiled(gradient, *args), gradient(*args)
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    for i, a in enumerate(got):
        assert not any(np.shares_memory(a, b) for b in got[:i])


def test_a_constant_that_an_expansion_joins_is_returned_as_one():
    def loss(x, gamma, beta):
        return np.sum(tg.nnet.batchnorm(x, gamma=gamma, beta=beta, eps=1e-3))

    args = np.random.default_rng(0).normal(size=(4, 3, 5)), np.ones(3), np.zeros(3)
    gradient = tg.grad(loss, (0, 1, 2))
    assert "concatenate" not in names(optimised(gradient, *args))
    results = [compiled(gradient, *args) for _ in range(2)]
    for got in results:
        np.testing.assert_array_equal(got[2], 20.0)
        got[2][...] = 7.0


def test_two_results_stay_two_arrays_whatever_they_are_made_of():
    def function(x):
        y = np.exp(x)
        return y, np.positive(y), np.reshape(y * 1.0, y.shape), np.concatenate([y, y])[:3]

    results = compiled(function, np.linspace(0, 1, 3))
    for i, a in enumerate(results):
        assert not any(np.shares_memory(a, b) for b in results[:i])
