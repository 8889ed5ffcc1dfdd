"""Transformations of transformations, vmap's axes, branches, and imperative tensors inside."""

import asyncio

import numpy as np
import pytest

import tapegrad as tg


def cube(x):
    return x**3 * np.sin(x)


def cube1(x):
    return 3 * x**2 * np.sin(x) + x**3 * np.cos(x)


def cube2(x):
    return 6 * x * np.sin(x) + 6 * x**2 * np.cos(x) - x**3 * np.sin(x)


def along(g):
    """The derivative by forward mode."""
    return lambda x: tg.jvp(g, (x,), (np.ones_like(x),))[1]


def back(g):
    """The derivative by reverse mode, for elementwise functions too."""
    return lambda x: tg.vjp(g, x)[1](np.ones_like(x))[0]


DERIVATIVES = {"grad": tg.grad, "along": along, "back": back, "jacobian": tg.jacobian}


@pytest.mark.parametrize("outer", DERIVATIVES)
@pytest.mark.parametrize("inner", DERIVATIVES)
def test_second_derivatives_agree_whatever_the_modes(outer, inner):
    g = DERIVATIVES[outer](DERIVATIVES[inner](cube))
    assert np.allclose(g(0.7), cube2(0.7))


@pytest.mark.parametrize("outer", DERIVATIVES)
@pytest.mark.parametrize("inner", DERIVATIVES)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_vmap_nests_at_any_place(outer, inner, place):
    xs = np.array([0.3, 0.7, -1.1])
    a, b = DERIVATIVES[outer], DERIVATIVES[inner]
    if place == 2:
        assert np.allclose(tg.vmap(a(b(cube)))(xs), cube2(xs))
    elif place == 1:
        mapped = tg.vmap(b(cube))
        g = a(mapped) if outer in ("along", "back") else a(lambda x: np.sum(mapped(x)))
        assert np.allclose(g(xs), cube2(xs))
    else:
        inner_g = back if inner in ("grad", "jacobian") else b
        outer_g = back if outer in ("grad", "jacobian") else a
        assert np.allclose(outer_g(inner_g(tg.vmap(cube)))(xs), cube2(xs))


def test_third_and_fourth_derivatives():
    g = lambda x: x**5
    for n, expected in enumerate([2.0**5, 80.0, 160.0, 240.0, 240.0, 120.0, 0.0]):
        assert np.allclose(g(2.0), expected), n
        g = tg.grad(g)


def test_vmap_of_vmap_is_an_outer_loop():
    x, y = np.arange(3.0), np.arange(4.0)
    table = tg.vmap(lambda a: tg.vmap(lambda b: a * b + a)(y))(x)
    assert np.array_equal(table, np.multiply.outer(x, y) + x[:, None])


def test_a_closure_over_an_outer_variable_is_differentiated_in_both():
    def outer(x):
        return tg.grad(lambda y: x * y**2)(3.0) * x  # 6 x^2

    assert tg.grad(outer)(2.0) == 24.0
    assert tg.grad(lambda x: tg.jvp(lambda y: x * y**2, (3.0,), (1.0,))[1] * x)(2.0) == 24.0
    assert tg.jvp(outer, (2.0,), (1.0,))[1] == 24.0


def test_perturbations_are_not_confused():
    # d/dx (x * d/dy (x + y)) = 1
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    d = lambda g: lambda x: tg.jvp(g, (x,), (1.0,))[1]
    assert d(lambda x: x * d(lambda y: x + y)(1.0))(1.0) == 1.0


def test_hessian_and_jacobian_have_the_documented_shapes():
    x = np.array([1.0, 2.0, 3.0])
    h = tg.hessian(lambda x: np.prod(x))(x)
    assert np.allclose(h, [[0, 3, 2], [3, 0, 1], [2, 1, 0]])
    j = tg.jacobian(lambda x: np.outer(x, x[:2]))(x)
    assert j.shape == (3, 2, 3)
    j2 = tg.jacobian(lambda a, b: a * b, argnums=1)(x, x)
    assert np.array_equal(j2, np.diag(x))
    assert tg.jacobian(lambda x: x * 2.0)(1.0) == 2.0
    assert tg.hessian(lambda a, b: a * b**3, argnums=1)(2.0, 1.0) == 12.0


def test_jacobian_of_an_empty_output_and_of_an_independent_one():
    assert tg.jacobian(lambda x: x[:0])(np.ones(2)).shape == (0, 2)
    assert np.array_equal(tg.jacobian(lambda x: np.ones(3))(np.ones(2)), np.zeros((3, 2)))


def test_float32_stays_float32_through_all_transformations():
    x = np.ones(2, np.float32)
    g = lambda x: np.sum(x * x * 0.5)
    assert tg.grad(g)(x).dtype == np.float32
    assert tg.hessian(g)(x).dtype == np.float32
    assert tg.jvp(g, (x,), (np.ones(2),))[1].dtype == np.float32
    assert tg.vmap(tg.grad(g))(np.ones((3, 2), np.float32)).dtype == np.float32


# vmap ----------------------------------------------------------------------------------------


def test_vmap_moves_axes():
    x = np.arange(24.0).reshape(2, 3, 4)
    assert np.array_equal(tg.vmap(np.sum, in_axes=1)(x), x.sum((0, 2)))
    assert np.array_equal(tg.vmap(lambda a: a * 2, in_axes=-1, out_axes=-1)(x), 2 * x)
    assert np.array_equal(tg.vmap(lambda a: a, in_axes=2, out_axes=1)(x), np.moveaxis(x, 2, 1))
    out = tg.vmap(lambda a, b: a @ b, in_axes=(0, None))(x, np.ones(4))
    assert np.array_equal(out, x @ np.ones(4))


def test_vmap_takes_nests_of_axes_and_returns_nests():
    p = {"a": np.arange(3.0), "b": np.ones((2, 3))}
    out = tg.vmap(lambda p, k: {"s": p["a"] * k, "t": (p["b"],)}, in_axes=({"a": 0, "b": 1}, None))(
        p, 2.0
    )
    assert np.array_equal(out["s"], [0.0, 2.0, 4.0]) and out["t"][0].shape == (3, 2)
    a, b = tg.vmap(lambda x: (x, x), out_axes=(0, 1))(np.ones((3, 2)))
    assert a.shape == (3, 2) and b.shape == (2, 3)


def test_vmap_repeats_what_does_not_depend_on_the_example():
    out = tg.vmap(lambda x: (3.0, np.ones(2)))(np.zeros(4))
    assert np.array_equal(out[0], np.full(4, 3.0)) and out[1].shape == (4, 2)
    out[1][0] = 9.0
    assert out[1][1, 0] == 1.0


def test_vmap_maps_integers_and_booleans():
    x = np.arange(6).reshape(3, 2)
    assert np.array_equal(tg.vmap(lambda i: i * 2 + 1)(x), x * 2 + 1)
    assert np.array_equal(tg.vmap(lambda r: r > 2)(x), x > 2)
    assert np.array_equal(tg.vmap(lambda r: np.argmax(r))(x), x.argmax(1))


def test_vmap_of_no_examples():
    assert tg.vmap(lambda r: np.sum(np.sin(r)))(np.ones((0, 2))).shape == (0,)


def test_wrong_axes_are_value_errors():
    with pytest.raises(ValueError, match="differ in size"):
        tg.vmap(np.add)(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="no argument is mapped"):
        tg.vmap(np.add, in_axes=None)(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="axis 2"):
        tg.vmap(np.sum, in_axes=2)(np.ones((2, 2)))
    with pytest.raises(ValueError, match="in_axes"):
        tg.vmap(np.add, in_axes=(0, 0, 0))(np.ones(2), np.ones(2))


def test_branches_under_vmap_are_taken_example_by_example():
    def g(x):
        if x > 0:
            return np.sin(x)
        while x < -1:
            x = x + 1
        return x * int(np.round(float(x) * 4))

    xs = np.array([1.0, -0.5, -3.25])
    expected = np.array([float(g(float(x))) for x in xs])
    assert np.allclose(tg.vmap(g)(xs), expected)
    grads = [float(tg.grad(g)(float(x))) for x in xs]
    assert np.allclose(tg.vmap(tg.grad(g))(xs), grads)
    assert np.allclose(tg.grad(lambda xs: np.sum(tg.vmap(g)(xs)))(xs), grads)
    assert np.allclose(tg.jvp(tg.vmap(g), (xs,), (np.ones(3),))[1], grads)


def test_an_exception_handler_of_the_users_does_not_swallow_the_branch():
    def g(x):
        try:
            return x if x > 0 else -x
        except Exception:
            return 100 * x

    assert np.array_equal(tg.vmap(g)(np.array([1.0, -2.0])), [1.0, 2.0])


def test_examples_may_index_by_mapped_integers():
    table = np.arange(10.0) ** 2
    i = np.array([3, 1, 4])
    assert np.array_equal(tg.vmap(lambda k: tg.tensor(table)[k])(i), table[i])
    rows = np.arange(12.0).reshape(3, 4)
    assert np.array_equal(tg.vmap(lambda r, k: r[k])(rows, np.array([0, 3, 1])), [0.0, 7.0, 9.0])


# In-place writes inside ----------------------------------------------------------------------


def writes(x):
    y = x * 1.0
    y[0] = y[1] * 2.0
    y *= x
    v = y[1:]
    v += np.sin(v)
    np.multiply(y, 2.0, out=y, where=np.array([True, False, True]))
    z = np.zeros_like(y)
    z[::2] = y[::2] ** 2
    x[2] = 0.5
    return np.sum(z * x) + y[1]


def test_writes_inside_work_under_every_transformation():
    x = np.array([0.5, 1.5, -0.7])
    eps = 1e-6
    expected = np.array(
        [
            (writes(x + eps * e) - writes(x - eps * e)) / (2 * eps)
            for e in np.eye(3)
        ]
    )  # fmt: skip
    g = tg.grad(writes)(x)
    assert np.allclose(g, expected, atol=1e-7)
    tangents = [tg.jvp(writes, (x,), (e,))[1] for e in np.eye(3)]
    assert np.allclose(tangents, g)
    rows = np.stack([x, x + 1, x * 2])
    assert np.allclose(tg.vmap(writes)(rows), [writes(r.copy()) for r in rows])
    assert np.allclose(tg.vmap(tg.grad(writes))(rows), [tg.grad(writes)(r) for r in rows])
    h = tg.hessian(writes)(x)
    numeric = np.array(
        [
            (tg.grad(writes)(x + eps * e) - tg.grad(writes)(x - eps * e)) / (2 * eps)
            for e in np.eye(3)
        ]
    )
    assert np.allclose(h, numeric, atol=1e-6) and np.allclose(h, h.T)
    t = tg.tensor(x)
    tg.sum(writes(t * 1.0)).backward()
    assert np.allclose(t.grad, g)


def test_a_tensor_made_inside_can_be_filled():
    def g(x):
        out = tg.zeros(2, dtype=float)
        out[0] = x[0] * x[1]
        out[1] = 3.0
        return np.sum(out * x)

    x = np.array([2.0, 5.0])
    assert np.allclose(tg.grad(g)(x), [2 * 2 * 5, 4.0 + 3.0])
    assert np.allclose(tg.jvp(g, (x,), (np.array([1.0, 0.0]),))[1], 20.0)
    assert np.allclose(tg.vmap(g)(np.stack([x, x])), [g(x)] * 2)


def test_iteration_unpacking_and_augmented_scalars_inside():
    def g(x):
        a, b, c = x
        total = 0.0
        for v in x:
            total += v * a
        return total + b * c

    assert np.allclose(tg.grad(g)(np.array([1.0, 2.0, 3.0])), [2 + 2 + 3, 1 + 3, 1 + 2])


# Imperative tensors --------------------------------------------------------------------------


def test_a_gradient_penalty_is_differentiated_imperatively():
    w = tg.tensor([0.5, -1.0])
    x = np.array([1.0, 2.0])

    def model(x):
        return np.tanh(np.sum(w * x))

    g = tg.grad(model)(x)
    assert type(g) is tg.Tensor
    penalty = np.sum(g * g)
    penalty.backward()
    t = np.tanh(w.data @ x)
    s = (1 - t * t) ** 2
    expected = 2 * w.data * s + (w.data @ w.data) * 2 * (1 - t * t) * (-2 * t) * (1 - t * t) * x
    assert np.allclose(w.grad, expected)


def test_imperative_tensors_are_constants_to_a_transformation_and_variables_outside():
    w = tg.tensor(3.0)
    value, g = tg.value_and_grad(lambda x: w * x**2)(2.0)
    (value + g).backward()
    assert w.grad == 4.0 + 4.0


def test_vmap_over_imperative_tensors_stays_in_the_graph():
    w = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    y = tg.vmap(lambda r: np.sum(r * r))(w)
    assert type(y) is tg.Tensor
    y.backward([1.0, 10.0])
    assert np.array_equal(w.grad, [[2.0, 4.0], [60.0, 80.0]])


def test_jvp_of_imperative_tensors_stays_in_the_graph():
    w = tg.tensor([1.0, 2.0])
    _, t = tg.jvp(lambda x: x**3, (w,), (np.ones(2),))
    t.backward()
    assert np.array_equal(w.grad, [6.0, 12.0])


def test_backward_of_a_traced_value_is_refused_with_the_way_out():
    def g(x):
        y = np.sum(x**3)
        y.backward()
        return np.sum(x)

    x = np.array([1.0, 2.0])
    for run in (
        lambda: tg.grad(g)(x),
        lambda: tg.jvp(g, (x,), (x,)),
        lambda: tg.vmap(g)(x),
    ):
        with pytest.raises(TypeError, match=r"use tg\.grad"):
            run()


def test_an_imperative_script_inside_a_transformation_keeps_to_itself():
    def g(x):
        w = tg.tensor([1.0, 2.0])
        (w * w).backward()
        return np.sum(x * w.grad)

    assert np.array_equal(tg.grad(g)(np.ones(2)), [2.0, 4.0])


def test_no_autodiff_does_not_switch_transformations_off():
    with tg.no_autodiff:
        assert tg.grad(cube)(0.7) == pytest.approx(cube1(0.7))
        assert tg.grad(tg.grad(cube))(0.7) == pytest.approx(cube2(0.7))
    assert tg.grad(tg.no_autodiff(cube))(0.7) == pytest.approx(cube1(0.7))


def test_constant_true_stops_the_gradient_inside():
    def g(x):
        return np.sum(tg.multiply(x, x, constant=True) * x)

    assert np.allclose(tg.grad(g)(np.array([2.0, 3.0])), [4.0, 9.0])
    stopped = lambda x: np.sum(tg.tensor(x, constant=True) * x)
    assert np.allclose(tg.grad(stopped)(np.array([2.0, 3.0])), [2.0, 3.0])


def test_coroutines_do_not_mix_their_transformations():
    async def work(k):
        out = []
        for i in range(3):
            out.append(tg.grad(tg.grad(lambda x: x**k))(2.0))
            x = tg.tensor(float(i))
            y = x * k
            await asyncio.sleep(0)
            y.backward()
            out.append(x.grad.item())
        return out

    async def main():
        return await asyncio.gather(*(work(k) for k in (2, 3, 4)))

    results = asyncio.run(main())
    for k, out in zip((2, 3, 4), results):
        assert out == [k * (k - 1) * 2.0 ** (k - 2), k] * 3


def test_tree_map_walks_nests():
    out = tg.tree_map(lambda a, b: a + b, {"x": [1, (2, None)]}, {"x": [10, (20, None)]})
    assert out == {"x": [11, (22, None)]}
    with pytest.raises(ValueError, match="structure"):
        tg.tree_map(lambda a, b: a, [1], (1,))
