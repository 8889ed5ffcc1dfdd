"""jacrev, jacfwd, jacobian, hessian, elementwise_grad: over nests, in chunks, under one another."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import Frozen, Params, like, same, trees, vector

import tapegrad as tg

MODES = {"jacrev": tg.jacrev, "jacfwd": tg.jacfwd, "jacobian": tg.jacobian}
X = np.array([0.5, -1.0, 2.0])
STEP = 1e-3


def mixed(tree):
    """A nest of nonlinear results in which all leaves meet."""
    total = 0.3
    for i, leaf in enumerate(tg.tree_leaves(tree)):
        total = total + np.sum(np.sin(leaf * (i + 1.0)))
    return {"m": tg.tree_map(lambda a: np.tanh(a * total), tree), "t": (total * total, None)}


def _sum_of_squares(tree):
    return sum((np.sum(leaf * leaf) for leaf in tg.tree_leaves(tree)), start=0.0)


def differences(function, tree):
    """The jacobian as a matrix, by central differences of the fourth order."""
    x, structure = vector(tree), tg.tree_structure(tree)
    shapes = [np.shape(leaf) for leaf in tg.tree_leaves(tree)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def at(moved):
        parts = np.split(moved, ends) if shapes else []
        return vector(function(structure.unflatten(p.reshape(s) for p, s in zip(parts, shapes))))

    columns = [
        (8 * (at(x + t) - at(x - t)) - (at(x + 2 * t) - at(x - 2 * t))) / (12 * STEP)
        for t in np.eye(x.size) * STEP
    ]
    return np.array(columns).reshape(x.size, at(x).size).T


def as_matrix(blocks, result, tree):
    """The blocks of a jacobian as a matrix; asserts that they form the nest that they should."""
    rows = []

    def note(leaf, row):
        assert tg.tree_structure(row) == tg.tree_structure(tree)
        parts = [np.zeros((np.size(leaf), 0))]
        for block, argument in zip(tg.tree_leaves(row), tg.tree_leaves(tree)):
            assert np.shape(block) == (*np.shape(leaf), *np.shape(argument))
            parts.append(np.reshape(block, (np.size(leaf), np.size(argument))))
        rows.append(np.concatenate(parts, axis=1))

    tg.tree_map(note, result, blocks)
    return np.concatenate([np.zeros((0, vector(tree).size)), *rows])


@settings(max_examples=40)
@given(tree=trees(4), chunk=st.sampled_from([None, 1, 3]))
def test_the_jacobian_of_a_nest_by_a_nest_is_its_differences_in_every_mode(tree, chunk):
    result, wanted = mixed(tree), differences(mixed, tree)
    for mode in MODES.values():
        got = as_matrix(mode(mixed, chunk=chunk)(tree), result, tree)
        np.testing.assert_allclose(got, wanted, 1e-7, 1e-7)


@settings(max_examples=25)
@given(tree=trees(3), seed=st.integers(0, 99))
def test_a_hessian_is_symmetric_and_its_product_with_a_vector_is_hvp(tree, seed):
    gradient = tg.grad(_loss)(tree)
    hessian = as_matrix(tg.hessian(_loss)(tree), gradient, tree)
    np.testing.assert_allclose(hessian, hessian.T, 1e-9, 1e-9)
    np.testing.assert_allclose(hessian, differences(tg.grad(_loss), tree), 1e-6, 1e-6)
    along = like(tree, seed)
    product = tg.hvp(_loss, (tree,), (along,))
    assert tg.tree_structure(product) == tg.tree_structure(tree)
    np.testing.assert_allclose(vector(product), hessian @ vector(along), 1e-9, 1e-9)
    again = as_matrix(tg.jacrev(tg.jacfwd(_loss), chunk=2)(tree), gradient, tree)
    np.testing.assert_allclose(again, hessian, 1e-9, 1e-9)


def _loss(tree):
    return _sum_of_squares(mixed(tree))


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_several_arguments_give_a_tuple_of_blocks_and_one_gives_its_own(mode):
    def f(x, p, *, scale):
        return {"y": x[:2] * p["w"] * scale, "z": [np.sum(x) * p["b"]]}

    p = {"w": np.array([2.0, 3.0]), "b": 4.0}
    both = mode(f, argnums=(0, 1))(X, p, scale=2.0)
    (by_x, by_p), ((zx, zp),) = both["y"], both["z"]
    np.testing.assert_allclose(by_x, [[4.0, 0.0, 0.0], [0.0, 6.0, 0.0]])
    np.testing.assert_allclose(by_p["w"], np.diag(2 * X[:2]))
    np.testing.assert_allclose(by_p["b"], [0.0, 0.0])
    np.testing.assert_allclose(zx, [4.0] * 3)
    np.testing.assert_allclose(zp["b"], 1.5)
    same(mode(f, argnums=1)(X, p, scale=2.0), {"y": by_p, "z": [zp]})
    same(mode(f, argnums=-1)(X, p, scale=2.0), {"y": by_p, "z": [zp]})
    same(mode(f, argnums=[0])(X, p, scale=2.0), {"y": (by_x,), "z": [(zx,)]})
    same(mode(f, (1, 0))(X, p, scale=2.0), {"y": (by_p, by_x), "z": [(zp, zx)]})


def test_the_blocks_of_a_hessian_are_those_of_each_pair_of_arguments():
    y = np.array([4.0, 5.0, 6.0])
    (xx, xy), (yx, yy) = tg.hessian(lambda x, y: np.sum(x**2 * y), argnums=(0, 1))(X, y)
    for got, wanted in ((xx, 2 * y), (xy, 2 * X), (yx, 2 * X), (yy, 0 * X)):
        np.testing.assert_allclose(got, np.diag(wanted))
    h = tg.hessian(lambda p: p["a"] ** 2 * p["b"])({"a": 2.0, "b": 3.0})
    assert h == {"a": {"a": 6.0, "b": 4.0}, "b": {"a": 4.0, "b": 0.0}}
    h = tg.hessian(lambda p: p.x**2 * p.y)(Frozen(2.0, 3.0))
    assert h == Frozen(Frozen(6.0, 4.0), Frozen(4.0, 0.0))


def test_the_hessian_of_several_results_has_a_block_for_each():
    h = tg.hessian(lambda x: (x**2, {"s": np.sum(x**3)}))(X)
    wanted = np.zeros((3, 3, 3))
    wanted[range(3), range(3), range(3)] = 2.0
    np.testing.assert_allclose(h[0], wanted)
    np.testing.assert_allclose(h[1]["s"], np.diag(6 * X))


@pytest.mark.parametrize("mode", [*MODES.values(), tg.hessian, tg.elementwise_grad])
def test_has_aux_returns_what_is_not_differentiated(mode):
    def f(x):
        y = np.sum(x**2)
        return y, {"y": y, "name": "aux", "p": Params(x * 2, 3)}

    blocks, aux = mode(f, has_aux=True)(X)
    np.testing.assert_allclose(blocks, 2 * np.eye(3) if mode is tg.hessian else 2 * X)
    assert aux["y"] == np.sum(X**2) and aux["name"] == "aux" and aux["p"].b == 3
    assert type(aux["p"].w) is np.ndarray
    with pytest.raises(TypeError, match="has_aux=True"):
        mode(lambda x: np.sum(x), has_aux=True)(X)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_block_has_the_dtype_of_its_argument(mode):
    def f(x, y):
        return np.concatenate([x * y[0], y.astype(np.float64) * 2.0])

    small = np.array([1.0, 2.0], np.float32)
    a, b = mode(f, argnums=(0, 1))(X, small)
    assert a.dtype == np.float64 and b.dtype == np.float32
    tall = mode(lambda y: np.outer(X, y).ravel() * np.ones(6))(small)
    assert tall.dtype == np.float32 and tall.shape == (6, 2)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_numbers_give_scalars_and_arrays_without_axes_give_arrays(mode):
    assert type(mode(np.sin)(0.5)) is np.float64
    assert type(mode(np.sin)(np.array(0.5))) is np.ndarray
    assert type(mode(lambda x: (x, x * X))(0.5)[1]) is np.ndarray


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_blocks_are_the_user_s_to_change(mode):
    first = mode(lambda x: x * X)(X)
    second = mode(lambda x: x * X)(X)
    first[...] = 0.0
    np.testing.assert_array_equal(second, np.diag(X))
    np.testing.assert_array_equal(X, [0.5, -1.0, 2.0])
    constant = mode(lambda x: (np.ones(2), x))(X)[0]
    constant[0, 0] = 5.0
    assert constant.sum() == 5.0


def test_jacobian_takes_the_mode_of_fewer_vectors_and_runs_the_function_once():
    runs, pushed = [], []

    def f(p):
        runs.append(1)
        return np.exp(np.linspace(0.0, 1.0, 2000) * p[0]) * p[1]

    p = np.array([0.5, 2.0])
    tracemalloc.start()
    got = tg.jacobian(f)(p)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(runs) == 1 and peak < 2_000_000  # 2,000 pullbacks of 2,000 numbers are 32 MB
    np.testing.assert_allclose(got, tg.jacfwd(f)(p))
    wide = tg.jacobian(lambda x: pushed.append(1) or np.stack([np.sum(x), np.prod(x)]))(
        np.ones(2000)
    )
    assert wide.shape == (2, 2000) and len(pushed) == 1


def test_chunks_bound_the_memory():
    def f(x):
        for _ in range(4):
            x = np.sin(x) * 1.5
        return x

    x = np.linspace(0.0, 1.0, 600)
    peaks, results = {}, {}
    for mode, chunk in itertools.product(MODES, (None, 20)):
        jacobian = MODES[mode](f, chunk=chunk)
        tracemalloc.start()
        results[mode, chunk] = jacobian(x)
        peaks[mode, chunk] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    for mode in MODES:
        np.testing.assert_array_equal(results[mode, 20], results[mode, None])
        assert peaks[mode, 20] < 1.5 * 600 * 600 * 8 < 2 * 600 * 600 * 8 < peaks[mode, None]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_empty_arguments_and_results_have_empty_blocks(mode):
    assert mode(lambda x: x[:0])(X).shape == (0, 3)
    assert mode(lambda x: X * np.sum(x))(np.zeros((0, 2))).shape == (3, 0, 2)
    assert mode(lambda x: ())(X) == () and mode(lambda p: X)([]) == []
    assert mode(lambda x: (x, None))(2.0) == (1.0, None)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_jacobians_nest_with_everything(mode):
    f = lambda x: np.sin(x) * x[::-1]
    wanted = np.diag(np.cos(X) * X[::-1]) + np.fliplr(np.diag(np.sin(X)))
    np.testing.assert_allclose(mode(f)(X), wanted)
    for _ in range(3):
        np.testing.assert_allclose(tg.jit(mode(f))(X), wanted)
    np.testing.assert_allclose(mode(tg.jit(f), chunk=2)(X), wanted)
    stack = np.stack([X, 2 * X])
    for got, x in zip(tg.vmap(mode(f, chunk=2))(stack), stack):
        np.testing.assert_allclose(got, mode(f)(x))
    penalty = lambda x: np.sum(mode(f)(x) ** 2)
    np.testing.assert_allclose(tg.grad(penalty)(X), differences(penalty, X)[0], 1e-6)
    slope = tg.jvp(penalty, (X,), (np.ones(3),))[1]
    np.testing.assert_allclose(slope, np.sum(tg.grad(penalty)(X)))
    leaf = tg.tensor(X)
    blocks = mode(f)(leaf)
    assert isinstance(blocks, tg.Tensor)
    np.sum(blocks**2).backward()
    np.testing.assert_allclose(leaf.grad, tg.grad(penalty)(X))


@pytest.mark.parametrize("mode", [*MODES.values(), tg.hessian])
def test_python_s_branches_and_writes_work_inside(mode):
    def f(x):
        y = x * 1.0
        y[1:] += x[:-1] ** 2
        while np.sum(y) < 10.0:
            y *= 2.0
        return np.sum(y * y) if mode is tg.hessian else y

    got = mode(f)(X)
    wanted = differences(tg.grad(f) if mode is tg.hessian else f, X)
    np.testing.assert_allclose(got, wanted, 1e-6, 1e-6)


@pytest.mark.parametrize("mode", [*MODES.values(), tg.hessian, tg.elementwise_grad])
def test_wrong_uses_are_refused_in_plain_words(mode):
    name = mode.__name__
    with pytest.raises(TypeError, match=f"{name} takes a function, not int"):
        mode(3)
    with pytest.raises(TypeError, match=rf"{name}: argnums=2, but .* 1 positional argument"):
        mode(np.sin, argnums=2)(X)
    with pytest.raises(TypeError, match=r"0 positional arguments \(those given by name do not"):
        mode(lambda x: x)(x=X)
    for argnums in ("x", (0, 1.5), None):
        with pytest.raises(TypeError, match=rf"{name}: argnums must be an int or a tuple of ints"):
            mode(np.sin, argnums=argnums)
    with pytest.raises(ValueError, match=r"argnums=\(0, -1\) names an argument twice"):
        mode(np.sin, argnums=(0, -1))(X)
    with pytest.raises(
        TypeError, match=rf"{name} differentiates by float arguments; got dtype int"
    ):
        mode(np.sin)(np.arange(3))
    with pytest.raises(TypeError, match=rf"{name}\(<lambda>\): .*dtype bool at \[1\], which has"):
        mode(lambda x: (x, x > 0))(X)
    with pytest.raises(
        TypeError, match=rf"{name}\(<lambda>\): the function returned a value of dtype"
    ):
        mode(lambda x: 3)(X)
    if mode is not tg.elementwise_grad:
        with pytest.raises(ValueError, match=f"{name}: chunk must be a positive number"):
            mode(np.sin, chunk=0)


def test_elementwise_grad_is_the_diagonal_and_takes_nests():
    np.testing.assert_allclose(tg.elementwise_grad(np.tanh)(X), 1 - np.tanh(X) ** 2)
    twice = tg.elementwise_grad(tg.elementwise_grad(np.sin))(X)
    np.testing.assert_allclose(twice, -np.sin(X))
    got = tg.elementwise_grad(lambda p, y: [p.x * y, p.x], argnums=(0, 1))(Frozen(X), 2.0)
    same(got, (Frozen(np.full(3, 3.0)), np.float64(np.sum(X))))
