"""Objects that say by ``__float__`` which number they are: it may be traced."""

import math

import numpy as np
import pytest

import tapegrad as tg


class Length:
    def __init__(self, value):
        self.value = value

    def __float__(self):
        return float(self.value) * 2.0


class Wrong:
    def __float__(self):
        return "two"


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: float(Length(x)) * x, 4 * 1.5),
        (lambda x: math.sin(Length(x)), 2 * math.cos(3.0)),
        (lambda x: math.atan2(Length(x), 2.0), 2 * 2.0 / 13.0),
        (lambda x: np.float64(Length(x)), 2.0),
        (lambda x: math.hypot(Length(x), Length(2.0)), 2 * 3.0 / 5.0),
    ],
)
@pytest.mark.parametrize("wrapped", [lambda f: f, tg.jit])
def test_the_number_keeps_its_derivative(function, slope, wrapped):
    assert function(1.5) == pytest.approx(wrapped(function)(1.5))
    assert wrapped(tg.grad(function))(1.5) == pytest.approx(slope)
    assert tg.jvp(function, (1.5,), (1.0,))[1] == pytest.approx(slope)


def test_what_is_no_number_is_pythons_error():
    def f(x):
        return x * float(Wrong())

    with pytest.raises(TypeError, match=r"__float__.*non-float"):
        tg.grad(f)(1.0)
