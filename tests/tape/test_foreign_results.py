"""Objects of other classes as results and operands of differentiated functions."""

import numpy as np
import pytest

import tapegrad as tg


class Box:
    """An object that NumPy makes an array of."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.x)


class Quantity:
    """A number with a unit, which answers ufuncs itself."""

    def __init__(self, m, unit):
        self.m, self.unit = m, unit

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.m)

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        plain = [a.m if isinstance(a, Quantity) else a for a in args]
        return Quantity(ufunc(*plain), self.unit)

    def __rmul__(self, other):
        return Quantity(other * self.m, self.unit)


@pytest.mark.parametrize(
    "run",
    [
        lambda: tg.grad(lambda x: Box(2 * x))(2.0),
        lambda: tg.vjp(lambda x: Box(2 * x), np.ones(2)),
        lambda: tg.jvp(lambda x: Box(2 * x), (2.0,), (1.0,)),
        lambda: tg.vmap(lambda x: Box(2 * x))(np.ones(2)),
        lambda: tg.jacobian(lambda x: Box(2 * x))(np.ones(2)),
        lambda: tg.grad(lambda x: (np.sum(x), Box(x))[1])(2.0),
        lambda: tg.jit(tg.grad(lambda x: Box(2 * x)))(2.0),
    ],
)
def test_a_result_of_another_class_is_refused(run):
    with pytest.raises(TypeError, match="returned an object of type Box"):
        run()


def test_what_is_returned_beside_the_result_may_be_anything():
    gradient, aux = tg.grad(lambda x: (x * x, Box(2 * x)), has_aux=True)(3.0)
    assert gradient == 6.0
    assert (type(aux), aux.x) == (Box, 6.0)


def test_quantities_keep_their_units():
    def f(x):
        result = x * Quantity(3.0, "m")
        assert result.unit == "m"
        return np.sum(result.m)

    np.testing.assert_array_equal(tg.grad(f)(np.ones(2)), [3.0, 3.0])


def test_a_class_that_makes_arrays_of_its_operands_is_converted():
    class Column(Quantity):
        def __array_ufunc__(self, ufunc, method, *args, **kwargs):
            return Column(ufunc(*map(np.asarray, args)), self.unit)

    np.testing.assert_array_equal(
        tg.grad(lambda x: np.sum(x * Column(np.array([1.0, 2.0]), "m")), adapt=False)(np.ones(2)),
        [1.0, 2.0],
    )


def test_none_on_a_class_is_something():
    class Lazy:
        value = None

        @property
        def filled(self):
            if self.value is None:
                self.value = 3.0
            return self.value

        def __getattr__(self, name):
            raise AttributeError(name)

    assert tg.grad(lambda x: x * Lazy().filled)(2.0) == 3.0


def test_an_array_of_objects_of_a_tensor_is_an_array_of_its_numbers():
    t = tg.tensor([1.0, 2.0])
    objects = np.asarray(t, dtype=object)
    assert objects.tolist() == [1.0, 2.0] and objects.dtype == object
    with pytest.raises(TypeError, match=r"np\.vectorize loses the graph"):
        np.vectorize(lambda v: v * 2)(t)
