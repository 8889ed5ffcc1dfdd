"""What users pass that does not fit: errors say what, and where in the nest."""

import numpy as np
import pytest

import tapegrad as tg

X = np.ones(3)
FIRST = lambda d: d["a"] * 1.0

CASES = {
    "another structure of tangents": (
        lambda: tg.jvp(FIRST, ({"a": X},), ({"b": X},)),
        r"at \[0\], the structure should be \{'a': \*\}, and is \{'b': \*\}",
    ),
    "a tangent of another shape": (
        lambda: tg.jvp(lambda d: d["a"][1], ({"a": (X, X)},), ({"a": (X, X[:2])},)),
        r"jvp: the tangent at \[0\]\['a'\]\[1\] has shape \(2,\), its primal \(3,\)",
    ),
    "a cotangent of another shape": (
        lambda: tg.vjp(lambda x: {"y": (x, x)}, X)[1]({"y": (X, X[:2])}),
        r"vjp: the cotangent at \['y'\]\[1\] has shape \(2,\), the result it belongs to \(3,\)",
    ),
    "a cotangent of another structure": (
        lambda: tg.vjp(lambda x: {"y": x}, X)[1]({"z": X}),
        r"should be \{'y': \*\}, and is \{'z': \*\}",
    ),
    "a tangent of linearize": (
        lambda: tg.linearize(FIRST, {"a": X})[1]({"a": X[:2]}),
        r"linearize: the tangent at \[0\]\['a'\] has shape \(2,\)",
    ),
    "a vector of hvp": (
        lambda: tg.hvp(lambda d: np.sum(d["a"] ** 2), ({"a": X},), ({"a": X[:2]},)),
        r"hvp: the tangent at \[0\]\['a'\] has shape \(2,\)",
    ),
    "an output that is no scalar": (lambda: tg.grad(np.sin)(X), r"grad\(sin\).* shape \(3,\)"),
    "integers": (lambda: tg.grad(np.sum)(np.arange(3)), "float arguments; got dtype int64. Pass"),
    "an integer in a nest": (
        lambda: tg.jacobian(FIRST)({"b": (1.0, 2), "a": 3.0}),
        r"got dtype int64 at \[0\]\['b'\]\[1\]",
    ),
    "an axis out of range": (
        lambda: tg.vmap(FIRST, in_axes=({"a": 2},))({"a": X}),
        r"axis 2 for an argument of shape \(3,\), args\[0\]\['a'\]",
    ),
    "an axis of the result": (lambda: tg.vmap(lambda x: x, out_axes=4)(X), "out_axes has axis 4"),
    "axes of another structure": (
        lambda: tg.vmap(FIRST, in_axes=({"b": 0},))({"a": X}),
        r"in_axes: at \[0\], the structure should be",
    ),
    "axes of other sizes": (
        lambda: tg.vmap(lambda x, y: x)(X, np.ones(4)),
        r"differ in size: 3 \(args\[0\]\), 4 \(args\[1\]\)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_errors_say_what_and_where(case):
    run, text = CASES[case]
    with pytest.raises((TypeError, ValueError), match=text):
        run()


def keeping(x):
    KEPT[:] = [lambda: x]
    return np.sum(x)


KEPT = []


@pytest.mark.parametrize("transform", [tg.grad, tg.vmap, lambda f: lambda x: tg.jvp(f, (x,), (x,))])
@pytest.mark.parametrize("adapt", [True, False])
def test_a_tensor_that_leaks_names_the_function_and_its_line(transform, adapt):
    if not adapt and transform not in (tg.grad, tg.vmap):
        pytest.skip("the same")
    KEPT.clear()
    (transform(keeping, adapt=adapt) if not adapt else transform(keeping))(np.ones((2, 2)))
    leaked = KEPT[0]()
    line = keeping.__code__.co_firstlineno
    with pytest.raises(tg.LeakedTensorError, match=rf"of keeping, .*test_bad_input.py:{line},"):
        np.sin(leaked)


@pytest.mark.parametrize(
    "transform", [tg.jacobian, tg.jacrev, tg.jacfwd, tg.hessian, tg.sparse_jacobian]
)
def test_a_function_that_returns_nothing_is_told(transform):
    with pytest.raises(TypeError, match="is the return statement missing"):
        transform(lambda x: None)(np.ones(3))
