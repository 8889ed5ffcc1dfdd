"""What transformations return: pickled, copied, printed, bound, documented."""

import copy
import functools
import inspect
import pickle
import weakref

import numpy as np
import pytest

import tapegrad as tg

X = np.array([0.5, -1.0, 2.0])

MAKERS = [
    tg.grad, tg.value_and_grad, tg.vmap, tg.jacobian, tg.jacrev, tg.jacfwd, tg.hessian,
    tg.elementwise_grad,
]  # fmt: skip


def loss(x, *, rate: float = 2.0):
    """Loss."""
    return np.sum(x**3) * rate


@tg.jit
@tg.value_and_grad
def decorated(x):
    return np.sum(x**2)


@tg.grad
def slope(x):
    return x**2


class Model:
    """A callable with parameters, which can be pickled."""

    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        return np.sum(self.w * x)

    def energy(self, x):
        return np.sum(self.w * x**2)

    loss_grad = tg.grad(lambda self, x: np.sum(self.w * x**2), argnums=1)

    @tg.value_and_grad
    def own(self):
        return np.sum(self.w**2)


tg.register_pytree_node(Model, lambda m: ((m.w,), None), lambda _, parts: Model(*parts))


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_transformed_functions_can_be_pickled_and_copied(make):
    made = make(loss)
    wanted = made(X)
    for other in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        for a, b in zip(tg.tree_leaves(other(X)), tg.tree_leaves(wanted)):
            np.testing.assert_array_equal(a, b)
        assert other.__name__ == "loss" and repr(other) == repr(made)


def test_options_go_with_the_pickle():
    for made in (
        tg.grad(np.dot, argnums=(1, 0)),
        tg.vmap(np.dot, in_axes=(0, None), out_axes=0),
        tg.jacobian(np.multiply, argnums=1, chunk=2),
    ):
        again = pickle.loads(pickle.dumps(made))
        args = (
            (np.ones((2, 3)), X) if made.__name__ == "dot" and "vmap" in repr(made) else (X, 2 * X)
        )
        for a, b in zip(tg.tree_leaves(again(*args)), tg.tree_leaves(made(*args))):
            np.testing.assert_array_equal(a, b)
        assert repr(again) == repr(made)


def test_stacks_with_jit_can_be_pickled_and_are_compiled_again():
    for made in (tg.jit(tg.grad(loss)), tg.grad(tg.jit(loss)), tg.vmap(tg.jit(tg.grad(np.sin)))):
        again = pickle.loads(pickle.dumps(made))
        for _ in range(3):
            np.testing.assert_allclose(again(X), made(X))
    jitted = pickle.loads(pickle.dumps(tg.jit(tg.grad(loss), strict=True)))
    jitted(X), jitted(X)
    assert jitted.stats().traces == 1 and jitted.stats().eager_calls == 0


def test_decorated_functions_are_pickled_by_name():
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    assert pickle.loads(pickle.dumps(slope)) is slope
    assert copy.copy(slope) is slope
    np.testing.assert_allclose(decorated(X)[1], 2 * X)


def test_callable_objects_and_bound_methods_are_copied_with_their_state():
    model = Model(X.copy())
    for make in (tg.grad, lambda f: tg.jit(tg.grad(f))):
        for f in (model, model.energy, functools.partial(np.dot, X)):
            made = make(f)
            wanted = made(X)
            np.testing.assert_allclose(pickle.loads(pickle.dumps(made))(X), wanted)
    made = tg.grad(model)
    other = copy.deepcopy(made)
    assert copy.deepcopy(tg.grad(loss, 0)).function is loss and copy.copy(made) is made
    model.w[:] = 7.0
    np.testing.assert_array_equal(made(X), [7.0] * 3)
    np.testing.assert_array_equal(other(X), X)


def test_what_cannot_be_pickled_says_so():
    with pytest.raises((pickle.PicklingError, AttributeError), match=r"lambda|local"):
        pickle.dumps(tg.grad(lambda x: x))


def test_they_say_what_they_are():
    assert repr(tg.grad(loss)) == "<grad(loss)>"
    assert repr(tg.grad(tg.vmap(loss, in_axes=1), argnums=(0,))) == (
        "<grad(vmap(loss, in_axes=1), argnums=(0,))>"
    )
    assert repr(tg.jit(tg.grad(loss))) == "<jit grad(loss)>"
    assert repr(tg.grad(tg.jit(loss, strict=True))) == "<grad(jit(loss, strict=True))>"
    assert repr(tg.hessian(Model(X), chunk=3)).startswith("<hessian(<")
    assert repr(tg.jacrev(functools.partial(loss, rate=1.0))).startswith(
        "<jacrev(functools.partial("
    )


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_face_of_the_function_is_kept(make):
    made = make(loss)
    assert made.__name__ == "loss" and made.__doc__ == "Loss." and made.__module__ == __name__
    assert made.__wrapped__ is loss and made.function is loss
    assert str(inspect.signature(made)) == "(x, *, rate: float = 2.0)"
    assert weakref.ref(made)() is made and callable(made)
    assert isinstance(hash(made), int) and made == made and made != make(loss)


def test_they_bind_as_methods_as_functions_do():
    model = Model(X)
    np.testing.assert_allclose(model.loss_grad(X), 2 * X * X)
    np.testing.assert_allclose(Model.loss_grad(model, X), 2 * X * X)
    value, gradient = model.own()
    assert value == np.sum(X**2) and type(gradient) is Model
    np.testing.assert_allclose(gradient.w, 2 * X)
    assert model.loss_grad.__self__ is model


def test_an_argument_may_be_called_self():
    f = lambda x, self: x * self
    assert tg.grad(f)(2.0, self=3.0) == 3.0
