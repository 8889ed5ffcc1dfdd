"""Functions to functions: grad, value_and_grad, vjp, jvp, vmap, jacobian, hessian."""

import collections
import inspect

import numpy as np
import pytest

import tapegrad as tg

Pair = collections.namedtuple("Pair", "a b")


def f(x):
    return np.sum(np.sin(x) * x)


def df(x):
    return np.cos(x) * x + np.sin(x)


# Types of arguments and results --------------------------------------------------------------


@pytest.mark.parametrize("x", [np.array([1.0, 2.0]), np.ones((2, 3), np.float32), np.zeros((0,))])
def test_the_gradient_of_an_array_is_an_array(x):
    g = tg.grad(f)(x)
    assert type(g) is np.ndarray and g.shape == x.shape and g.dtype == x.dtype
    assert np.allclose(g, df(x))
    assert g.flags.writeable


@pytest.mark.parametrize("x", [2.0, np.float64(2.0), np.float32(2.0)])
def test_the_gradient_of_a_number_is_a_numpy_scalar(x):
    value, g = tg.value_and_grad(f)(x)
    assert type(g) is type(np.asarray(x)[()]) and np.allclose(g, df(2.0))
    assert isinstance(value, np.floating)


def test_the_gradient_of_a_0d_array_is_an_array():
    g = tg.grad(f)(np.array(2.0))
    assert type(g) is np.ndarray and g.shape == ()


def test_the_gradient_of_a_tensor_is_a_tensor_in_its_graph():
    x = tg.tensor([1.0, 2.0])
    value, g = tg.value_and_grad(f)(x)
    assert type(g) is tg.Tensor and type(value) is tg.Tensor
    assert np.allclose(g.data, df(x.data))
    g.sum().backward()
    assert np.allclose(x.grad, 2 * np.cos(x.data) - x.data * np.sin(x.data))


def test_the_gradient_of_a_constant_tensor_is_a_constant_tensor():
    x = tg.tensor([1.0, 2.0], constant=True)
    g = tg.grad(f)(x)
    assert type(g) is tg.Tensor and np.allclose(g.data, df(x.data)) and g.constant


@pytest.mark.parametrize("x", [2, np.arange(3), True, tg.tensor([1, 2]), [1.0, 2]])
def test_integers_are_refused_with_the_way_out(x):
    for transform in (tg.grad(f), tg.value_and_grad(f), lambda x: tg.vjp(f, x)):
        with pytest.raises(TypeError, match=r"float arguments.*argnums"):
            transform(x)
    with pytest.raises(TypeError, match="jvp differentiates by float"):
        tg.jvp(f, (2,), (1.0,))


@pytest.mark.parametrize("x", ["text", object(), np.array([None]), {1.0}])
def test_what_is_no_array_of_numbers_is_refused(x):
    with pytest.raises(TypeError, match="arrays of numbers"):
        tg.grad(f)(x)


def test_functions_of_nests_have_gradients_of_the_same_structure():
    def loss(p):
        return np.sum(p["w"] * p["layers"][0]) + p["layers"][1].a * p["layers"][1].b + p["s"]

    p = {"w": np.ones(2), "layers": [np.array([3.0, 4.0]), Pair(2.0, 5.0)], "s": 1.0, "none": None}
    value, g = tg.value_and_grad(loss)(p)
    assert value == 18.0
    assert list(g) == list(p) and g["none"] is None
    assert np.array_equal(g["w"], [3.0, 4.0]) and np.array_equal(g["layers"][0], [1.0, 1.0])
    assert g["layers"][1] == Pair(5.0, 2.0) and type(g["layers"][1]) is Pair
    assert g["s"] == 1.0


def test_results_of_functions_of_empty_nests():
    assert tg.grad(lambda p: 1.0)({}) == {}
    assert tg.grad(lambda p: 1.0)([]) == []


def test_argnums_choose_arguments():
    def h(x, y, z):
        return x * y**2 * z

    args = (2.0, 3.0, 5.0)
    assert tg.grad(h, argnums=1)(*args) == 60.0
    assert tg.grad(h, argnums=(2, 0))(*args) == (18.0, 45.0)
    assert tg.grad(h, argnums=-1)(*args) == 18.0
    assert tg.grad(h, argnums=[0])(*args) == (45.0,)
    with pytest.raises(TypeError, match="argnums=3"):
        tg.grad(h, argnums=3)(*args)
    assert tg.grad(h)(2.0, y=3.0, z=5.0) == 45.0


def test_other_arguments_may_be_anything():
    def h(x, n, name, *, scale=None, table):
        return np.sum(x) * n * len(name) * table["k"]

    assert tg.grad(h)(1.0, 2, "abc", table={"k": 5}) == 30.0


def test_has_aux_returns_what_is_not_differentiated():
    def h(x):
        y = x * x
        return np.sum(y), {"y": y, "name": "aux", "n": 3}

    x = np.array([1.0, 2.0])
    g, aux = tg.grad(h, has_aux=True)(x)
    assert np.array_equal(g, [2.0, 4.0]) and aux["name"] == "aux" and aux["n"] == 3
    assert type(aux["y"]) is np.ndarray and np.array_equal(aux["y"], [1.0, 4.0])
    (value, aux), g = tg.value_and_grad(h, has_aux=True)(x)
    assert value == 5.0
    value, pullback, aux = tg.vjp(h, x, has_aux=True)
    assert value == 5.0 and np.array_equal(pullback(2.0)[0], [4.0, 8.0])
    value, tangent, aux = tg.jvp(h, (x,), (x,), has_aux=True)
    assert tangent == 10.0 and np.array_equal(aux["y"], [1.0, 4.0])
    with pytest.raises(TypeError, match="has_aux"):
        tg.grad(lambda x: np.sum(x), has_aux=True)(x)


def test_the_face_of_the_function_is_kept():
    def loss(w, *, rate: float = 0.1):
        """Loss."""
        return np.sum(w)

    for transform in (tg.grad, tg.value_and_grad, tg.vmap, tg.jacobian, tg.hessian):
        g = transform(loss)
        assert g.__name__ == "loss" and g.__doc__ == loss.__doc__
        assert list(inspect.signature(g).parameters) == ["w", "rate"]


def test_partial_functions_and_objects_can_be_differentiated():
    import functools

    class Model:
        def __init__(self):
            self.scale = 3.0

        def __call__(self, x):
            return self.scale * x

        def method(self, x):
            return self.scale * x * x

    assert tg.grad(Model())(1.0) == 3.0 and tg.grad(Model().method)(1.0) == 6.0
    assert tg.grad(functools.partial(lambda a, x: a * x, 4.0))(1.0) == 4.0
    assert tg.grad(np.sin)(0.0) == 1.0 and tg.grad(tg.exp)(0.0) == 1.0
    for transform in (tg.grad, tg.value_and_grad, tg.vmap):
        with pytest.raises(TypeError, match="takes a function"):
            transform(3.0)


# Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result, words",
    [
        (lambda x: x, r"shape \(2,\)"),
        (lambda x: (x[0], x[1]), "tuple of 2"),
        (lambda x: [x[0]], "list of 1"),
        (lambda x: {"loss": x[0]}, "dict"),
        (lambda x: None, "return statement"),
        (lambda x: x[:1], r"shape \(1,\)"),
    ],
)
def test_a_result_that_is_no_scalar_names_vjp_and_jacobian(result, words):
    def my_loss(x):
        return result(x)

    for transform in (tg.grad, tg.value_and_grad):
        with pytest.raises(tg.NonScalarOutputError, match=words) as caught:
            transform(my_loss)(np.ones(2))
        text = str(caught.value)
        assert "vjp" in text and "jacobian" in text and "my_loss" in text


def test_a_function_that_does_not_depend_on_its_argument_has_gradient_zero():
    g = tg.grad(lambda x: 3.0)(np.ones(2))
    assert np.array_equal(g, [0.0, 0.0])
    assert np.array_equal(tg.grad(lambda x: np.sum(np.floor(x)))(np.ones(2)), [0.0, 0.0])


def line_of(function, text):
    source, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(source) if text in line)


def into_zeros(x):
    out = np.zeros(2)
    out[0] = x[0]  # here
    return np.sum(out)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda: tg.grad(into_zeros)(np.ones(2)), [1.0, 0.0]),
        (lambda: tg.jvp(into_zeros, (np.ones(2),), (np.ones(2),))[1], 1.0),
        (lambda: tg.vmap(tg.grad(into_zeros))(np.ones((3, 2))), [[1.0, 0.0]] * 3),
        (
            lambda: tg.grad(lambda x: np.sum(tg.vmap(into_zeros)(x)))(np.ones((3, 2))),
            [[1.0, 0.0]] * 3,
        ),
        (lambda: tg.hessian(into_zeros)(np.ones(2)), np.zeros((2, 2))),
        (lambda: tg.jit(tg.grad(into_zeros))(np.ones(2)), [1.0, 0.0]),
    ],
)
def test_a_traced_value_that_is_stored_in_a_plain_array_stays_traced(run, expected):
    np.testing.assert_array_equal(run(), expected)


@pytest.mark.parametrize(
    "run",
    [
        lambda: tg.grad(into_zeros, adapt=False)(np.ones(2)),
        lambda: tg.jvp(into_zeros, (np.ones(2),), (np.ones(2),), adapt=False),
        lambda: tg.vmap(tg.grad(into_zeros, adapt=False))(np.ones((3, 2))),
        lambda: tg.hessian(into_zeros, adapt=False)(np.ones(2)),
    ],
)
def test_without_an_image_the_store_names_the_line_and_the_way_out(run):
    with pytest.raises(tg.TracedArrayError) as caught:
        run()
    text = str(caught.value)
    assert f"{__file__}:{line_of(into_zeros, '# here')}" in text
    assert "tg.zeros" in text and "zeros_like" in text


def test_elements_that_vmap_stores_in_an_array_are_right():
    # vmap runs the examples one by one, on plain numbers
    out = tg.vmap(into_zeros)(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert np.array_equal(out, [1.0, 3.0])


def test_float_of_a_traced_value_stays_traced():
    def g(x):
        a = np.zeros(2)
        a[0] = float(x[0])
        return np.sum(x * a) * int(x[1]) * (2.0 if x[0] > 0 else 1.0)

    assert np.array_equal(tg.grad(g)(np.array([3.0, 2.0])), [24.0, 0.0])


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: np.asarray(x),
        lambda x: np.array([x, x]),
        lambda x: x.data,
        lambda x: np.add(x, 1.0, out=np.zeros(2)),
        lambda x: np.zeros(2).__setitem__(slice(None), x),
        lambda x: np.array(x[0]),
        lambda x: np.array([x[0], x[1]]),
        lambda x: np.full(2, x[0]) if False else np.asarray([[x[0]]]),
    ],
)
def test_whatever_would_cut_a_value_off_raises(cut):
    with pytest.raises(tg.TracedArrayError, match="cut off"):
        tg.grad(lambda x: np.sum(cut(x)), adapt=False)(np.ones(2))


def test_an_unknown_numpy_function_raises_under_a_transformation():
    with pytest.raises(TypeError, match=r"numpy\.is_busday has no differentiable form"):
        tg.grad(lambda x: np.sum(np.is_busday(x)))(np.ones(2))


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t * 2,
        lambda t: np.sin(t),
        lambda t: t[0],
        lambda t: np.sum(t),
        lambda t: t + tg.tensor([1.0, 2.0]),
        lambda t: tg.grad(lambda x: np.sum(x * t))(np.ones(2)),
        lambda t: tg.vmap(lambda x: x * t)(np.ones((3, 2))),
        lambda t: t.__setitem__(0, 1.0),
        lambda t: t.__iadd__(1.0),
        lambda t: tg.tensor([1.0, 2.0]).__iadd__(t),
        lambda t: np.concatenate([t, t]),
        lambda t: -t,
        lambda t: t**2,
        lambda t: t > 0,
    ],
)
@pytest.mark.parametrize("transform", ["grad", "jvp", "vmap"])
def test_a_leaked_tensor_raises_when_it_is_used(use, transform):
    kept = []

    def leak(x):
        kept.append(x * 1.0)
        return np.sum(x)

    if transform == "grad":
        tg.grad(leak, adapt=False)(np.ones(2))
    elif transform == "jvp":
        tg.jvp(leak, (np.ones(2),), (np.ones(2),), adapt=False)
    else:
        tg.vmap(leak, adapt=False)(np.ones((3, 2)))
    assert "ended" in repr(kept[0])
    with pytest.raises(tg.LeakedTensorError, match="has_aux"):
        use(kept[0])


def test_a_tensor_leaked_into_an_outer_array_cell_raises():
    kept = tg.zeros(2, dtype=float)

    def leak(x):
        kept[...] = x
        return np.sum(x)

    tg.grad(leak)(np.ones(2))
    with pytest.raises(tg.LeakedTensorError):
        kept * 2.0


@pytest.mark.parametrize(
    "run",
    [
        lambda g: tg.grad(g)(np.ones(2)),
        lambda g: tg.jvp(g, (np.ones(2),), (np.ones(2),)),
        lambda g: tg.vmap(g)(np.ones((2, 2))),
        lambda g: tg.vjp(g, np.ones(2)),
        lambda g: tg.hessian(g)(np.ones(2)),
    ],
)
def test_an_exception_passes_through_and_leaves_nothing_behind(run):
    def fails(x):
        x * 2
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(fails)
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    assert np.array_equal(x.grad, [2.0, 4.0])
    assert np.allclose(tg.grad(f)(x.data), df(x.data))
    assert x.data.flags.writeable


# The caller's arrays -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run",
    [
        lambda g, x, y: tg.grad(g)(x, y),
        lambda g, x, y: tg.grad(g, argnums=1)(x, y),
        lambda g, x, y: tg.vjp(g, x, y)[1](1.0),
        lambda g, x, y: tg.jvp(g, (x, y), (x, y)),
        lambda g, x, y: tg.vmap(g)(x, y),
        lambda g, x, y: tg.vmap(g, in_axes=(0, None))(x, y[0]),
        lambda g, x, y: tg.jacobian(g)(x, y),
        lambda g, x, y: tg.hessian(g)(x, y),
    ],
)
def test_the_callers_arrays_are_never_written_or_locked(run):
    def g(x, y):
        x *= 2.0
        y[0] = x[0] + 1.0
        x[...] = x * y
        return np.sum(x)

    x, y = np.ones((2, 2)), np.full((2, 2), 3.0)
    run(g, x, y)
    assert np.array_equal(x, np.ones((2, 2))) and np.array_equal(y, np.full((2, 2), 3.0))
    assert x.flags.writeable and y.flags.writeable


def test_the_callers_tensors_are_never_written():
    def g(x):
        x *= 2.0
        return np.sum(x * x)

    x = tg.tensor([1.0, 2.0])
    d = tg.grad(g)(x)
    assert np.array_equal(x.data, [1.0, 2.0]) and np.array_equal(d.data, [8.0, 16.0])


def test_gradients_share_no_memory_with_anything():
    x, y = np.ones(2), np.ones(2)
    gx, gy = tg.grad(lambda a, b: np.sum(a + b), argnums=(0, 1))(x, y)
    gx[0] = 9.0
    assert np.array_equal(gy, [1.0, 1.0]) and np.array_equal(x, [1.0, 1.0])
    c = np.ones(2)
    _, pullback = tg.vjp(lambda a: a, x)
    (g,) = pullback(c)
    g[0] = 9.0
    assert c[0] == 1.0


def test_a_pullback_can_be_called_again():
    _y, pullback = tg.vjp(lambda x: x**2, np.array([1.0, 2.0]))
    for _ in range(2):
        assert np.array_equal(pullback(np.ones(2))[0], [2.0, 4.0])
    assert np.array_equal(pullback(tg.tensor([1.0, 0.0]))[0], [2.0, 0.0])


def test_a_value_that_is_returned_twice_gets_both_cotangents():
    def twice(x):
        y = x * 2.0
        return y, [y]

    _, pullback = tg.vjp(twice, np.ones(2))
    np.testing.assert_array_equal(pullback((np.ones(2), [np.array([0.0, 5.0])]))[0], [2.0, 12.0])


def test_wrong_cotangents_and_tangents_are_value_errors():
    _y, pullback = tg.vjp(lambda x: (x, x[0]), np.ones(2))
    with pytest.raises(ValueError, match="structure"):
        pullback(np.ones(2))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        pullback((np.ones(3), 1.0))
    with pytest.raises(ValueError, match="structure"):
        tg.jvp(f, (1.0,), (1.0, 2.0))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        tg.jvp(f, (np.ones(2),), (np.ones(3),))
    with pytest.raises(TypeError, match="tuples or lists"):
        tg.jvp(f, 1.0, 1.0)


def test_a_long_history_of_constants_is_looked_at_once():
    def scaled(x, a):
        for _ in range(60):  # 2**60 ways lead back to the beginning
            a[1:] += a[:-1] / 2.0
        return np.sum(x * a)

    a = np.array([1.0, 0.0, 0.0])
    desired = scaled(1.0, a.copy())
    np.testing.assert_allclose(tg.grad(scaled)(2.0, a), desired)
    np.testing.assert_array_equal(a, [1.0, 0.0, 0.0])
