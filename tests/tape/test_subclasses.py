"""A subclass of Tensor is a tensor everywhere; results are plain tensors."""

import copy
import pickle

import numpy as np
import pytest

import tapegrad as tg


class Parameter(tg.Tensor):
    """A tensor with a name."""

    def __init__(self, x, name):
        super().__init__(x)
        self.name = name


class Slim(tg.Tensor):
    """A tensor with a slot."""

    __slots__ = ("__tag", "unset")

    def __init__(self, x):
        super().__init__(x)
        self.__tag = ["tag"]

    @property
    def tag(self):
        return self.__tag


@pytest.fixture
def w():
    return Parameter([1.0, -2.0, 3.0], "w")


x0 = np.array([0.5, 1.5, 2.5])

EXPRESSIONS = {
    "parameter * tensor": lambda w, x: w * tg.tensor(x),
    "tensor - parameter": lambda w, x: tg.tensor(x) - w,
    "parameter / parameter": lambda w, x: w / w,
    "parameter + array": lambda w, x: w + x,
    "array * parameter": lambda w, x: x * w,
    "number - parameter": lambda w, x: 2.0 - w,
    "list * parameter": lambda w, x: list(x) * w,
    "parameter ** number": lambda w, x: w**3,
    "-parameter": lambda w, x: -w,
    "abs": lambda w, x: abs(w),
    "matmul": lambda w, x: w @ x,
    "np.sin": lambda w, x: np.sin(w),
    "np.multiply": lambda w, x: np.multiply(x, w),
    "np.add, where": lambda w, x: np.add(w, x, where=x > 1),
    "np.where": lambda w, x: np.where(x > 1, w, x),
    "np.maximum": lambda w, x: np.maximum(w, tg.tensor(x)),
    "np.sum": lambda w, x: np.sum(w * w),
    "np.max": lambda w, x: np.max(w),
    "np.stack": lambda w, x: np.stack([w, tg.tensor(x)]),
    "np.concatenate": lambda w, x: np.concatenate([x, w]),
    "np.einsum": lambda w, x: np.einsum("i,i", w, x),
    "np.clip": lambda w, x: np.clip(w, -1, 2),
    "np.linalg.norm": lambda w, x: np.linalg.norm(w),
    "np.cumsum": lambda w, x: np.cumsum(w),
    "tg.tensor of a list": lambda w, x: tg.stack([w[0], w[1] * 2.0]),
    "softmax": lambda w, x: tg.nnet.softmax(w),
    "index": lambda w, x: w[1:],
    "gather": lambda w, x: w[[0, 0, 2]],
    "mask": lambda w, x: w[x > 1],
    "reshape": lambda w, x: w.reshape(3, 1),
    "T": lambda w, x: w.T,
    "iteration": lambda w, x: sum(w),
    "method": lambda w, x: w.sum(),
    "view": lambda w, x: w.view(tg.Tensor),
    "tg.tensor": lambda w, x: tg.tensor(w, copy=False) * 2.0,
    "astensor": lambda w, x: tg.astensor(w) * 2.0,
}


def slope(f, w, x):
    """The derivative of the sum by differences."""
    d = np.zeros(3)
    for i in range(3):
        e = np.zeros(3)
        e[i] = 1e-6
        d[i] = (f(w + e, x) - f(w - e, x)) / 2e-6
    return d


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_gradients_reach_a_subclass_through(name, w):
    f = EXPRESSIONS[name]
    y = f(w, x0)
    assert type(y) is tg.Tensor or y is w
    assert not y.constant
    np.sum(y).backward()
    total = lambda w, x: float(np.sum(f(tg.tensor(w), x)).data)
    np.testing.assert_allclose(w.grad, slope(total, w.data, x0), atol=1e-7)
    assert w.data.flags.writeable


TRANSFORMED = {
    "grad": lambda f: lambda w: tg.grad(lambda w: f(w).sum())(w),
    "vjp": lambda f: lambda w: tg.vjp(f, w)[1](np.ones(3))[0],
    "jvp": lambda f: lambda w: tg.jvp(f, (w,), (np.ones(3),))[1],
    "vmap": lambda f: tg.vmap(f),
    "jacobian": lambda f: tg.jacobian(f),
    "jit": lambda f: tg.jit(f),
    "jit grad": lambda f: tg.jit(tg.grad(lambda w: f(w).sum())),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformations_take_a_subclass(name, w):
    f = lambda w: np.sin(w) * w + 1.0
    transformed = TRANSFORMED[name](f)
    for _ in range(3):
        out, plain = transformed(w), transformed(tg.tensor(w))
        assert type(out) is type(plain)
        np.testing.assert_allclose(np.asarray(out), np.asarray(plain), rtol=1e-14)


def test_a_subclass_in_a_closure_or_attribute_is_differentiated_too(w):
    class Model:
        def __init__(self):
            self.w = w

        def __call__(self, x):
            return np.sum(self.w * x)

    model = Model()
    model(x0).backward()
    assert np.array_equal(w.grad, x0)
    compiled = tg.jit(model)
    with pytest.warns(RuntimeWarning, match="a tensor from outside the function takes part in it"):
        assert compiled(x0).item() == model(x0).item()
    assert model.w is w and type(w) is Parameter


def test_writes_keep_the_object_and_are_differentiable(w):
    v = w
    before = w * 1.0
    w += 1.0
    w[0] = 5.0
    np.multiply(w, 2.0, out=w)
    view = w[1:]
    view *= 3.0
    assert w is v and type(w) is Parameter and w.name == "w"
    assert np.array_equal(w.data, [10.0, -6.0, 24.0])
    assert view.base is w
    (w.sum() + before.sum()).backward()
    assert np.array_equal(w.grad, [1.0, 1.0, 1.0])
    assert np.array_equal(view.grad, [1.0, 1.0])


def test_a_shape_can_be_assigned(w):
    w.shape = (3, 1)
    assert type(w) is Parameter
    w.sum().backward()
    assert w.grad.shape == (3, 1)


def test_the_data_of_a_subclass_can_be_updated(w):
    (w * w).sum().backward()
    w.data -= 0.5 * w.grad
    assert np.array_equal(w.data, [0.0, 0.0, 0.0])


def test_new_tensors_of_a_subclass_are_plain(w):
    for new in (tg.tensor(w), tg.Tensor(w), tg.zeros_like(w), np.ones_like(w), tg.astensor(w, int)):
        assert type(new) is tg.Tensor
    assert tg.astensor(w) is w and tg.tensor(w, copy=False) is w
    assert tg.asarray(w) is w.data


@pytest.mark.parametrize(
    "copied",
    [
        lambda t: t.copy(),
        copy.copy,
        copy.deepcopy,
        lambda t: pickle.loads(pickle.dumps(t)),
        lambda t: t.astype(np.float32),
    ],
    ids=["copy", "copy.copy", "deepcopy", "pickle", "astype"],
)
def test_copies_keep_the_class_and_its_attributes(copied, w):
    w.more = [1, 2]
    (2.0 * w).sum().backward()
    new = copied(w)
    assert type(new) is Parameter and new is not w
    assert new.name == "w" and new.more == [1, 2]
    assert np.array_equal(new.data, w.data) and not np.shares_memory(new.data, w.data)
    assert new.creator is None and not new.constant
    slim = copied(Slim([1.0]))
    assert type(slim) is Slim and slim.tag == ["tag"] and not hasattr(slim, "unset")


def test_a_deep_copy_copies_attributes_and_a_copy_shares_them(w):
    w.more = [w]
    assert copy.copy(w).more is w.more
    deep = copy.deepcopy(w)
    assert deep.more is not w.more and deep.more[0] is deep


def test_astype_without_subok_is_plain(w):
    assert type(w.astype(np.float32, subok=False)) is tg.Tensor


def test_a_subclass_prints_its_name(w):
    assert repr(w) == "Parameter([ 1., -2.,  3.])"


def test_constants_and_flags_of_a_subclass_are_as_usual(w):
    assert type(w.data) is np.ndarray
    assert Parameter([1, 2], "n").constant
    with tg.no_autodiff:
        assert (w * 2).creator is None
    with tg.Tape() as tape:
        y = np.sum(w * w)
    assert np.array_equal(tape.gradient(y, [w])[0], 2 * w.data)
    assert tape.replay({w: np.ones(3)})[y] == 3.0


def test_saving_and_clipping_take_a_subclass(w, tmp_path):
    w.sum().backward()
    tg.save(tmp_path / "w.npz", w)
    assert np.array_equal(tg.load(tmp_path / "w.npz").data, w.data)
    assert float(tg.nnet.util.clip_grad_norm([w], 1.0)) == pytest.approx(np.sqrt(3))
    assert w.grad == pytest.approx(np.ones(3) / np.sqrt(3))
