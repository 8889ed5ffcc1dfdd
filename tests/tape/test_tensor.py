"""Tensors as values: creation, flags, printing, Python's protocols, copies, data and shape."""

import copy
import inspect
import operator
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Tensor

# Creation ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data, dtype, constant",
    [
        (2.3, "float64", False),
        ([1.2, 3.0], "float64", False),
        ([[1, 2], [3, 4]], "int64", True),
        (True, "bool", True),
        (np.float32(2), "float32", False),
        (np.arange(3, dtype=np.float16), "float16", False),
        (np.uint8(3), "uint8", True),
        (np.ones(2, dtype=np.longdouble), np.longdouble, False),
        ((range(3)), "int64", True),
        ([], "float64", False),
    ],
)
def test_dtype_follows_numpy_and_only_floats_are_variables(data, dtype, constant):
    for make in (tg.tensor, Tensor, tg.astensor):
        t = make(data)
        assert type(t) is Tensor
        assert t.dtype == np.dtype(dtype)
        assert t.constant is constant
        assert t.creator is None and t.base is None and t.grad is None
        assert np.array_equal(t.data, np.array(data))


def test_an_integer_tensor_is_constant_and_a_float_one_made_of_an_integer_is_not():
    assert tg.astensor(1, dtype=np.int8).constant
    assert not tg.astensor(1, dtype=np.float32).constant
    assert Tensor([1, 2]).constant


@pytest.mark.parametrize("make", [tg.tensor, Tensor])
def test_creation_copies_by_default(make):
    a = np.ones(3)
    t = make(a)
    a[0] = 5.0
    assert t.data[0] == 1.0
    u = make(t)
    assert not np.shares_memory(t, u)


@pytest.mark.parametrize("make", [tg.tensor, Tensor])
def test_creation_without_copy_takes_the_array_itself(make):
    a = np.ones(3)
    assert make(a, copy=False).data is a


def test_tensor_without_copy_is_the_tensor_itself_if_everything_fits():
    t = tg.tensor([1.0, 2.0])
    assert tg.tensor(t, copy=False) is t
    assert tg.tensor(t, copy=False, constant=False) is t
    other = tg.tensor(t, copy=False, constant=True)
    assert other is not t and other.constant and other.data is t.data
    assert tg.tensor(t, dtype=np.float32, copy=False).dtype == np.float32


def test_dtype_is_honoured_when_the_source_is_a_tensor():
    t = Tensor(tg.tensor([1.5, 2.5]), dtype=np.float32)
    assert t.dtype == np.float32 and not t.constant
    assert Tensor(tg.tensor([1.5, 2.5]), dtype=np.int64).constant


def test_ndmin_puts_axes_in_front():
    t = tg.tensor([1.0, 2.0], copy=True, ndmin=2)
    assert np.array_equal(t.data, [[1.0, 2.0]])
    assert Tensor(1.0, ndmin=3).shape == (1, 1, 1)
    assert Tensor(np.ones((2, 2)), ndmin=1).shape == (2, 2)


def test_ndmin_of_a_tensor_without_copy_is_a_view_in_its_graph():
    x = tg.tensor([1.0, 2.0])
    y = tg.tensor(x, copy=False, ndmin=2)
    assert y.shape == (1, 2) and np.shares_memory(x, y)
    (y * y).backward()
    assert np.array_equal(x.grad, [2.0, 4.0])


@pytest.mark.parametrize("ndmin", [1.0, "1", None, True])
def test_ndmin_that_is_no_integer_is_a_type_error(ndmin):
    with pytest.raises(TypeError, match="ndmin"):
        Tensor([1.0], ndmin=ndmin)


@pytest.mark.parametrize("bad", [1, 0, "yes", 1.0, [True]])
def test_constant_must_be_a_bool_or_none(bad):
    for make in (
        lambda: tg.tensor(1.0, constant=bad),
        lambda: Tensor(1.0, constant=bad),
        lambda: tg.astensor(1.0, constant=bad),
        lambda: tg.add(tg.tensor(1.0), 1.0, constant=bad),
        lambda: tg.zeros(2, constant=bad),
        lambda: tg.tensor(1.0).astype("f4", constant=bad),
        lambda: tg.tensor(1.0).copy(constant=bad),
    ):
        with pytest.raises(TypeError, match="constant"):
            make()


@pytest.mark.parametrize("bad", ["text", None, [None], np.array(["a"]), object(), {1.0: 2}])
def test_data_that_is_no_number_is_a_type_error(bad):
    with pytest.raises(TypeError, match="holds numbers"):
        tg.tensor(bad)


@pytest.mark.parametrize("dtype", [object, str, "datetime64[s]"])
def test_a_dtype_that_is_no_number_is_a_type_error(dtype):
    with pytest.raises(TypeError):
        tg.tensor([1.0], dtype=dtype)
    with pytest.raises(TypeError):
        tg.tensor([1.0]).astype(dtype)


def test_ragged_data_raises_numpys_error():
    with pytest.raises(ValueError, match="inhomogeneous"):
        tg.tensor([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("data", [1, [1, 2], True, np.zeros(2, np.uint8)])
def test_integers_cannot_be_made_variables(data):
    with pytest.raises(ValueError, match="must be constant"):
        tg.tensor(data, constant=False)


def test_a_tensor_of_a_list_of_tensors_has_their_values():
    t = tg.tensor([tg.tensor(1.0), tg.tensor(2.0)])
    assert np.array_equal(t.data, [1.0, 2.0])


def test_constants_beget_constants_and_false_forces_a_variable():
    x, y = tg.tensor([1.0, 2.0], constant=True), tg.tensor([0.0, 3.0], constant=True)
    z = (x + y) ** 2 - np.array([8.0, 7.0])
    assert z.constant
    forced = tg.multiply(x, y, constant=False)
    assert not forced.constant
    assert tg.multiply(tg.tensor(2.0), 3.0, constant=True).constant
    with pytest.raises(ValueError, match="must be constant"):
        tg.multiply(2, 3, constant=False)


def test_flags_of_the_tensor_cannot_be_assigned():
    t = tg.tensor([1.0])
    for name in ("constant", "grad", "base", "creator", "dtype", "ndim", "size", "T"):
        with pytest.raises(AttributeError):
            setattr(t, name, None)
    with pytest.raises(AttributeError):
        t.anything = 1


# Printing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data, text",
    [
        (9.0, "Tensor(9.)"),
        ([1.2, 3.0], "Tensor([1.2, 3. ])"),
        ([[1, 2], [3, 4]], "Tensor([[1, 2],\n        [3, 4]])"),
        (np.ones(2, np.float32), "Tensor([1., 1.], dtype=float32)"),
        (np.arange(3, dtype=np.int8), "Tensor([0, 1, 2], dtype=int8)"),
        ([True, False], "Tensor([ True, False])"),
        ([], "Tensor([], dtype=float64)"),
        (np.nan, "Tensor(nan)"),
    ],
)
def test_repr_is_numpys_with_another_name(data, text):
    t = tg.tensor(data)
    assert repr(t) == text
    assert str(t) == text


def test_repr_of_long_arrays_is_shortened_and_aligned():
    lines = repr(tg.tensor(np.arange(4000.0).reshape(1000, 4))).splitlines()
    assert len(lines) == 7 and all(line.startswith(" " * 8) for line in lines[1:])


def test_repr_honours_numpys_print_options():
    with np.printoptions(precision=2):
        assert repr(tg.tensor([0.123456])) == "Tensor([0.12])"


def test_format_applies_to_scalars():
    assert f"{tg.tensor(1.23456):.2f}" == "1.23"
    assert f"{tg.tensor([1.0])}" == "Tensor([1.])"


# Python's protocols --------------------------------------------------------------------------


def test_item_gives_a_python_scalar():
    assert type(tg.tensor([22.2]).item()) is float
    assert tg.tensor([22.2]).item() == 22.2
    assert type(tg.tensor(np.int8(3)).item()) is int
    assert tg.tensor([[1.0, 2.0]]).item(0, 1) == 2.0
    with pytest.raises(ValueError, match="size 1"):
        tg.tensor([1.0, 2.0]).item()


def test_float_and_int_need_one_element():
    assert float(tg.tensor(1.5)) == 1.5 and float(tg.tensor([[1.5]])) == 1.5
    assert int(tg.tensor(1.5)) == 1
    for convert in (float, int):
        with pytest.raises(TypeError, match="one element"):
            convert(tg.tensor([1.0, 2.0]))
        with pytest.raises(TypeError, match="one element"):
            convert(tg.tensor([]))


def test_complex_and_round_do_what_numpys_arrays_do():
    assert complex(tg.tensor(1.5)) == complex(np.array(1.5))


def test_bool_is_numpys():
    assert bool(tg.tensor([2.0])) and not tg.tensor(0.0)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(tg.tensor([1.0, 2.0]))


def test_integer_scalars_index_python_sequences():
    assert "abc"[tg.tensor(1)] == "b"
    assert operator.index(tg.tensor(np.uint8(2))) == 2
    assert list(range(tg.tensor(3))) == [0, 1, 2]
    for bad in (tg.tensor(1.0), tg.tensor([1]), tg.tensor(True)):
        with pytest.raises(TypeError, match="index"):
            operator.index(bad)


def test_len_and_iteration_need_an_axis():
    assert len(tg.ones((3, 2))) == 3
    assert [float(v) for v in tg.tensor([1.0, 2.0])] == [1.0, 2.0]
    with pytest.raises(TypeError):
        len(tg.tensor(1.0))
    with pytest.raises(TypeError):
        iter(tg.tensor(1.0))


def test_iteration_is_differentiable():
    x = tg.tensor([1.0, 2.0, 3.0])
    total = tg.tensor(0.0)
    for v in x:
        total = total + v * v
    total.backward()
    assert np.array_equal(x.grad, [2.0, 4.0, 6.0])
    a, b, c = x
    assert (a.item(), b.item(), c.item()) == (1.0, 2.0, 3.0)


def test_rows_of_an_iteration_are_views():
    x = tg.ones((2, 3))
    assert all(row.base is x and row.shape == (3,) for row in x)


def test_in_looks_for_equal_elements():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert 3.0 in x and 5.0 not in x
    assert tg.tensor(4.0) in x


def test_hash_is_by_identity_so_that_tensors_can_be_keys():
    x, y = tg.tensor(1.0), tg.tensor(1.0)
    assert {x: 1, y: 2}[x] == 1


def test_comparisons_give_arrays_and_keep_the_gradient():
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    for result in (x == 1, x != 1, x < 2, x <= 1, x > 1, x >= 2, np.isnan(x), np.equal(x, x)):
        assert type(result) is np.ndarray and result.dtype == bool
    assert x.grad is not None


def test_comparison_with_something_strange_is_numpys():
    x = tg.tensor([1.0, 2.0])
    assert not np.any(x == "text")
    assert np.all(x != None)  # noqa: E711


# Copies and casts ----------------------------------------------------------------------------


def test_a_copy_has_data_and_gradient_and_no_graph():
    x = tg.tensor([3.0])
    y = x * 2
    y.backward()
    for c in (y.copy(), copy.copy(y), copy.deepcopy(y)):
        assert c.creator is None and c.base is None
        assert np.array_equal(c.grad, [1.0]) and c.grad is not y.grad
        assert not np.shares_memory(c, y)
    assert y.copy(constant=True).constant and y.copy(constant=True).grad is None


def test_deepcopy_of_a_nest_keeps_shared_tensors_shared():
    w = tg.tensor([1.0])
    model = {"a": w, "b": [w]}
    twin = copy.deepcopy(model)
    assert twin["a"] is twin["b"][0] and twin["a"] is not w


def test_pickling_carries_data_flag_and_gradient():
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    for t in (x, tg.tensor([1, 2]), tg.tensor(np.float32(1.0), constant=True), x[:1], x * 2):
        u = pickle.loads(pickle.dumps(t))
        assert np.array_equal(t.data, u.data) and u.dtype == t.dtype
        assert u.constant == t.constant and u.creator is None and u.base is None
        assert (u.grad is None) == (t.grad is None)
        if t.grad is not None:
            assert np.array_equal(u.grad, t.grad)
        assert u.data.flags.writeable


def test_astype_is_outside_of_any_graph():
    x = tg.tensor([1.7, 2.0])
    y = x.astype("float32")
    assert y.dtype == np.float32 and y.creator is None and y.grad is None and not y.constant
    assert x.astype(np.int8).constant
    assert tg.arange(3).astype(float).constant is False
    assert tg.tensor([1.0], constant=True).astype(np.float32).constant
    assert tg.arange(10).astype(np.int8, constant=True).constant
    assert x.astype(float) is not x and not np.shares_memory(x.astype(float), x)
    assert x.astype(float, copy=False) is x
    assert x.astype(float, copy=False, constant=True) is not x
    with pytest.raises(TypeError, match="same_kind"):
        x.astype(int, casting="same_kind")
    with pytest.raises(ValueError, match="must be constant"):
        x.astype(int, constant=False)


# Data and shape ------------------------------------------------------------------------------


def test_data_can_be_updated_in_place_and_replaced():
    w = tg.tensor(10.0)
    steps = []
    for _ in range(10):
        loss = w**2
        loss.backward()
        w.data -= 0.3 * w.grad
        steps.append(w.item())
    assert np.allclose(steps, 10.0 * 0.4 ** np.arange(1, 11))
    new = np.array([1.0, 2.0])
    w.data = new
    assert w.data is new and w.shape == (2,)


def test_data_of_a_tensor_in_a_live_graph_cannot_be_updated_in_place():
    w = tg.tensor([1.0, 2.0])
    loss = w**2
    with pytest.raises(ValueError, match="read-only"):
        w.data -= 1.0
    loss.backward()
    assert np.array_equal(w.grad, [2.0, 4.0])


def test_replacing_data_leaves_a_live_graph_alone():
    w = tg.tensor([1.0, 2.0])
    loss = w**2
    w.data = np.array([5.0, 5.0])
    loss.backward()
    later = w * 2
    later.backward()
    assert np.array_equal(w.grad, [2.0, 2.0])


def test_data_must_be_numbers():
    w = tg.tensor([1.0])
    with pytest.raises(TypeError, match="holds numbers"):
        w.data = np.array(["a"])


def test_methods_have_documented_signatures():
    def names(f):
        return list(inspect.signature(f).parameters)

    assert names(Tensor) == ["x", "dtype", "constant", "copy", "ndmin"]
    own = ["order", "subok"]  # NumPy's, which the documentation leaves out
    documented = [n for n in names(Tensor.astype) if n not in own]
    assert documented == ["self", "dtype", "casting", "copy", "constant"]
    assert names(Tensor.backward) == ["self", "grad"]
    assert names(Tensor.copy)[-1] == "constant"
    assert names(Tensor.null_grad) == ["self", "_clear_view_info"]
    assert names(Tensor.null_gradients) == ["self", "clear_graph"]
    assert names(tg.tensor)[:2] == ["arr_like", "dtype"]
    assert names(tg.execute_op)[:2] == ["Op", "input_vars"]
