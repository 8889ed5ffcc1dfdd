"""vmap over nests: axes of arguments and results as prefixes of their nests."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import Attributes, Frozen, Pair, Params, like, same, trees

import tapegrad as tg

X = np.arange(6.0).reshape(3, 2)


def mixed(tree):
    total = sum((np.sum(np.sin(leaf)) for leaf in tg.tree_leaves(tree)), start=0.3)
    return {"m": tg.tree_map(lambda a: np.tanh(a * total), tree), "t": (total * total, None)}


def along(tree, make, size, seed):
    """A batch of nests like one, and the nests."""
    examples = [like(tree, seed + k) for k in range(size)]
    return tg.tree_map(lambda *leaves: make(leaves), *examples), examples


@settings(max_examples=30)
@given(tree=trees(4), seed=st.integers(0, 99), size=st.integers(1, 3))
def test_vmap_of_anything_over_nests_is_the_stack_of_its_results(tree, seed, size):
    batch, examples = along(tree, np.stack, size, seed)
    if not tg.tree_leaves(tree):
        return
    loss = lambda tree: sum((np.sum(a * a) for a in tg.tree_leaves(mixed(tree))), start=0.0)
    v = like(tree, 5)
    functions = [
        mixed,
        tg.grad(loss),
        tg.jacrev(loss),
        tg.jacfwd(mixed),
        tg.jacobian(mixed, chunk=2),
        tg.hessian(loss),
        lambda tree: tg.jvp(mixed, (tree,), (v,))[1],
        lambda tree: tg.hvp(loss, (tree,), (v,)),
        lambda tree: tg.linearize(mixed, tree)[1](v),
    ]
    for f in functions:
        wanted = tg.tree_map(lambda *leaves: np.stack(leaves), *map(f, examples))
        same(tg.vmap(f)(batch), wanted, 1e-8)


def test_axes_are_prefixes_of_the_arguments():
    p = {"w": X, "rest": [X.T, 2.0]}
    f = lambda p, q: p["w"] + p["rest"][0] * p["rest"][1] + q.a
    wanted = X + 2 * X + np.array([1.0, 2.0, 3.0])[:, None]
    q = Pair(np.array([1.0, 2.0, 3.0]), "any object")
    for axes in (
        ({"w": 0, "rest": [1, None]}, Pair(0, None)),
        [{"w": -2, "rest": [-1, None]}, Pair(-1, None)],
    ):
        np.testing.assert_array_equal(tg.vmap(f, in_axes=axes)(p, q), wanted)
    got = tg.vmap(lambda p: p["a"] * p["b"][0], in_axes=({"b": None, "a": 0},))(
        {"a": X, "b": [X[0]]}
    )
    np.testing.assert_array_equal(got, X * X[0])
    every = tg.vmap(lambda p: p.w + p.b, in_axes=(Params(0, 1),))(Params(X, X.T))
    np.testing.assert_array_equal(every, 2 * X)


@pytest.mark.parametrize("make", [collections.OrderedDict, Attributes, dict])
def test_axes_of_dicts_of_every_kind_are_given_by_dicts_of_that_kind(make):
    got = tg.vmap(lambda p: make(s=p["a"] * p["b"]), in_axes=(make(a=0, b=None),))(make(a=X, b=2.0))
    assert type(got) is make
    np.testing.assert_array_equal(got["s"], 2 * X)


def test_axes_of_results_are_prefixes_of_the_results():
    f = lambda x: {"a": (x, 2 * x), "b": Frozen(np.sum(x), 7.0), "c": "text"}
    axes = {"a": 1, "b": Frozen(0, None), "c": None}
    out = tg.vmap(f, out_axes=axes)(X)
    np.testing.assert_array_equal(out["a"][0], X.T)
    np.testing.assert_array_equal(out["a"][1], 2 * X.T)
    np.testing.assert_array_equal(out["b"].x, X.sum(1))
    assert out["b"].y == 7.0 and out["c"] == "text"
    np.testing.assert_array_equal(tg.vmap(lambda x: x, out_axes=-1)(X), X.T)


def test_results_that_all_share_come_out_as_they_are():
    w = np.ones(3)
    shared, own = tg.vmap(lambda x: (w * 2, x), out_axes=(None, 0))(X)
    np.testing.assert_array_equal(shared, [2.0] * 3)
    np.testing.assert_array_equal(own, X)
    branch = lambda x: (w * 2, x if x[0] > 1 else -x)
    shared, own = tg.vmap(branch, out_axes=(None, 0))(X)
    assert shared.shape == (3,) and own[0, 1] == -1.0
    for f in (lambda x: x, lambda x: x if x[0] > 1 else -x):
        with pytest.raises(ValueError, match="out_axes is None for a result that is another one"):
            tg.vmap(f, out_axes=None)(X)


def test_the_number_of_examples_can_be_given():
    out = tg.vmap(lambda x: x * 2, in_axes=None, axis_size=4)(np.ones(2))
    assert out.shape == (4, 2)
    assert tg.vmap(lambda x, y: x + y, (0, None), axis_size=3)(X, 1.0).shape == (3, 2)
    with pytest.raises(
        ValueError, match=r"differ in size: 4 \(axis_size\), 3 \(args\[0\]\['w'\]\)"
    ):
        tg.vmap(lambda p: p["w"], axis_size=4)({"w": X})


def test_what_is_shared_may_be_anything():
    def f(x, name, options, *, flag):
        return x * len(name) * options["k"] * flag

    got = tg.vmap(f, in_axes=(0, None, None))(X, "ab", {"k": 3, "s": object()}, flag=True)
    np.testing.assert_array_equal(got, 6 * X)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: tg.vmap(np.add, in_axes=(0,))(X, X), ValueError,
         r"vmap: in_axes: the structure should be \(\*, \*\), and is \(\*,\)"),
        (lambda: tg.vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": X}), ValueError,
         r"vmap: in_axes: at \[0\], the structure should be \{'a': \*\}, and is \{'b': \*\}"),
        (lambda: tg.vmap(lambda p: p[0], in_axes=([0, 0],))([X]), ValueError, r"in_axes: at \[0\]"),
        (lambda: tg.vmap(lambda x: (x, x), out_axes=(0, 0, 0))(X), ValueError, "vmap: out_axes: the"),
        (lambda: tg.vmap(np.sum, in_axes=0.5)(X), TypeError, "in_axes must be ints or None.*0.5"),
        (lambda: tg.vmap(lambda x: x, out_axes="a")(X), TypeError, "out_axes must be ints or None"),
        (lambda: tg.vmap(lambda x: x, out_axes=2)(X), ValueError, "out_axes has axis 2 for a result"),
        (lambda: tg.vmap(lambda x: x, out_axes=-3)(X), ValueError, "out_axes has axis -3"),
        (lambda: tg.vmap(lambda p: p["a"])({"a": 1.0}), ValueError, r"shape \(\), args\[0\]\['a'\]"),
        (lambda: tg.vmap(lambda p: p)({"a": X, "b": X.T}), ValueError,
         r"3 \(args\[0\]\['a'\]\), 2 \(args\[0\]\['b'\]\)"),
        (lambda: tg.vmap(lambda x: x)("text"), TypeError, "vmap: arguments must be arrays of numbers"),
        (lambda: tg.vmap(lambda x: x if x[0] > 0 else -x)(X[:0]), ValueError, "there are no examples"),
    ],
)  # fmt: skip
def test_axes_that_do_not_fit_are_refused_in_plain_words(call, error, message):
    with pytest.raises(error, match=message):
        call()
