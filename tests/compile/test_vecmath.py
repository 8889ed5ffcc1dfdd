"""The vector mathematics: accuracy, special values as in NumPy, and packed machine code."""

import platform
import re

import numpy as np
import pytest

from tapegrad.compile.backends.llvm.kernels import compile_source, module
from tapegrad.compile.backends.llvm.machine import assembly
from tapegrad.compile.backends.llvm.translation import Parameter
from tapegrad.compile.backends.llvm.vecmath import LIMITS, NAMES, ULPS
from tapegrad.compile.backends.llvm.vecmath.measure import (
    arity,
    errors,
    kernel,
    loop,
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


def loop_assembly(text):
    """Return the assembly of a module without the way in from Python."""
    return assembly(text).split("kernel:")[0]


def assert_packed(module_text):
    text = loop_assembly(module_text)
    assert re.search(ARITHMETIC + r"\w*\s.*%[xyz]mm", text)
    packed = re.findall(r"\bv\w+(?:p[sd]|[dq]\w*)\s.*%[yz]mm", text)
    assert packed, "no packed instruction"
    assert not re.search(r"\bcallq?\b", text), "a call is left in the loop"


def apply(name, dtype, arguments):
    out = np.empty_like(arguments[0])
    kernel(name, dtype)(*arguments, out)
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
    assert_packed(loop(name, dtype))


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


REDUCTIONS = {
    "add_reassoc": np.sum,
    "mul_reassoc": np.prod,
    "maximum": np.max,
    "minimum": np.min,
    "fmax": np.fmax.reduce,
    "fmin": np.fmin.reduce,
}


def reduction(name, dtype):
    """Return the source and the parameters of a loop that reduces."""
    text = (
        "def kernel(n0, start, x):\n"
        "    total = start\n"
        "    for i0 in range(n0):\n"
        f"        total = {name}(total, x[i0])\n"
        "    return total\n"
    )
    counted, start = Parameter("n0", "int64"), Parameter("start", dtype)
    return text, (counted, start, Parameter("x", dtype, 1))


def reduced(name, dtype, start, x):
    return compile_source(*reduction(name, dtype))[0](x.size, start, x)


@needs_x86
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(REDUCTIONS.keys() - {"fmax", "fmin"}))
def test_a_reduction_by_an_intrinsic_is_packed(name, dtype):
    assert_packed(module(*reduction(name, dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("special", [[], [np.nan], [np.inf], [np.inf, -np.inf]])
def test_a_reduction_by_an_intrinsic_treats_nan_and_inf_as_numpy_does(name, dtype, special):
    x = np.random.default_rng(0).uniform(0.5, 1.5, 1001).astype(dtype)
    x[100 : 100 + len(special)] = special
    with np.errstate(all="ignore"):
        expected = REDUCTIONS[name](x)
    result = reduced(name, dtype, x[0], x[1:])
    np.testing.assert_allclose(result, expected, rtol=1e-5 if dtype == "float32" else 1e-13)


def test_an_infinite_term_does_not_spoil_a_reordered_sum():
    # The flag allows another order, not the absence of inf and nan.
    for values, expected in (([1.0, np.inf, 2.0], np.inf), ([np.inf, -np.inf], np.nan)):
        total = reduced("add_reassoc", "float64", 0.0, np.array(values * 20))
        np.testing.assert_equal(total, expected)


@needs_x86
def test_sin_and_cos_of_one_number_share_their_work():
    def count(*results):
        lines = [f"        {name}[i0] = {function}_f64(x[i0])\n" for name, function in results]
        text = "def kernel(n0, x, s, c):\n    for i0 in range(n0):\n" + "".join(lines)
        arrays = [Parameter(name, "float64", 1) for name in "xsc"]
        code = loop_assembly(module(text, (Parameter("n0", "int64"), *arrays)))
        return len(re.findall(r"\bvf\w+pd\s.*%[yz]mm", code))

    assert 0 < count(("s", "sin"), ("c", "cos")) == count(("s", "sin"))


@pytest.mark.parametrize("name", ["exp", "sin", "tanh", "log"])
def test_a_reordered_sum_leaves_the_functions_in_it_alone(name):
    # Their rounding tricks would be lost if the flag of the sum spread to them.
    text = (
        "def kernel(n0, x):\n    total = 0.0\n    for i0 in range(n0):\n"
        f"        total = add_reassoc(total, {name}_f64(x[i0]))\n    return total\n"
    )
    x = np.random.default_rng(3).uniform(0.1, 20.0, 1001)
    parameters = (Parameter("n0", "int64"), Parameter("x", "float64", 1))
    total = compile_source(text, parameters)[0](x.size, x)
    np.testing.assert_allclose(total, apply(name, "float64", [x]).sum(), rtol=1e-13)


def test_functions_work_on_strided_arrays_of_any_length():
    text = "def kernel(n0, x, out):\n    for i0 in range(n0):\n        out[i0] = tanh_f64(x[i0])\n"
    arrays = (Parameter("x", "float64", 1, contiguous=False), Parameter("out", "float64", 1))
    code, _ = compile_source(text, (Parameter("n0", "int64"), *arrays))
    for size in range(20):
        x = np.linspace(-3, 3, 3 * size + 1)[::3]
        out = np.empty_like(x)
        code(x.size, x, out)
        np.testing.assert_allclose(out, np.tanh(x), rtol=1e-15)
