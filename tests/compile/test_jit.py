"""The face of jit: its fast way, its counts, its printed form."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compile.jitted.entering import MISS

X = np.linspace(0.1, 1.0, 10)


def test_the_second_call_takes_the_fast_way():
    jitted = tg.jit(tg.grad(lambda x: np.sum(np.sin(x) * x)))
    jitted(X)
    jitted(X)
    assert jitted._fast is not None
    np.testing.assert_allclose(jitted._fast((X,), {}), np.cos(X) * X + np.sin(X))


@pytest.mark.parametrize(
    "args",
    [
        (X[:5],),
        (X[::2],),
        (X.astype("f4"),),
        (X.tolist(),),
        (X, X),
        (),
        (None,),
        (X.reshape(2, 5),),
    ],
    ids=lambda a: str(len(a)),
)
def test_the_fast_way_declines_other_calls(args):
    jitted = tg.jit(lambda x: np.sin(x) * x)
    jitted(X)
    jitted(X)
    assert jitted._fast(args, {}) is MISS


def test_the_fast_way_sees_that_a_capture_has_changed():
    factor = 2.0
    jitted = tg.jit(lambda x: np.sin(x) * factor)
    jitted(X)
    jitted(X)
    assert jitted._fast((X,), {}) is not MISS
    factor = 3.0
    assert jitted._fast((X,), {}) is MISS
    np.testing.assert_allclose(jitted(X), np.sin(X) * 3)


def test_nests_and_numbers_take_the_fast_way():
    jitted = tg.jit(lambda p, a: {"w": p["w"] * a, "t": (p["t"][0] + a, None)})
    for _ in range(3):
        got = jitted({"w": X, "t": [X]}, 2.0)
    assert jitted._fast is not None
    np.testing.assert_array_equal(got["w"], X * 2)
    np.testing.assert_array_equal(got["t"][0], X + 2)


def test_it_can_be_used_as_a_decorator_with_and_without_arguments():
    @tg.jit
    def f(x):
        """Say what f does."""
        return x

    @tg.jit(strict=True)
    def g(x):
        return x

    assert f.__name__ == "f"
    assert f.__doc__ == f.__wrapped__.__doc__
    assert repr(g) == "<jit g>"
    assert g(X) is X


def test_stats_are_a_named_tuple_of_four_counts():
    jitted = tg.jit(lambda x: np.sin(x) * 2)
    jitted(X)
    stats = jitted.stats()
    assert stats._fields == (
        "traces",
        "kernels_compiled",
        "kernels_loaded",
        "kernels_reused",
        "eager_calls",
    )
    assert stats.traces == 1


def test_an_index_that_is_an_argument_is_compiled_in_the_gradient_too():
    def picked(x, labels):
        return np.sum(x[np.arange(3), labels])  # a constant cotangent meets a traced index

    x, labels = np.arange(12.0).reshape(3, 4), np.array([1, 0, 3])
    compiled = tg.jit(tg.grad(picked), strict=True)
    for k in (labels, labels[::-1].copy()):
        np.testing.assert_array_equal(compiled(x, k), tg.grad(picked)(x, k))


def test_a_number_that_depends_on_no_argument_is_the_same_in_each_call():
    def f(x):
        kept = np.zeros(3)
        kept[0] = x[0]
        kept[:] = 2.0
        return tg.Tensor(np.ones(3), constant=True).sum(), kept.sum(), x

    compiled = tg.jit(f)
    for _ in range(3):
        ones, twos, _ = compiled(np.arange(3.0))
        assert (type(ones), type(twos)) == (np.float64, np.float64)
        assert (ones, twos) == (3.0, 6.0)
