"""Memory that is lent to other libraries, and what crosses to other processes."""

import concurrent.futures
import copy
import multiprocessing
import pickle
import sys
import types
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.core.errors import TracedArrayError

X = np.array([1.0, 2.0, 3.0])
BUFFERS = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="buffers of classes are new in 3.12"
)


def total(x: Any) -> Any:
    return np.sum(np.sin(x) * x)


#: NumPy before 2.2 takes all that it borrows for read-only.
WRITEABLE = np.from_dlpack(np.ones(1)).flags.writeable


class Old:
    """A library that knows DLPack before version 1.0."""

    def __init__(self, tensor: tg.Tensor) -> None:
        self.tensor = tensor

    def __dlpack__(self, **_: Any) -> Any:
        return self.tensor.__dlpack__()

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


# DLPack -----------------------------------------------------------------------------------------


def test_a_tensor_is_lent_and_borrowed_without_a_copy() -> None:
    x = tg.tensor(X)
    lent = np.from_dlpack(x)
    assert np.shares_memory(lent, x.data) and lent.flags.writeable == WRITEABLE
    x.data[0] = 7.0
    assert lent[0] == 7.0
    assert x.__dlpack_device__() == np.ones(1).__dlpack_device__()
    array = X.copy()
    borrowed = tg.from_dlpack(array)
    array[1] = -1.0
    assert type(borrowed) is tg.Tensor and borrowed.data[1] == -1.0 and not borrowed.constant
    (borrowed * borrowed).sum().backward()
    assert np.array_equal(borrowed.grad, 2 * array)
    assert tg.from_dlpack(np.arange(3)).constant
    assert tg.from_dlpack(array, constant=True).constant
    assert not np.shares_memory(tg.from_dlpack(array, copy=True).data, array)
    assert tg.from_dlpack(np.ones(2, complex)).dtype == complex


def test_while_a_graph_needs_them_data_are_lent_read_only() -> None:
    x = tg.tensor(X)
    y = x * x
    for t in (x, y, x[1:]):
        assert not np.from_dlpack(t).flags.writeable
        with pytest.raises(BufferError, match=r"before 1.0.*x\.data\.copy"):
            t.__dlpack__()
        assert not np.shares_memory(np.from_dlpack(t, copy=True), t.data)
    y.sum().backward()
    del y, t
    assert np.from_dlpack(x).flags.writeable == WRITEABLE
    np.from_dlpack(Old(x))


def test_no_other_device_is_claimed() -> None:
    with pytest.raises((BufferError, ValueError)):
        tg.tensor(X).__dlpack__(dl_device=(2, 0), max_version=(1, 0))
    with pytest.raises(ValueError):
        tg.from_dlpack(X, device="gpu")


USES = {
    "dlpack": np.from_dlpack,
    "the method": lambda x: x.__dlpack__(max_version=(1, 0)),
    "interface": lambda x: np.array(x.__array_interface__["shape"]),
    "buffer": memoryview,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("adapt", [True, False])
def test_a_traced_value_is_not_lent(use: Any, adapt: bool) -> None:
    def f(x: Any) -> Any:
        use(x)
        return total(x)

    with pytest.raises((TracedArrayError, AttributeError, BufferError, TypeError)) as caught:
        tg.grad(f, adapt=adapt)(X)
    if issubclass(caught.type, TracedArrayError):
        assert "tg.stop_gradient" in str(caught.value)


def test_what_has_no_derivative_is_lent_in_traced_code() -> None:
    def f(x: Any) -> Any:
        weights = np.from_dlpack(tg.stop_gradient(x))
        return np.sum(x * weights)

    assert np.array_equal(tg.grad(f)(X), X)
    assert tg.jit(f)(X) == f(X)
    assert np.array_equal(tg.vmap(f)(np.stack([X, 2 * X])), [14.0, 56.0])
    with pytest.raises(TracedArrayError, match="stop_gradient"):
        tg.adapt(np.from_dlpack)(tg.tensor(X))


# Buffers and the array interface ------------------------------------------------------------------


def test_the_array_interface_is_there_outside_of_graphs() -> None:
    x = tg.tensor(X)
    theirs = x.data.__array_interface__
    assert x.__array_interface__ == {**theirs, "data": (theirs["data"][0], True)}
    assert hasattr(x, "__array_interface__")
    assert not np.asarray(x).flags.writeable  # here, where it is named
    y = 2 * x
    assert not hasattr(y, "__array_interface__")
    assert hasattr(2 * tg.tensor(X, constant=True), "__array_interface__")


def test_numpy_still_takes_the_array_itself_which_the_guard_knows() -> None:
    x = tg.tensor(X)
    array = np.asarray(x)
    assert array is x.data
    y = x * x
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5.0
    y.sum().backward()
    assert np.array_equal(x.grad, 2 * X)


@BUFFERS
def test_a_tensor_outside_of_graphs_is_a_buffer() -> None:
    x = tg.tensor(X)
    view = memoryview(x)  # type: ignore[arg-type]  # from 3.12 on
    assert view.tolist() == X.tolist() and view.readonly
    np.frombuffer(x)[0] = 4.0  # type: ignore[call-overload]  # asks for more than to read
    assert x.data[0] == view[0] == 4.0
    assert not np.asarray(
        x
    ).flags.writeable  # here, where buffers are named; the guard knows no views
    assert np.frombuffer(x).base is not None  # type: ignore[call-overload]
    y = x * 2
    with pytest.raises(BufferError, match=r"stop_gradient"):
        memoryview(y)
    assert memoryview(x).readonly  # type: ignore[arg-type]
    assert np.array_equal(np.asarray(y), 2 * x.data)


# Copies, hashes, other processes -------------------------------------------------------------------

FUNCTIONS = {
    "grad": (tg.grad(total), X),
    "vmap": (tg.vmap(total), np.stack([X, 2 * X])),
    "jit": (tg.jit(total), X),
    "jit(grad)": (tg.jit(tg.grad(total)), X),
    "vmap(grad)": (tg.vmap(tg.grad(total)), np.stack([X, 2 * X])),
    "value_and_grad": (tg.value_and_grad(total), X),
    "hessian": (tg.hessian(total), X),
}


@pytest.mark.parametrize("function, x", FUNCTIONS.values(), ids=FUNCTIONS)
def test_what_is_made_of_functions_is_pickled_copied_and_hashed(function: Any, x: Any) -> None:
    expected = function(x)
    for other in (
        pickle.loads(pickle.dumps(function)), copy.copy(function), copy.deepcopy(function),
    ):  # fmt: skip
        assert all(map(np.array_equal, tg.tree_leaves(other(x)), tg.tree_leaves(expected)))
        assert isinstance(hash(other), int)


def test_a_tensor_is_pickled_copied_and_hashed() -> None:
    x = tg.tensor(X)
    (x * x).sum().backward()
    for other in (pickle.loads(pickle.dumps(x)), copy.copy(x), copy.deepcopy(x)):
        assert np.array_equal(other.data, X) and np.array_equal(other.grad, x.grad)
        assert not np.shares_memory(other.data, x.data)
        assert len({x, other, x}) == 2


def test_a_tape_is_pickled_and_copied_with_its_tensors() -> None:
    x = tg.tensor(X)
    with tg.Tape() as tape:
        y = np.sin(x) * x
        x[0] = 3.0
        z = y * x
    assert len({tape, tape}) == 1
    for other, x2, z2 in (pickle.loads(pickle.dumps((tape, x, z))), copy.deepcopy((tape, x, z))):
        assert [e.primitive.name for e in other.entries] == [e.primitive.name for e in tape.entries]
        assert other.source() == tape.source()
        new = {x: X + 1}, {x2: X + 1}
        assert np.array_equal(other.replay(new[1])[z2], tape.replay(new[0])[z])
        both = [t.program([a], [b]).reverse()(X, X) for t, a, b in ((tape, x, z), (other, x2, z2))]
        assert all(map(np.array_equal, *both))
        with pytest.raises(RuntimeError, match=r"program\(.*reverse"):
            other.gradient(z2, x2)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_pools_of_processes_take_them(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("there is no such start method here")
    context = multiprocessing.get_context(method)
    gradient = tg.jit(tg.grad(total))
    tensors = [tg.tensor(X), tg.tensor(2 * X)]
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        arrays = list(pool.map(gradient, [X, 2 * X]))
        traced = list(pool.map(gradient, tensors))
    for array, tensor, x in zip(arrays, traced, (X, 2 * X)):
        np.testing.assert_allclose(array, np.cos(x) * x + np.sin(x))
        assert type(tensor) is tg.Tensor
        np.testing.assert_allclose(tensor.data, array)


def test_pools_of_threads_take_them() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(tg.grad(total), [X] * 8))
    assert all(np.array_equal(f, found[0]) for f in found)


# SciPy with SCIPY_ARRAY_API=1 -----------------------------------------------------------------------


def test_scipy_does_not_make_a_tensor_of_what_it_computed_on_a_plain_array(
    monkeypatch: Any,
) -> None:
    module = types.ModuleType("scipy.pretended")
    code = "import numpy as np\ndef f(x, xp): return xp.asarray(np.asarray(x) * 2)"
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "scipy", types.ModuleType("scipy"))
    x = tg.tensor(X)
    assert module.f(x, np) is not None  # as documented for np.asarray
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with pytest.raises(
        TracedArrayError, match=r"scipy\.pretended.*test_interchange.*stop_gradient"
    ):
        module.f(x, tg.array_api)
    constant = tg.tensor(X, constant=True)
    assert np.array_equal(module.f(constant, tg.array_api).data, 2 * X)
