"""``tg.check_grads``: passes where derivatives are right, and says where they are wrong."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from nests import Params, trees

import tapegrad as tg
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import Primitive

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def operation(*, wrong_at=None, factor=1.5):
    """The square, whose backward_var is wrong at one element."""

    class Square(tg.Operation):
        def __call__(self, x):
            self.variables = (x,)
            return x.data**2

        def backward_var(self, grad, index, **kwargs):
            g = 2.0 * self.variables[0].data * grad
            if wrong_at is not None:
                g[wrong_at] *= factor
            return g

    return lambda x: tg.execute_op(Square, x)


def wrong_second(x):
    """The sine, whose first derivative is right and whose second is not."""
    cosine = Primitive(
        "wrong_cosine", np.cos, (lambda g, y, x: -1.01 * g * np.sin(x),),
        jvp="elementwise", family="elementwise", register=False,
    )  # fmt: skip
    sine = Primitive(
        "sine", np.sin, (lambda g, y, x: g * bind(cosine, x),),
        jvp="elementwise", family="elementwise", register=False,
    )  # fmt: skip
    return apply(sine, (x,))


@settings(max_examples=20)
@given(trees(4))
def test_right_derivatives_pass_over_nests(tree):
    def f(tree):
        total = sum((np.sum(np.sin(leaf)) for leaf in tg.tree_leaves(tree)), start=0.5)
        return {"t": total, "rest": tg.tree_map(lambda a: a * total, tree), "n": 3}

    if tg.tree_leaves(tree):
        tg.check_grads(f, (tree,), order=2)


def test_the_defaults_suit_every_precision_and_large_arguments():
    tg.check_grads(lambda x: np.exp(x) * x, (X,), order=4)
    tg.check_grads(lambda x: np.sum(x**3), (X.astype(np.float32),))
    tg.check_grads(np.sin, (np.float16(0.5),))
    tg.check_grads(np.sin, (0.5,), order=3)
    tg.check_grads(np.tanh, (tg.tensor(X),))
    w = np.random.default_rng(0).normal(size=(100, 100))
    tg.check_grads(lambda w, x: np.tanh(w @ x), (w, 0.1 * np.ones(100)))
    tg.check_grads(lambda x: x * 2.0, (np.ones((0, 4)),))


def test_what_is_no_float_stays_as_it_is():
    def f(x, n, name, mask):
        assert n == 3 and name == "name" and mask.dtype == bool
        return np.where(mask, x**n, x), "text", n

    tg.check_grads(lambda *args: f(*args)[0], (X, 3, "name", X > 0))


@pytest.mark.parametrize("mode, words", [("rev", "reverse mode"), ("fwd", "forward mode")])
@pytest.mark.parametrize("at", [(0, 0), (1, 2)])
def test_a_wrong_element_is_found_and_named(mode, words, at):
    square = operation(wrong_at=at)
    wanted = (
        rf"check_grads\(<lambda>\): order 1, {words}: the derivative of "
        rf"result\['y'\]\[{at[0]}, {at[1]}\] by args\[0\]\.w\[{at[0]}, {at[1]}\] is {3 * X[at]:.10g}, "
        rf"and by differences {2 * X[at]:.4g}"
    )
    with pytest.raises(AssertionError, match=wanted):
        tg.check_grads(lambda p: {"y": square(p.w)}, (Params(X, 1.0),), order=1, modes=[mode])


def test_one_wrong_element_of_many_is_found():
    square = operation(wrong_at=(77, 33), factor=1.1)
    x = np.random.default_rng(0).uniform(1.0, 2.0, (100, 100))
    with pytest.raises(AssertionError, match=r"derivative of result by args\[1\]\[77, 33\]"):
        tg.check_grads(lambda c, x: c * np.sum(square(x)), (3.0, x), order=1, modes=["rev"])


@pytest.mark.parametrize("modes", [("fwd",), ("rev",), ("rev", "fwd")])
def test_a_wrong_second_derivative_passes_the_first_order_and_is_named_in_the_second(modes):
    tg.check_grads(wrong_second, (X,), order=1, modes=modes)
    first = {"fwd": "forward", "rev": "reverse"}[modes[0]]
    what = r"d result" if modes[0] == "fwd" else r"d/d args\[0\]"
    with pytest.raises(AssertionError, match=rf"derivative in {first} mode: order 2.*of {what}\["):
        tg.check_grads(wrong_second, (X,), modes=modes)


def test_tolerances_and_steps_are_honoured():
    square = operation(wrong_at=(0, 0), factor=1.0 + 1e-4)
    tg.check_grads(square, (X,), order=1, rtol=1e-2)
    tg.check_grads(square, (X,), order=1, atol=1e-2)
    with pytest.raises(AssertionError, match=r"step 0\.01, tolerances 1e-07 and 0"):
        tg.check_grads(square, (X,), order=1, atol=1e-7, rtol=0.0, eps=0.01)


def test_a_kink_and_a_cut_are_seen():
    with pytest.raises(AssertionError, match=r"order 1.*result\[1\] by args\[0\]\[1\]"):
        tg.check_grads(np.abs, (np.array([1.0, 1e-5]),))
    with pytest.raises(AssertionError, match=r"is 0, and by differences 3"):
        tg.check_grads(lambda x: tg.tensor(3.0 * x, constant=True) * 1.0, (2.0,))


def test_wrong_uses_are_refused_in_plain_words():
    for call, error, message in [
        (lambda: tg.check_grads(3, (X,)), TypeError, "takes a function"),
        (lambda: tg.check_grads(np.sin, X), TypeError, "args must be a tuple or list"),
        (lambda: tg.check_grads(np.sin, (X,), modes="rev"), ValueError, "some of 'fwd' and 'rev'"),
        (lambda: tg.check_grads(np.sin, (X,), modes=["back"]), ValueError, "some of 'fwd'"),
        (lambda: tg.check_grads(np.sin, (X,), order=0), ValueError, "order must be at least 1"),
        (lambda: tg.check_grads(np.sin, (3,)), TypeError, "none of the arguments is a float"),
        (lambda: tg.check_grads(lambda x: 3, (X,)), TypeError, "the function returns no floats"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_functions_are_read_as_by_the_transformations() -> None:
    """What needs the gate: conversions, Python's mathematics, stores into plain arrays."""

    def stored(x: Any) -> Any:
        out = np.zeros(2)
        out[0] = math.sin(x[0])
        out[1] = float(x[1]) ** 3
        return out

    tg.check_grads(stored, (np.array([0.3, 0.7]),))
