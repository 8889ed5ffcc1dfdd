"""The array API namespace: what the standard says, held against array-api-strict, or else NumPy.

Values, dtypes and shapes are compared for each function over its dtypes, broadcasting and scalars. The
signatures are those of array-api-strict, where that is installed.
"""

import importlib
import importlib.util
import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import array_api as xp

strict: Any = None
if importlib.util.find_spec("array_api_strict"):
    strict = importlib.import_module("array_api_strict")
    strict.set_array_api_strict_flags(api_version="2025.12")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
NUMBERS = [*INTEGERS, *FLOATS]
ALL = ["bool", *NUMBERS]
BITS = ["bool", *INTEGERS]
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 0.5, 2.5, -1.5]

#: The dtypes of each elementwise function.
UNARY_NAMES = {
    "abs negative positive sign square round ceil floor trunc isfinite isinf isnan": NUMBERS,
    "acos acosh asin asinh atan atanh cos cosh exp expm1 log log10 log1p log2 sin sinh sqrt": FLOATS,
    "tan tanh signbit reciprocal": FLOATS,
    "logical_not": ["bool"],
    "bitwise_invert": BITS,
}
BINARY_NAMES = {
    "add subtract multiply maximum minimum remainder floor_divide pow": NUMBERS,
    "less less_equal greater greater_equal": NUMBERS,
    "equal not_equal": ALL,
    "atan2 copysign divide hypot logaddexp nextafter": FLOATS,
    "logical_and logical_or logical_xor": ["bool"],
    "bitwise_and bitwise_or bitwise_xor": BITS,
    "bitwise_left_shift bitwise_right_shift": INTEGERS,
}
UNARY = {name: dtypes for names, dtypes in UNARY_NAMES.items() for name in names.split()}
BINARY = {name: dtypes for names, dtypes in BINARY_NAMES.items() for name in names.split()}

CALLS = """
sum(x) sum(x,axis=0) sum(x,axis=(0,1)) sum(x,axis=-1,keepdims=True) sum(x,dtype=xp.float64)
prod(x) prod(x,axis=0) max(x) max(x,axis=1,keepdims=True) min(x,axis=0) argmax(x) argmax(x,axis=0)
argmin(x,axis=1,keepdims=True) all(x) all(x,axis=0) any(x,axis=(0,1)) count_nonzero(x,axis=0)
sort(x) sort(x,axis=0) argsort(x) argsort(x,axis=0) sort(x,stable=False)
unique_all(x) unique_counts(x) unique_inverse(x) sort(xp.unique_values(x)) nonzero(x) where(x>1,x,x)
where(x>1,x,1) cumulative_sum(x,axis=0) cumulative_sum(x,axis=1,include_initial=True)
cumulative_prod(x,axis=0) diff(x) diff(x,axis=0) diff(x,n=2) diff(x,prepend=x[:,:1])
reshape(x,(-1,)) reshape(x,(3,2),copy=True) permute_dims(x,(1,0)) moveaxis(x,0,1) expand_dims(x,-1)
squeeze(x[:1,:],0) flip(x) flip(x,axis=(0,1)) roll(x,1) roll(x,(1,2),axis=(0,1)) tile(x,(2,1,1))
repeat(x,2) repeat(x,i,axis=0) concat([x,x]) concat([x,x],axis=None) stack([x,x],axis=-1)
unstack(x,axis=1) broadcast_to(x,(4,2,3)) broadcast_arrays(x,x[:1,:]) broadcast_shapes((2,3),(4,1,1))
tril(x) triu(x,k=1) take(x,i,axis=0) take_along_axis(x,j,axis=1)
isin(x,x[0,:]) isin(x,1) searchsorted(xp.sort(x[0,:]),x[1,:],side='right')
searchsorted(x[0,:],x[1,:],sorter=xp.argsort(x[0,:])) clip(x,1,2) clip(x,min=1) clip(x,max=2)
zeros_like(x) ones_like(x) full_like(x,2) meshgrid(x[0,:],x[1,:],indexing='ij')
astype(x,xp.float32) astype(x,xp.int64) astype(x,xp.bool) asarray(x,copy=True)
asarray(x,dtype=xp.float32) isdtype(x.dtype,'numeric') isdtype(x.dtype,('bool','integral'))
matmul(x,xp.matrix_transpose(x)) tensordot(x,x,axes=2) tensordot(x,x,axes=0) vecdot(x,x,axis=-2)
linalg.outer(x[0,:],x[1,:]) linalg.trace(x,offset=1) linalg.diagonal(x,offset=1) linalg.vecdot(x,x)
"""
OF_FLOATS = """
mean(x) mean(x,axis=(0,1),keepdims=True) std(x,axis=0,correction=1) std(x,correction=0.5) var(x,axis=1)
linalg.cross(x,x[::-1,:]) linalg.cholesky(s) linalg.cholesky(s,upper=True) linalg.det(s)
linalg.eigh(s).eigenvalues linalg.eigvalsh(s) linalg.inv(s) linalg.matrix_norm(x)
linalg.matrix_norm(x,ord='nuc') linalg.matrix_norm(x,ord=1,keepdims=True) linalg.matrix_power(s,-2)
linalg.matrix_rank(x) linalg.pinv(x) linalg.qr(x) linalg.slogdet(s) linalg.solve(s,x[0,:])
linalg.svd(x,full_matrices=False).S linalg.svdvals(x) linalg.vector_norm(x,axis=0)
linalg.vector_norm(x,ord=3.5,axis=1,keepdims=True) linalg.vector_norm(x,ord=float('inf'))
finfo(x.dtype).bits fft.fftshift(x,axes=(0,1)) fft.ifftshift(x)
"""
CREATIONS = """
zeros(3) zeros((2,3)) zeros((),dtype=xp.int8) ones(3) ones(2,dtype=xp.bool) full(3,1) full((2,2),1.5)
full(2,True) eye(3) eye(2,3,k=1) eye(2,dtype=xp.int64) arange(5) arange(1,5) arange(0,1,0.25)
arange(5,0,-2) arange(3,dtype=xp.float32) linspace(0,1,5) linspace(0,1,num=4,endpoint=False)
asarray(1) asarray(1.5) asarray(True) asarray([[1.,2],[3,4]]) asarray([1,2],dtype=xp.int8)
finfo(xp.float32).bits iinfo(xp.int8).max isdtype(xp.float32,'integral') fft.fftfreq(5)
fft.rfftfreq(4,d=0.1) from_dlpack(xp.asarray([1.,2.]))
result_type(xp.int8,xp.int16)==xp.int16 can_cast(xp.float64,xp.float32) e pi inf newaxis
"""


def sample(dtype: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in INTEGERS:
        return rng.integers(0 if dtype[0] == "u" else -5, 6, shape).astype(dtype)
    return (2 * rng.normal(size=shape)).astype(dtype)


def reference() -> Any:
    """The namespace that is right, and what makes an array of it."""
    if strict is None:
        return SimpleNamespace(xp=np, array=np.array)
    return SimpleNamespace(xp=strict, array=lambda a: strict.asarray(a.copy()))


OURS = SimpleNamespace(xp=xp, array=lambda a: xp.asarray(a.copy()))


def agree(ours: Any, right: Any) -> bool:
    if isinstance(right, tuple | list):
        return isinstance(ours, tuple) and all(map(agree, ours, right)) and len(ours) == len(right)
    if strict is not None and isinstance(right, type(strict.asarray(1))):
        right = np.asarray(right._array)
    if isinstance(right, np.ndarray | np.generic) and not isinstance(ours, bool | int | float):
        assert type(ours) is tg.Tensor, type(ours)
        assert (ours.dtype, ours.shape) == (right.dtype, right.shape)
        close = 1e-5 if right.dtype == np.float32 else 1e-12
        return np.allclose(ours.data, right, close, close, equal_nan=True)
    return bool(ours == right)


def compared(f: Any) -> None:
    """Check that a function of a namespace, and of what makes arrays, gives the same in both."""
    try:
        right = f(reference())
    except (TypeError, IndexError):
        if strict is None:
            raise
        return  # array-api-strict refuses what the standard leaves open
    assert agree(f(OURS), right), (f(OURS), right)


@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_one_array(name: str) -> None:
    for dtype in UNARY[name]:
        arrays = [sample(dtype, shape) for shape in ((), (0,), (4,), (2, 0, 3), (3, 1, 4))]
        if dtype in FLOATS:
            arrays.append(np.array(SPECIAL, dtype))
        for a in arrays:
            compared(lambda n, a=a: getattr(n.xp, name)(n.array(a)))


@pytest.mark.parametrize("name", BINARY)
def test_a_function_of_two_arrays(name: str) -> None:
    for dtype in BINARY[name]:
        pairs = [(sample(dtype, s), sample(dtype, t, 1)) for s, t in
                 (((), ()), ((4,), (4,)), ((2, 3), (3,)), ((2, 1), (1, 4)), ((0,), (0,)))]  # fmt: skip
        if dtype in FLOATS:
            a = np.array(SPECIAL, dtype)
            pairs.append((a[:, None], a))
        for a, b in pairs:
            if "shift" in name or (name == "pow" and dtype in INTEGERS):
                b = abs(b)
            if name in ("floor_divide", "remainder") and dtype in INTEGERS:
                b = np.where(b == 0, 1, b).astype(dtype)
            compared(lambda n, a=a, b=b: getattr(n.xp, name)(n.array(a), n.array(b)))
        first, number = (b, True) if dtype == "bool" else (abs(b), 2)
        compared(lambda n, a=first, b=number: getattr(n.xp, name)(n.array(a), b))


OPERATORS = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide",
    "%": "remainder", "**": "pow", "&": "bitwise_and", "|": "bitwise_or", "^": "bitwise_xor",
    "<<": "bitwise_left_shift", ">>": "bitwise_right_shift", "<": "less", "<=": "less_equal",
    ">": "greater", ">=": "greater_equal", "==": "equal", "!=": "not_equal",
}  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_of_arrays_and_numbers(operator: str) -> None:
    """Where MyGrad documents arrays, NumPy's may stand for tensors."""
    for dtype in BINARY[OPERATORS[operator]]:
        a, b = sample(dtype, (3,)), sample(dtype, (2, 3), 1)
        a, b = (a, b) if dtype == "bool" else (abs(a), abs(b) + np.ones((), dtype))
        number = True if dtype == "bool" else 2
        for text in (f"a {operator} b", f"a {operator} {number}", f"{number} {operator} a"):
            ours = eval(text, {"a": xp.asarray(a), "b": xp.asarray(b)})
            right = eval(text, {"a": a, "b": b})
            assert (ours.dtype, ours.shape) == (right.dtype, right.shape), text
            np.testing.assert_allclose(np.asarray(ours), right, err_msg=text)


@pytest.mark.parametrize("call", [*CALLS.split(), *OF_FLOATS.split()])
def test_a_call(call: str) -> None:
    dtypes = NUMBERS if call.startswith("clip") else ALL
    for dtype in FLOATS if call in OF_FLOATS.split() else dtypes:
        x, g = sample(dtype, (2, 3)), sample(dtype, (3, 3), 1)
        s = (g @ g.T + 3 * np.eye(3)).astype(dtype) if dtype in FLOATS else g
        constants = {"i": np.array([1, 0]), "j": np.array([[1, 0], [0, 1]])}

        def f(n: Any) -> Any:
            names = {"x": x, "s": s, **constants}  # noqa: B023  # is called at once
            return eval(f"xp.{call}", {"xp": n.xp, **{k: n.array(v) for k, v in names.items()}})

        compared(f)


@pytest.mark.parametrize("call", CREATIONS.split())
def test_a_creation(call: str) -> None:
    compared(lambda n: eval(f"xp.{call}", {"xp": n.xp}))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sorting_in_descending_order_is_stable(axis: int) -> None:
    for dtype in ALL:
        x = sample(dtype, (5, 6))
        order = xp.argsort(xp.asarray(x), axis=axis, descending=True)
        keys = -x.astype(float)
        assert np.array_equal(order.data, np.argsort(keys, axis=axis, stable=True))
        found = xp.sort(xp.asarray(x), axis=axis, descending=True)
        assert np.array_equal(found.data, -np.sort(keys, axis=axis)) and found.dtype == dtype


def test_membership_is_inverted() -> None:
    found = xp.isin(xp.asarray([1, 2, 3]), xp.asarray([2, 5]), invert=True)
    assert found.data.tolist() == [True, False, True]


def test_all_names_are_there_but_the_complex_ones() -> None:
    info = xp.__array_namespace_info__()
    assert info.default_device() == "cpu" and info.devices() == ["cpu"]
    assert info.default_dtypes() == {
        "real floating": np.float64, "integral": np.int64, "indexing": np.int64,
    }  # fmt: skip
    assert [*info.dtypes()] == ALL and [*info.dtypes(kind=("bool", "real floating"))] == [
        "bool", *FLOATS,
    ]  # fmt: skip
    assert info.capabilities()["boolean indexing"]
    assert all(hasattr(xp, name) for name in (*UNARY, *BINARY, *xp.__all__))
    if strict is None:
        return
    complexes = {"complex64", "complex128", "conj", "imag", "real"}
    ours, own = {*xp.__all__}, {n for n in strict.__all__ if "strict" in n or n[0].isupper()}
    assert {*strict.__all__} - ours - own == complexes | {"__version__"}
    assert {*strict.linalg.__all__} == {*xp.linalg.__all__}
    for theirs, mine in ((strict, xp), (strict.linalg, xp.linalg)):
        for name in {*theirs.__all__} & {*mine.__all__}:
            if inspect.isfunction(getattr(theirs, name)):
                assert parameters(getattr(mine, name)) == parameters(getattr(theirs, name)), name


def parameters(function: Any) -> Any:
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, None if "UNDEF" in str(p.default) else p.default) for p in found]


def test_the_namespace_is_found_and_its_version_is_checked() -> None:
    x = tg.tensor([1.0])
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2023.12") is xp
    with pytest.raises(ValueError, match="2025"):
        x.__array_namespace__(api_version="2031.12")
    for make in (xp.zeros, xp.ones, xp.empty):
        assert make(2).dtype == np.float64 and not make(2, dtype=xp.float32).constant
        with pytest.raises(ValueError, match="cpu"):
            make(2, device="gpu")
    assert tg.zeros(2).dtype == np.float32


def test_copies_and_conversions_stay_in_the_graph() -> None:
    x = tg.tensor([1.0, 2.0, 3.0])
    pieces = [
        xp.asarray(x), xp.asarray(x, copy=True), xp.asarray(x, dtype=xp.float32), xp.astype(x, x.dtype),
        xp.astype(x, xp.float32), xp.sort(x, descending=True), xp.clip(x, 0, 9), xp.where(x > 2, x, 0),
    ]  # fmt: skip
    assert pieces[0] is x and xp.astype(x, x.dtype, copy=False) is x
    sum(xp.sum(p) for p in pieces).backward()
    assert np.array_equal(x.grad, [7, 7, 8])
    with pytest.raises(ValueError, match="copy"):
        xp.asarray(x, dtype=xp.float32, copy=False)


def test_traced_values_go_through_it() -> None:
    def spread(x: Any) -> Any:
        names = x.__array_namespace__()
        centred = x - names.mean(x, axis=0)
        return names.sqrt(names.sum(centred * centred))

    x = sample("float64", (4, 3))
    expected = (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).sum())
    for f in (tg.grad(spread), tg.jit(tg.grad(spread)), tg.grad(spread, adapt=False)):
        np.testing.assert_allclose(f(x), expected)
    batch = np.stack([x, 2 * x])
    np.testing.assert_allclose(
        tg.vmap(spread)(batch), [spread(xp.asarray(b)).item() for b in batch]
    )


def test_functions_that_use_it_are_compiled() -> None:
    def f(x: Any) -> Any:
        best = xp.sort(xp.clip(x, 0, 2), descending=True)
        return xp.sum(best * xp.arange(1.0, 4.0)) + xp.linalg.vector_norm(x)

    x = np.array([0.5, 3.0, 1.5])
    compiled = tg.jit(tg.grad(f), strict=True)
    for _ in range(2):
        np.testing.assert_allclose(compiled(x), tg.grad(f)(x))
