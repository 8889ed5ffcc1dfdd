"""Measures accuracy, speed and compile time: the tables of `docs/vecmath.md`.

    python -m tapegrad.compile.backends.llvm.vecmath.measure [name ...]

The exact result is taken from `numpy.longdouble`, which has 64 bits on x86-64.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tapegrad.compile.backends.llvm import machine
from tapegrad.compile.backends.llvm.kernels import module
from tapegrad.compile.backends.llvm.translation import Parameter
from tapegrad.compile.backends.llvm.vecmath import LIMITS, NAMES
from tapegrad.compile.backends.llvm.vecmath.formulas import FORMULAS

# As the first number of a pair and as the second, each with each.
SPECIAL = [0.0, 1.0, 2.0, 3.0, 0.5, 1.5, 2.5, 1e-10, 1e-30, 1e30, 2.0**52, 2.0**53 + 2, np.inf]


def arity(name: str) -> int:
    """Return the number of arguments of a function."""
    return FORMULAS[name][1]


def loop(name: str, dtype: str) -> str:
    """Return the module of a loop that applies a function to contiguous arrays."""
    arrays = ["x", "y"][: arity(name)]
    suffix = "f32" if dtype == "float32" else "f64"
    elements = ", ".join(f"{array}[i0]" for array in arrays)
    text = (
        f"def kernel(n0, {', '.join(arrays)}, out):\n"
        f"    for i0 in range(n0):\n"
        f"        out[i0] = {name}_{suffix}({elements})\n"
    )
    parameters = [Parameter(array, dtype, 1) for array in (*arrays, "out")]
    return module(text, (Parameter("n0", "int64"), *parameters))


def kernel(name: str, dtype: str) -> Callable[..., None]:
    """Compile such a loop; it takes the arrays, the last one for the results."""
    code = machine.load(machine.object_code(loop(name, dtype)))
    return lambda *arrays: code(arrays[0].size, *arrays)


def special_points(dtype: str) -> NDArray:
    """Return zeros, infinities, nan, subnormal and extreme numbers, of both signs."""
    info = np.finfo(dtype)
    edges = [info.max, info.tiny, info.smallest_subnormal, info.eps, np.nan]
    positive = np.array([*SPECIAL, *edges], dtype)
    return np.concatenate([positive, -positive])


def points(name: str, dtype: str, count: int, seed: int = 0) -> list[NDArray]:
    """Return arguments for a function: dense where it varies, and over all exponents."""
    random = np.random.default_rng(seed)
    info = np.finfo(dtype)
    lowest, highest = info.minexp - info.nmant, info.maxexp
    width = 1.1 * np.log(float(info.max))
    normal = random.standard_normal
    x = np.concatenate(
        [
            random.uniform(-width, width, count),
            normal(count),
            random.uniform(-1, 1, count),
            random.uniform(0.5, 1.5, count),
            random.uniform(-6e4, 6e4, count),
            1 + normal(count) * 2.0 ** random.uniform(-info.nmant - 4, 0, count),
            normal(count) * 2.0 ** random.uniform(lowest, 0, count),
            2.0 ** random.uniform(lowest, highest, count),
            -(2.0 ** random.uniform(lowest, highest, count)),
            # As near to the zeros of sin and cos as the type allows, and next to them.
            np.rint(random.uniform(-4e4, 4e4, count)) * (np.pi / 2),
        ]
    ).astype(dtype)
    special = special_points(dtype)
    y = random.permutation(x)
    if name == "power":
        # Exponents that bring the result anywhere into range, half of them whole.
        with np.errstate(all="ignore"):
            y = random.uniform(-width, width, x.size) / np.log(np.abs(x.astype(np.float64)))
            y = np.where(random.random(x.size) < 0.5, np.rint(y), y).astype(dtype)
    limit = LIMITS.get((name, dtype))
    if limit is not None:
        far = (random.uniform(-1, 1, x.size) * limit).astype(dtype)
        x = np.where(np.abs(x) <= limit, x, far)
        special = special[(np.abs(special) <= limit) | ~np.isfinite(special)]
    if arity(name) == 1:
        return [np.concatenate([x, special])]
    return [
        np.concatenate([x, np.repeat(special, special.size)]),
        np.concatenate([y, np.tile(special, special.size)]),
    ]


def errors(name: str, result: NDArray, arguments: list[NDArray]) -> NDArray:
    """Return the distance from the exact result in ulp, inf where it has another kind."""
    dtype = result.dtype
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(*(a.astype(np.longdouble) for a in arguments))
        rounded = exact.astype(dtype)
        size = np.abs(rounded)
        if name.startswith("logaddexp"):
            for argument in arguments:
                size = np.where(np.isfinite(argument), np.maximum(size, np.abs(argument)), size)
        distance = np.abs(result.astype(np.longdouble) - exact) / np.spacing(size)
        # Next to the largest number the exact result may round to inf, and ours not, or conversely.
        finite = np.isfinite(rounded) & np.isfinite(result)
        same = (rounded == result) | (np.isnan(rounded) & np.isnan(result))
    return np.where(finite, distance, np.where(same, 0.0, np.inf)).astype(np.float64)


def nanoseconds(function: Callable, *arguments: NDArray) -> float:
    """Return the time for one element of the arrays: the best of several runs."""
    size = arguments[0].size
    repeat = max(1, 200_000 // size)
    best = np.inf
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(repeat):
            function(*arguments)
        best = min(best, time.perf_counter() - start)
    return best / repeat / size * 1e9


def compile_time(name: str, dtype: str) -> float:
    """Return the milliseconds for compiling one loop: the best of five."""
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        kernel(name, dtype)
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def main() -> None:
    """Print a table for each type."""
    for dtype in ("float64", "float32"):
        plain = compile_time("absolute", dtype)
        print(f"\n{dtype} (compile time: beyond the {plain:.0f} ms of `absolute`)\n")
        print("| function | ulp | ns, 1000 | NumPy | ns, 1e6 | NumPy | compile, ms |")
        print("|---|---|---|---|---|---|---|")
        for name in sys.argv[1:] or sorted(NAMES):
            function = kernel(name, dtype)
            arguments = points(name, dtype, 100_000)
            out = np.empty_like(arguments[0])
            function(*arguments, out)
            error = errors(name, out, arguments).max()
            row = [f"{error:.2f}"]
            for size in (1000, 1_000_000):
                random = np.random.default_rng(1)
                low = 1.0 if name == "arccosh" else 0.0
                inputs = [random.uniform(low, low + 1, size).astype(dtype) for _ in arguments]
                inputs.append(np.empty_like(inputs[0]))
                row.append(f"{nanoseconds(function, *inputs):.2f}")
                row.append(f"{nanoseconds(getattr(np, name), *inputs):.2f}")
            extra = compile_time(name, dtype) - plain
            print(f"| {name} | {' | '.join(row)} | {extra:.0f} |", flush=True)


if __name__ == "__main__":
    main()
