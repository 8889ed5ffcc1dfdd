"""Every attribute of an ndarray: there with NumPy's signature and result, or absent with a reason."""

import inspect
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.core.appearance import missing

X = np.array([[0.5, 2.0, 1.5], [3.0, 0.25, 2.75]])
K = np.array([2, 0, 1])

#: What has no meaning for a tensor, or lives in its ``data``.
WITHOUT = {
    "byteswap", "ctypes", "dump", "dumps", "getfield", "resize", "setfield", "setflags",
    "__array_finalize__", "__array_struct__", "__array_wrap__", "__class_getitem__", "__delitem__",
    "__setstate__", "newbyteorder", "ptp", "itemset", "tostring", "_set_dtype", "_set_shape",
}  # fmt: skip

#: Of these the documentation of MyGrad gives another signature.
DOCUMENTED_OTHERWISE = {"astype"}

SAME: dict[str, list[Callable[[Any], Any]]] = {
    "T": [lambda x: x.T],
    "all": [lambda x: x.all(0), lambda x: x.all(axis=1, keepdims=True, where=X > 1)],
    "any": [lambda x: x.any(1), lambda x: x.any(where=X > 5)],
    "argmax": [lambda x: x.argmax(), lambda x: x.argmax(1, None, keepdims=True)],
    "argmin": [lambda x: x.argmin(0)],
    "argpartition": [lambda x: x.argpartition(1), lambda x: x.argpartition((0, 2), axis=1)],
    "argsort": [lambda x: x.argsort(0, "stable"), lambda x: x.argsort(axis=None, stable=True)],
    "astype": [lambda x: x.astype(np.float32), lambda x: x.astype(int),
               lambda x: x.astype(np.float32, "F", "same_kind"), lambda x: x.astype(int, "C")],
    "clip": [lambda x: x.clip(1, 2.5), lambda x: x.clip(max=2.5), lambda x: x.clip(min=1, max=2.5)],
    "compress": [lambda x: x.compress([True, False, True], 1), lambda x: x.compress([0, 1, 1])],
    "conj": [lambda x: x.conj()],
    "conjugate": [lambda x: x.conjugate()],
    "copy": [lambda x: x.copy(), lambda x: x.T.copy("F")],
    "cumprod": [lambda x: x.cumprod(1)],
    "cumsum": [lambda x: x.cumsum(0, np.float32), lambda x: x.cumsum()],
    "device": [lambda x: x.device],
    "diagonal": [lambda x: x.diagonal(1), lambda x: x.diagonal(0, 1, 0)],
    "dot": [lambda x: x.dot(K)],
    "dtype": [lambda x: x.dtype],
    "flags": [lambda x: x.flags.c_contiguous, lambda x: x.T.flags.f_contiguous],
    "flat": [lambda x: x.flat[4], lambda x: x.flat[1:4], lambda x: x.flat[[0, -1]],
             lambda x: len(x.flat), lambda x: np.sum(x.flat), lambda x: x.flat.copy()],
    "flatten": [lambda x: x.flatten("F")],
    "imag": [lambda x: x.imag],
    "item": [lambda x: x.item(2), lambda x: x.item(1, 0), lambda x: x[0, 0].item()],
    "itemsize": [lambda x: x.itemsize],
    "mT": [lambda x: x.mT],
    "max": [lambda x: x.max(), lambda x: x.max(0, None, keepdims=True), lambda x: x.max(initial=1)],
    "mean": [lambda x: x.mean(1), lambda x: x.mean(axis=0, dtype=np.float32, keepdims=True)],
    "min": [lambda x: x.min(1)],
    "nbytes": [lambda x: x.nbytes],
    "ndim": [lambda x: x.ndim],
    "nonzero": [lambda x: x.nonzero()],
    "prod": [lambda x: x.prod(1), lambda x: x.prod(0, np.float32)],
    "ravel": [lambda x: x.ravel(), lambda x: x.ravel("F")],
    "real": [lambda x: x.real],
    "repeat": [lambda x: x.repeat(2), lambda x: x.repeat([1, 2, 0], 1)],
    "reshape": [lambda x: x.reshape(3, -1), lambda x: x.reshape((6,), order="F"),
                lambda x: x.reshape(-1, order="F"), lambda x: x.T.reshape(2, 3, order="A"),
                lambda x: x.reshape(6, copy=True)],
    "round": [lambda x: x.round(), lambda x: x.round(1)],
    "searchsorted": [lambda x: np.sort(x[0]).searchsorted([1.0, 1.5], "right")],
    "shape": [lambda x: x.shape],
    "size": [lambda x: x.size],
    "squeeze": [lambda x: x[None].squeeze(), lambda x: x[None].squeeze(0)],
    "std": [lambda x: x.std(1), lambda x: x.std(0, np.float32), lambda x: x.std(ddof=1)],
    "strides": [lambda x: x.strides],
    "sum": [lambda x: x.sum(), lambda x: x.sum(0, np.float32), lambda x: x.sum(where=X > 1)],
    "swapaxes": [lambda x: x.swapaxes(0, 1)],
    "take": [lambda x: x.take([0, 5]), lambda x: x.take([7], 0, None, "wrap")],
    "to_device": [lambda x: x.to_device("cpu")],
    "tobytes": [lambda x: x.tobytes(), lambda x: x.tobytes("F")],
    "tolist": [lambda x: x.tolist()],
    "trace": [lambda x: x.trace(), lambda x: x.trace(1, 1, 0, np.float32)],
    "transpose": [lambda x: x.transpose(), lambda x: x.transpose(1, 0)],
    "var": [lambda x: x.var(1, ddof=1), lambda x: x.var(0, np.float32)],
    "view": [lambda x: x.view(), lambda x: x.view(float)],
    "__abs__": [lambda x: abs(x - 1)],
    "__contains__": [lambda x: 2.0 in x, lambda x: 9 in x, lambda x: x[0, 0] in x],
    "__divmod__": [lambda x: divmod(x, 0.7)[1], lambda x: divmod(x, x)[0]],
    "__rdivmod__": [lambda x: divmod(7.1, x)[1]],
    "__len__": [lambda x: len(x)],
    "__iter__": [lambda x: next(iter(x)), lambda x: [float(sum(row)) for row in x]],
    "__pow__": [lambda x: x**2, lambda x: x**x, lambda x: pow(x, -1)],
    "__rpow__": [lambda x: 2**x],
    "__matmul__": [lambda x: x @ K],
    "__rmatmul__": [lambda x: [1.0, 2.0] @ x],
    "__mod__": [lambda x: x % 0.7],
    "__rmod__": [lambda x: 7.3 % x],
    "__floordiv__": [lambda x: x // 0.7],
    "__rfloordiv__": [lambda x: 7.3 // x],
    "__bool__": [lambda x: bool(x[0, 0])],
    "__float__": [lambda x: float(x[0, 0])],
    "__int__": [lambda x: int(x[0, 1])],
    "__complex__": [lambda x: complex(x[0, 1])],
    "__index__": [lambda x: [5, 6, 7][x[:1, 0].astype(int)[0]]],
    "__format__": [lambda x: f"{x[0, 0]:.3f}", lambda x: f"{x[1, 0]:>8}"],
    "__lshift__": [lambda x: x.astype(int) << 2],
    "__rlshift__": [lambda x: 1 << x.astype(int)],
    "__rshift__": [lambda x: x.astype(int) >> 1],
    "__rrshift__": [lambda x: 64 >> x.astype(int)],
    "__and__": [lambda x: x.astype(int) & 1, lambda x: 1 & x.astype(int)],
    "__or__": [lambda x: x.astype(int) | 1, lambda x: 1 | x.astype(int)],
    "__xor__": [lambda x: x.astype(int) ^ 1, lambda x: 1 ^ x.astype(int)],
    "__invert__": [lambda x: ~x.astype(int)],
}  # fmt: skip

IN_PLACE: dict[str, list[Callable[[Any], Any]]] = {
    "fill": [lambda x: x.fill(3), lambda x: x[0].fill(3)],
    "put": [lambda x: x.put([0, -1], [7, 8]), lambda x: x.put([9], 5, mode="clip")],
    "sort": [lambda x: x.sort(), lambda x: x.sort(0, "stable"), lambda x: x[0].sort()],
    "partition": [lambda x: x.partition(1), lambda x: x.partition((0, 1), axis=0)],
    "flat": [lambda x: x.flat.__setitem__(slice(1, 5), [8, 9]), lambda x: setattr(x, "flat", 4),
             lambda x: x.T.flat.__setitem__(2, 7), lambda x: x.flat.__setitem__([0, 3], [1, 2])],
    "real": [lambda x: setattr(x, "real", 2)],
    "__setitem__": [lambda x: x.__setitem__((slice(None), 1), 4)],
    "__iadd__": [lambda x: x.__iadd__(2)],
    "__isub__": [lambda x: x.__isub__(2)],
    "__imul__": [lambda x: x.__imul__(2)],
    "__ipow__": [lambda x: x.__ipow__(2)],
    "__ifloordiv__": [lambda x: x.__ifloordiv__(2)],
    "__imod__": [lambda x: x.__imod__(2)],
}  # fmt: skip

ELSEWHERE = {
    # test_methods, test_tensor, test_views, test_transforms, test_interchange and below
    "__array_interface__", "__array_namespace__", "__buffer__", "__dlpack__", "__dlpack_device__",
    "base", "data", "choose", "tofile", "__itruediv__", "__imatmul__", "__iand__", "__ior__",
    "__ixor__", "__ilshift__", "__irshift__", "__add__", "__radd__", "__sub__", "__rsub__",
    "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__rand__", "__ror__", "__rxor__",
    "__neg__", "__pos__", "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__getitem__",
    "__array__", "__array_ufunc__", "__array_function__", "__array_priority__", "__copy__",
    "__deepcopy__", "__reduce__", "__reduce_ex__", "__doc__", "__hash__", "__repr__", "__str__",
}  # fmt: skip


def test_every_attribute_of_an_ndarray_is_there_or_has_no_meaning() -> None:
    names = set(dir(np.ndarray)) - set(dir(object))
    known = SAME.keys() | IN_PLACE.keys() | ELSEWHERE
    assert not names - known - WITHOUT, f"decide about {sorted(names - known - WITHOUT)}"
    assert not [n for n in names & known if not hasattr(tg.Tensor, n)]
    assert not [n for n in WITHOUT if hasattr(tg.Tensor, n) or hasattr(tg.tensor(X), n)]


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(f, id=f"{n}-{i}") for n, fs in table.items() for i, f in enumerate(fs)]


def same(ours: Any, numpys: Any) -> bool:
    if isinstance(numpys, tuple):
        return all(same(a, b) for a, b in zip(ours, numpys, strict=True))
    if isinstance(numpys, np.ndarray | np.generic):
        ours = ours.data if type(ours) is tg.Tensor else np.asarray(ours)
        return ours.dtype == numpys.dtype and np.array_equal(ours, numpys)
    return type(ours) is type(numpys) and ours == numpys


@pytest.mark.parametrize("use", cases(SAME))
def test_a_method_or_operator_gives_what_an_ndarrays_gives(use: Callable[[Any], Any]) -> None:
    x, expected = tg.tensor(X), use(X.copy())
    result = use(x)
    if type(result) is tg.Tensor:
        assert result.shape == expected.shape
    assert same(result, expected)


@pytest.mark.parametrize("use", cases(SAME))
def test_nothing_is_cut_off_inside_grad(use: Callable[[Any], Any]) -> None:
    """What gives a tensor outside of grad is differentiated inside of it, and by differences."""
    if type(use(tg.tensor(X))) is not tg.Tensor or use(X).dtype != float:
        return
    constant = use(tg.tensor(X)).constant
    weights = np.random.default_rng(0).normal(size=np.shape(use(X)))

    def total(x: Any) -> Any:
        return np.sum(use(x) * weights)

    direction = np.random.default_rng(1).normal(size=X.shape)
    step = 1e-6
    slope = (total(X + step * direction) - total(X - step * direction)) / (2 * step)
    assert np.sum(tg.grad(total)(X) * direction) == pytest.approx(slope, rel=1e-6, abs=1e-8)
    assert constant == (slope == 0)


@pytest.mark.parametrize("use", cases(IN_PLACE))
@pytest.mark.parametrize("kind", [float, int])
def test_what_writes_in_place_does_what_it_does_to_an_ndarray(
    use: Callable[[Any], Any], kind: Any
) -> None:
    data = X.astype(kind)
    x = tg.tensor(data)
    view = x[1:]
    expected = data.copy()
    use(expected)
    result = use(x)
    assert result is None or result is x
    assert np.array_equal(x.data, expected) and x.dtype == kind
    assert np.array_equal(view.data, expected[1:])


def test_writes_in_place_are_differentiated() -> None:
    def scrambled(x: Any) -> Any:
        x = x * 1.0
        x.partition(1)
        x.put([0, 1], x[1, :2] * 2)
        x.flat[3:5] = x[0, 1:] * x[0, 1:]
        x.real = x * 3.0
        return np.sum(x * np.arange(1.0, 7).reshape(2, 3))

    direction = np.random.default_rng(1).normal(size=X.shape)
    slope = (scrambled(X + 1e-6 * direction) - scrambled(X - 1e-6 * direction)) / 2e-6
    assert np.sum(tg.grad(scrambled)(X) * direction) == pytest.approx(slope, rel=1e-7)
    x = tg.tensor(X)
    scrambled(x).backward()
    assert np.array_equal(x.grad, tg.grad(scrambled)(X))


def test_integers_are_combined_bitwise_in_place() -> None:
    for use in ("__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__"):
        x, expected = tg.tensor([6, 5, 9]), np.array([6, 5, 9])
        same_object = getattr(x, use)(2)
        getattr(expected, use)(2)
        assert same_object is x and np.array_equal(x.data, expected)
    with pytest.raises(TypeError):
        tg.tensor([1.0]).__iand__(1)


@pytest.mark.parametrize("name", [n for n in dir(np.ndarray) if not n.startswith("_")])
def test_a_method_has_numpys_parameters(name: str) -> None:
    numpys = getattr(np.ndarray, name)
    if name in WITHOUT | DOCUMENTED_OTHERWISE or not callable(numpys):
        return
    try:
        wanted = inspect.signature(numpys).parameters
    except ValueError:  # this NumPy does not tell
        return
    have = inspect.signature(getattr(tg.Tensor, name)).parameters
    kinds = {p.kind for p in have.values()}
    positional = [p for p in wanted.values() if p.kind in (0, 1)]
    ours = [p for p in have.values() if p.kind in (0, 1)]
    for mine, its in zip(ours, positional):
        if its.default is not its.empty:
            assert mine.default == its.default
    assert len(ours) >= len(positional) or inspect.Parameter.VAR_POSITIONAL in kinds
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        keywords = {n for n, p in wanted.items() if p.kind == inspect.Parameter.KEYWORD_ONLY}
        assert keywords <= have.keys()


@pytest.mark.parametrize("order", [None, "C", "F", "A", "K"])
def test_copies_are_laid_out_as_numpys(order: str | None) -> None:
    words = {} if order is None else {"order": order}
    x = tg.tensor(X)
    for t, array in ((x, X), (x.T, X.T), (x[:, ::2], X[:, ::2])):
        for ours, numpys in (
            (t.copy(**words), array.copy(**words)),
            (t.astype(np.float32, **words), array.astype(np.float32, **words)),
        ):
            assert ours.data.strides == numpys.strides and np.array_equal(ours.data, numpys)
    assert x.astype(float, order="K", copy=False) is x
    assert x.T.astype(float, order="C", copy=False).base is None
    with pytest.raises(ValueError, match="order"):
        x.copy("Z")
    with pytest.raises(ValueError, match="order"):
        np.copy(x, order="Z")
    with pytest.raises(TypeError, match="positional"):
        x.astype(float, "K", "safe", True)


def test_the_iterator_over_elements_is_numpys() -> None:
    x = tg.tensor(X)
    flat, numpys = x.flat, X.flat
    assert flat.base is x
    for value in flat:
        assert float(value) == next(numpys)
        if numpys.index < 6:
            assert flat.index == numpys.index and flat.coords == numpys.coords
    with pytest.raises(StopIteration):
        next(flat)
    with pytest.raises(IndexError, match="index 6 is out of bounds"):
        x.flat[6]
    (np.sum(x.flat) + np.add(x.flat, x.flat)[0] + np.concatenate([x.flat, [1.0]])[5]).backward()
    assert np.array_equal(x.grad, [[3, 1, 1], [1, 1, 2]])


def test_choose_takes_an_integer_tensor() -> None:
    choices = tg.tensor(X)
    chosen = tg.tensor([1, 0, 1]).choose(choices)
    assert np.array_equal(chosen.data, np.array([1, 0, 1]).choose(X))
    chosen.backward()
    assert np.array_equal(choices.grad, [[0, 1, 0], [1, 0, 1]])


def test_bytes_go_to_files(tmp_path: Any) -> None:
    tg.tensor(X).tofile(tmp_path / "x")
    assert np.array_equal(np.fromfile(tmp_path / "x"), X.ravel())
    stream = io.BytesIO(pickle.dumps(tg.tensor(X)))
    assert np.array_equal(pickle.load(stream).data, X)


ERRORS: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda x: pow(x, 2, 5), TypeError, "unsupported operand"),
    (lambda x: pow(2, x, 5), TypeError, "unsupported operand"),
    (lambda x: x.__imatmul__(x), TypeError, "x = x @ y"),
    (lambda x: bool(x), ValueError, "ambiguous"),
    (lambda x: float(x), TypeError, "one element"),
    (lambda x: complex(x), TypeError, "one element"),
    (lambda x: int(x), TypeError, "one element"),
    (lambda x: [1, 2][x[0, 0]], TypeError, "integer scalar"),
    (lambda x: len(x[0, 0]), TypeError, "without axes"),
    (lambda x: list(x[0, 0]), TypeError, "without axes"),
    (lambda x: f"{x:.2f}", TypeError, "array2string"),
    (lambda x: x.item(), ValueError, "size 1"),
    (lambda x: x[1.5:], TypeError, "integer"),
    (lambda x: x.reshape(2.0, 3), TypeError, "integer"),
    (lambda x: x.reshape(6, order="K"), ValueError, "order"),
    (lambda x: tg.einsum(x, [0.5, 1]), TypeError, "integer"),
    (lambda x: x.view(np.int64), TypeError, "no derivative"),
    (lambda x: x.view(np.ndarray), TypeError, "no derivative"),
    (lambda x: x.view(np.recarray), TypeError, "as recarray would have no derivative"),
    (lambda x: x.view(3, -1), TypeError, "reshape"),
    (lambda x: x.to_device("gpu"), ValueError, "cpu"),
    (lambda x: setattr(x, "imag", 1), TypeError, "imaginary part"),
    (lambda x: setattr(x, "anything", 1), AttributeError, "anything"),
    (lambda x: x.partition(9), ValueError, "out of bounds"),
    (lambda x: x.put([9], 1.0), IndexError, "out of bounds"),
    (lambda x: x.trace(axis1=0, axis2=0), ValueError, "cannot be the same"),
    (lambda x: x & 1, TypeError, "bitwise_and"),
    (lambda x: x @ 2.0, ValueError, "matmul"),
    (lambda x: x.clip(1, 2, out=3), TypeError, "ArrayType"),
    (lambda x: x.nothing, AttributeError, "no attribute 'nothing'"),
]


@pytest.mark.parametrize(("use", "error", "text"), ERRORS, ids=range(len(ERRORS)))
def test_wrong_uses_are_refused(use: Callable[[Any], Any], error: Any, text: str) -> None:
    x = tg.tensor(X)
    with pytest.raises(error, match=text):
        use(x)
    assert np.array_equal(x.data, X)


def test_what_a_tensor_has_not_says_what_to_use() -> None:
    assert missing("resize").endswith("use np.resize(x, (2, 2)): returns a new tensor")
    assert missing("nothing") == "'Tensor' object has no attribute 'nothing'"


@pytest.mark.filterwarnings("ignore:jit:RuntimeWarning")
def test_compiled_code_may_use_what_tensors_have_not() -> None:
    for use in (lambda x: x.view(np.int64), lambda x: x.byteswap(), lambda x: x.flags.c_contiguous):
        assert same(tg.jit(use)(X), use(X))


def test_a_traced_value_is_a_view_of_the_class_that_it_stands_for():
    def f(x):
        y = 2.0 * x
        y.view(np.ndarray)[0] = 5.0
        return np.sum(y * y)

    np.testing.assert_array_equal(tg.grad(f)(np.ones(3)), [0.0, 8.0, 8.0])
