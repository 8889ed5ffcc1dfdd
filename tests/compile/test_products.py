"""Contractions as matrix products, stacks of products on threads, recurrences as kernels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from staged import recording_of

import tapegrad as tg
from tapegrad.compile.plans import products
from tapegrad.ops.reduce.running import linear_recurrence_p
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.threads import pool

RANDOM = np.random.default_rng(0)
SIZES = dict(zip("abcdn", (7, 9, 8, 10, 11)))


@pytest.mark.parametrize(
    "subscripts",
    ["ab,bc->ac", "ab,cb->ca", "ba,bc->ac", "abc,cd->abd", "abc,abd->cd", "nab,nbc->nac",
     "anb,cnb->nac", "nab,cnb->cna", "abn,bn->an", "ab,b->a", "a,ab->b", "abc,bc->a", "nab,nab->n",
     "anb,nb->na", "abcd,cdn->nab"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_contractions_are_what_einsum_gives(subscripts, dtype):
    terms = subscripts.partition("->")[0].split(",")
    operands = [RANDOM.standard_normal([SIZES[i] for i in term]).astype(dtype) for term in terms]
    expected = np.einsum(subscripts, *operands)
    compiled = tg.jit(lambda *xs: np.einsum(subscripts, *xs))
    compiled(*operands)
    result = compiled(*operands)
    assert result.dtype == expected.dtype and result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, rtol=1e-4 if dtype == "f4" else 1e-12, atol=1e-4)
    turned = [np.asfortranarray(x) for x in operands]
    compiled(*turned)
    np.testing.assert_allclose(
        compiled(*turned), expected, rtol=1e-4 if dtype == "f4" else 1e-12, atol=1e-4
    )


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [("aa,ab->b", [(9, 9), (9, 9)]), ("ab,ab->ab", [(30, 30)] * 2), ("ab,c->abc", [(9, 9), (9,)]),
     ("ab,bc->a", [(9, 9), (9, 9)]), ("ab,bc->ac", [(9, 1), (9, 9)]), ("ab,bc,cd->ad", [(9, 9)] * 3),
     ("ab,bc->ac", [(2, 2), (2, 2)])],
)  # fmt: skip
def test_what_is_no_matrix_product_is_left_to_einsum(subscripts, shapes):
    assert products._Contraction.of(subscripts, shapes) is None
    operands = [RANDOM.standard_normal(shape) for shape in shapes]
    f = lambda *xs: np.einsum(subscripts, *xs)
    np.testing.assert_allclose(tg.jit(f)(*operands), f(*operands), rtol=1e-12, atol=1e-12)


def test_gradients_of_contractions():
    a, b = RANDOM.standard_normal((12, 5, 6)), RANDOM.standard_normal((5, 6, 7))
    g = tg.grad(lambda a, b: np.sum(np.einsum("nki,kij->nkj", a, b) ** 2), (0, 1))
    for one, other in zip(tg.jit(g)(a, b), g(a, b)):
        np.testing.assert_allclose(one, other, rtol=1e-11)


@pytest.mark.parametrize("shapes", [((6, 3, 40, 50), (50, 30)), ((6, 1, 40, 50), (1, 3, 50, 30)),
                                    ((5, 40, 50), (5, 50, 30)), ((40, 50), (6, 50, 30))])  # fmt: skip
def test_a_stack_of_products_is_shared_among_threads_and_the_bits_stay(shapes, monkeypatch):
    monkeypatch.setattr(products, "WORTH_SHARING", 1000)
    a, b = (RANDOM.standard_normal(shape) for shape in shapes)
    for count in (1, 2, 5):
        monkeypatch.setattr(pool, "count", count)
        np.testing.assert_array_equal(products.matmul(a, b), a @ b)
    turned = np.asfortranarray(a)
    np.testing.assert_allclose(products.matmul(turned, b), a @ b, rtol=1e-12)
    plan = recording_of(lambda a, b: np.matmul(a, b), a, b).plan
    assert "np_matmul" in plan.source


@given(
    st.sampled_from([(1,), (5,), (3, 4), (4, 1, 3), (2, 3, 4)]),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)
def test_recurrences_follow_their_definition(shape, axis, reverse, repeated):
    axis %= len(shape)
    a, b = RANDOM.standard_normal((2, *shape))
    if repeated:
        a = np.broadcast_to(a.take([0], axis), shape)

    def step_by_step(a, b):
        a, b, y = (np.moveaxis(x, axis, 0) for x in (a, b, np.empty(shape)))
        order = range(len(y))[:: -1 if reverse else 1]
        for i, j in zip(order, (None, *order)):
            y[i] = b[i] if j is None else a[i] * y[j] + b[i]
        return np.moveaxis(y, 0, axis)

    with tg.Tape() as tape:
        x, y = tg.tensor(a), tg.tensor(b)
        result = apply(linear_recurrence_p, (x, y), {"axis": axis, "reverse": reverse}, None)
    (compiled,) = tape.compile([x, y], [result])(a, b)
    np.testing.assert_allclose(compiled, step_by_step(a, b), rtol=1e-12, atol=1e-12)


def test_products_and_their_derivatives_of_high_order():
    x = RANDOM.uniform(0.5, 1.5, 40)
    x[7] = 0.0
    for f in (np.prod, lambda x: np.sum(np.cumprod(x) * np.arange(40.0))):
        hessian = tg.hessian(f)
        np.testing.assert_allclose(tg.jit(hessian)(x), hessian(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_a_large_matrix_is_read_once_for_both_of_its_products(dtype):
    X = RANDOM.standard_normal((1100, 1000)).astype(dtype)
    w, y = (
        RANDOM.standard_normal(1000).astype(dtype) / 30,
        RANDOM.standard_normal(1100).astype(dtype),
    )
    loss = tg.value_and_grad(lambda w, X, y: np.mean(np.log1p(np.exp(-y * (X @ w)))))
    compiled = tg.jit(loss)
    compiled(w, X, y)
    tolerance = 1e-4 if dtype == "f4" else 1e-11
    for a, b in zip(compiled(w, X, y), loss(w, X, y)):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    plan = recording_of(loss, w, X, y).plan
    assert "matmul" not in plan.source and len(plan.kernels) <= 2
    for f in (lambda a, b: a @ b, lambda a, b: b @ a.T):
        turned = tg.jit(f)
        turned(X, w)
        np.testing.assert_allclose(turned(X, w), f(X, w), rtol=tolerance, atol=tolerance)
