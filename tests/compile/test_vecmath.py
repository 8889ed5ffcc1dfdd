"""The vector mathematics: accuracy, special values as in NumPy, and packed machine code."""

import platform
import re

import numba
import numpy as np
import pytest
from llvmlite.binding import llvm_version_info

from tapegrad.compile.backends.numba.vecmath import LIMITS, NAMES, ULPS, intrinsics
from tapegrad.compile.backends.numba.vecmath.formulas import lookup
from tapegrad.compile.backends.numba.vecmath.measure import (
    arity,
    errors,
    kernel,
    points,
    special_points,
)

DTYPES = ["float64", "float32"]
CASES = [(name, dtype) for name in sorted(NAMES) for dtype in DTYPES]
ON_X86 = platform.machine() in ("x86_64", "AMD64")
ARITHMETIC = r"\bv(?:add|sub|mul|div|sqrt|fn?m|max|min|rndscale|round|p?and|p?xor|pternlog|cmp)"
needs_wide_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="the reference needs numpy.longdouble of 64 bits"
)
needs_x86 = pytest.mark.skipif(not ON_X86, reason="reads x86-64 assembly")


def loop_assembly(function):
    """Return the assembly of a compiled function without its Python wrapper."""
    (text,) = function.inspect_asm().values()
    return text.split(".Lfunc_end0")[0]


def assert_packed(function):
    text = loop_assembly(function)
    assert re.search(ARITHMETIC + r"\w*\s.*%[xyz]mm", text)
    packed = re.findall(r"\bv\w+(?:p[sd]|[dq]\w*)\s.*%[yz]mm", text)
    assert packed, "no packed instruction"
    assert not re.search(r"\bcallq?\b", text), "a call is left in the loop"


def apply(name, dtype, arguments):
    out = np.empty_like(arguments[0])
    kernel(lookup(name, dtype), arity(name), dtype)(*arguments, out)
    return out


@needs_wide_longdouble
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_results_are_within_the_stated_ulps(name, dtype):
    arguments = points(name, dtype, 10_000, seed=1)
    distance = errors(name, apply(name, dtype, arguments), arguments)
    worst = np.argmax(distance)
    at = [argument[worst] for argument in arguments]
    assert distance[worst] <= ULPS[name], f"{name}{at} is {distance[worst]} ulp off"


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_special_values_are_those_of_numpy(name, dtype):
    special = special_points(dtype)
    limit = LIMITS.get((name, dtype), np.inf)
    special = special[(np.abs(special) <= limit) | ~np.isfinite(special)]
    arguments = [special]
    if arity(name) == 2:
        arguments = [np.repeat(special, special.size), np.tile(special, special.size)]
    ours = apply(name, dtype, arguments)
    with np.errstate(all="ignore"):
        numpys = getattr(np, name)(*arguments)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(numpys))
    np.testing.assert_array_equal(ours[np.isinf(numpys)], numpys[np.isinf(numpys)])
    # NumPy leaves open which of two equal zeros it chooses.
    zero = numpys == 0.0
    np.testing.assert_array_equal(ours[zero], 0.0)
    if name not in ("maximum", "minimum", "fmax", "fmin"):
        np.testing.assert_array_equal(np.signbit(ours[zero]), np.signbit(numpys[zero]))
    info = np.finfo(dtype)
    # Where the two terms of logaddexp cancel, NumPy is off by more than its last place, too.
    least = info.eps if name.startswith("logaddexp") else info.smallest_subnormal
    np.testing.assert_allclose(ours, numpys, rtol=4 * info.eps, atol=2 * least)


@needs_x86
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_the_loop_is_packed_and_calls_nothing(name, dtype):
    assert_packed(kernel(lookup(name, dtype), arity(name), dtype))


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("dtype", DTYPES)
@needs_wide_longdouble
def test_range_reduction_holds_up_to_the_limit(name, dtype):
    limit = LIMITS[name, dtype]
    random = np.random.default_rng(2)
    # The numbers next to multiples of pi/2 are the hard ones.
    k = np.rint(random.uniform(-limit, limit, 100_000) / (np.pi / 2))
    near = (k * (np.longdouble("3.14159265358979323846264") / 2)).astype(dtype)
    x = np.concatenate([near, np.nextafter(near, np.inf, dtype=dtype)])
    x = x[np.abs(x) <= limit]
    assert errors(name, apply(name, dtype, [x]), [x]).max() <= ULPS[name]


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_fade_out_gradually_below_the_normal_range(dtype):
    info = np.finfo(dtype)
    n = np.arange(info.minexp - info.nmant - 2, info.minexp + 2).astype(dtype)
    np.testing.assert_array_equal(apply("exp2", dtype, [n]), np.exp2(n))
    np.testing.assert_array_equal(apply("power", dtype, [np.full_like(n, 2), n]), np.exp2(n))


def test_an_unknown_name_or_dtype_has_no_vectorising_form():
    assert lookup("gamma", "float64") is None
    assert lookup("exp", "complex128") is None


REDUCTIONS = {
    "add_reassoc": np.sum,
    "mul_reassoc": np.prod,
    "maximum": np.max,
    "minimum": np.min,
    "fmax": np.fmax.reduce,
    "fmin": np.fmin.reduce,
}


def reduction(name, dtype):
    combine = getattr(intrinsics, name)
    scalar = numba.from_dtype(np.dtype(dtype))

    def loop(start, x):
        result = start
        for i in range(x.size):
            result = combine(result, x[i])
        return result

    return numba.njit(scalar(scalar, scalar[::1]), nogil=True, error_model="numpy")(loop)


@needs_x86
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_by_an_intrinsic_is_packed(name, dtype):
    if name in ("fmax", "fmin") and llvm_version_info < (21,):
        pytest.skip("LLVM 20 makes wrong code of the instruction for these")
    assert_packed(reduction(name, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("special", [[], [np.nan], [np.inf], [np.inf, -np.inf]])
def test_a_reduction_by_an_intrinsic_treats_nan_and_inf_as_numpy_does(name, dtype, special):
    x = np.random.default_rng(0).uniform(0.5, 1.5, 1001).astype(dtype)
    x[100 : 100 + len(special)] = special
    with np.errstate(all="ignore"):
        expected = REDUCTIONS[name](x)
    result = reduction(name, dtype)(x[0], x[1:])
    np.testing.assert_allclose(result, expected, rtol=1e-5 if dtype == "float32" else 1e-13)


def test_small_intrinsics_compute_what_their_names_say():
    @numba.njit(error_model="numpy")
    def compute(x, y):
        return (
            intrinsics.fma(x, y, -x * y),
            intrinsics.rint(x),
            intrinsics.floor(x),
            intrinsics.ceil(x),
            intrinsics.trunc(x),
            intrinsics.copysign(x, y),
            intrinsics.from_bits(intrinsics.bits(x)),
        )

    assert compute(2.5, -0.0) == (0.0, 2.0, 2.0, 3.0, 2.0, -2.5, 2.5)
    assert compute(1 + 2.0**-30, 1 + 2.0**-30)[0] == 2.0**-60


def test_an_infinite_term_does_not_spoil_a_reordered_sum():
    # The flag allows another order, not the absence of inf and nan.
    total = reduction("add_reassoc", "float64")
    assert total(0.0, np.array([1.0, np.inf, 2.0] * 20)) == np.inf
    assert np.isnan(total(0.0, np.array([np.inf, -np.inf] * 20)))


@needs_x86
def test_sin_and_cos_of_one_number_share_their_work():
    sin, cos = lookup("sin", "float64"), lookup("cos", "float64")

    def count(loop):
        array = numba.float64[::1]
        compiled = numba.njit(numba.void(array, array, array), error_model="numpy")(loop)
        return len(re.findall(r"\bvf\w+pd\s.*%[yz]mm", loop_assembly(compiled)))

    def alone(x, s, c):
        for i in range(x.size):
            s[i] = sin(x[i])

    def together(x, s, c):
        for i in range(x.size):
            value = x[i]
            sine, cosine = sin(value), cos(value)
            s[i] = sine
            c[i] = cosine

    assert count(together) == count(alone)


@pytest.mark.parametrize("name", ["exp", "sin", "tanh", "log"])
def test_a_reordered_sum_leaves_the_functions_in_it_alone(name):
    # Their rounding tricks would be lost if the flag of the sum spread to them.
    function = lookup(name, "float64")

    @numba.njit(error_model="numpy")
    def total(x):
        result = 0.0
        for i in range(x.size):
            result = intrinsics.add_reassoc(result, function(x[i]))
        return result

    x = np.random.default_rng(3).uniform(0.1, 20.0, 1001)
    np.testing.assert_allclose(total(x), apply(name, "float64", [x]).sum(), rtol=1e-13)


def test_float32_stays_float32_and_mixed_types_become_float64():
    @numba.njit
    def compute(x, y):
        return intrinsics.maximum(x, x), intrinsics.maximum(x, y)

    compute(np.float32(1), 2.0)
    (signature,) = compute.nopython_signatures
    assert tuple(signature.return_type) == (numba.float32, numba.float64)


def test_functions_work_on_strided_arrays_of_any_length():
    function = lookup("tanh", "float64")

    @numba.njit(error_model="numpy")
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    for size in range(20):
        x = np.linspace(-3, 3, 3 * size + 1)[::3]
        out = np.empty_like(x)
        loop(x, out)
        np.testing.assert_allclose(out, np.tanh(x), rtol=1e-15)
