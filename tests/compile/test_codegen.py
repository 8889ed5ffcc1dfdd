"""Generated kernels: their text, their vector instructions, their independence of sizes.

The texts are kept in ``tests/golden``. After a change that is meant, write them anew with
``python -m pytest tests/compile/test_codegen.py --golden`` and read the difference.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from staged import recording_of

import tapegrad as tg
from tapegrad.compile.backends.llvm.kernels import module
from tapegrad.compile.backends.llvm.machine import assembly
from tapegrad.compile.backends.llvm.translation import Parameter

GOLDEN = Path(__file__).parents[1] / "golden"
X = np.linspace(0.5, 2.0, 12).reshape(3, 4)


def benchmark(x):
    return np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))


def softmax(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


PROGRAMS = {
    "value_and_grad": (tg.value_and_grad(benchmark), X),
    "softmax": (softmax, X),
    "column_sums": (lambda x: np.sum(np.exp(x) * x, axis=0), X),
    "broadcast": (lambda x, y: np.sqrt(x * x + y) * 3.5, X, X[:, :1].copy()),
    "float32_strided": (lambda x: np.where(x > 1, x * 0.25, -x), X.astype("f4")[:, ::2]),
}


def check_golden(path, text, request):
    if request.config.getoption("--golden"):
        path.write_text(text)
    assert text == path.read_text(), f"see {path}; write it anew with --golden if that is meant"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_of_typical_kernels_is_as_it_was(name, request):
    function, *args = PROGRAMS[name]
    plan = recording_of(function, *args).plan
    text = "\n\n".join(kernel.source for kernel in plan.kernels)
    check_golden(GOLDEN / f"{name}.py", text, request)


def layer(x, params, rate):
    hidden = np.tanh(x @ params["w"] + params["b"])
    scores = np.sin(hidden) * rate
    if np.sum(scores) < 100:
        scores = scores - np.max(scores, axis=1, keepdims=True)
    return np.sum(np.exp(scores), axis=0), np.linalg.norm(hidden, axis=0)


@pytest.mark.parametrize(
    ("name", "function", "args"),
    [
        ("layer_plan", layer, (X, {"w": np.ones((4, 5)), "b": np.ones(5)}, 0.1)),
        ("layer_gradient_plan", tg.grad(lambda x, p: np.sum(layer(x, p, 1.0)[0]), 1),
         (X, {"w": np.ones((4, 5)), "b": np.ones(5)})),
    ],
)  # fmt: skip
def test_the_text_of_typical_plans_is_as_it_was(name, function, args, request):
    source = recording_of(function, *args).plan.source
    text = re.sub(r"(\.py):\d+(,[\s#]+\d+)*", r"\1", source)  # lines move
    check_golden(GOLDEN / f"{name}.py", text, request)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_does_not_depend_on_sizes(name):
    function, *args = PROGRAMS[name]
    larger = [np.repeat(np.repeat(a, 3, 0), 5 if a.shape[1] > 1 else 1, 1) for a in args]
    larger = [a[:, :: 2 * (name == "float32_strided") or 1] for a in larger]
    first, second = recording_of(function, *args).plan, recording_of(function, *larger).plan
    assert [k.source for k in first.kernels] == [k.source for k in second.kernels]
    assert second.compiled == 0


def test_the_benchmark_is_computed_with_vector_instructions():
    plan = recording_of(tg.value_and_grad(benchmark), np.linspace(0, 1, 64)).plan
    (source,) = [kernel.source for kernel in plan.kernels]
    parameters = [Parameter(name, "float64", 1) for name in ("a0", "o0")]
    text = assembly(module(source, (Parameter("n0", "int64"), *parameters)))
    packed = re.findall(r"\bv?(?:mul|add|fmadd\w*|fmla)(?:pd|\s+v\d+\.2d)", text)
    if not packed:
        packed = re.findall(r"\b(?:vmulpd|mulpd|vaddpd|addpd|vfmadd\w+pd|fmul\s+v)", text)
    assert len(packed) > 20
    assert not re.search(r"call\S*\s+\S*\b(?:exp|sin|tanh)\b", text)
