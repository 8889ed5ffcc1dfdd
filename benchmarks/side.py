"""What a process of its own measures for one side of one program; `beside` starts it.

    python -m benchmarks.side SUITE PROGRAM {tapegrad,jax} {all,first} SECONDS FILE

The process prints a line of JSON and leaves the results in FILE. Libraries are imported before anything
is timed. Each call takes the next of four sets of arguments, and the results of the last two calls are
alive, as in a loop that still looks at what it had before.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.beside import Program

Call = Callable[..., Any]
SETS = 4


def leaves(tree: Any) -> list[Any]:
    """Return the arrays and numbers of nested tuples and lists."""
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [np.asarray(tree)]


def _converted(tree: Any, convert: Call) -> Any:
    if isinstance(tree, (tuple, list)):
        return type(tree)(_converted(part, convert) for part in tree)
    return convert(tree) if isinstance(tree, np.ndarray) else tree


def _varied(arguments: Any, times: int) -> Any:
    """Return arguments of the same kinds and sizes with slightly other numbers."""

    def vary(a: Any) -> Any:
        return a * a.dtype.type(1 + 1e-3 * times) if a.dtype.kind == "f" else a

    return _converted(arguments, vary)


def _memory(what: str) -> float:
    """Return megabytes from the kernel's account of this process; nan where there is none."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    line = next(line for line in text.splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def _level() -> float:
    """Begin to look for a new peak of memory, and return the level at present."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return _memory("VmHWM")
    return _memory("VmRSS")


def _median(call: Call, sets: list[Any], seconds: float) -> float:
    """Return the median of the seconds that a call takes."""
    kept: list[Any] = [None, None]
    turn = 0

    def some(count: int) -> float:
        nonlocal turn
        began = time.perf_counter()
        for _ in range(count):
            kept[turn % 2] = call(*sets[turn % SETS])
            turn += 1
        return (time.perf_counter() - began) / count

    some(SETS)
    count = 1
    while some(count) * count < 0.01:
        count *= 2
    samples: list[float] = []
    until = time.perf_counter() + seconds
    while len(samples) < 5 or time.perf_counter() < until:
        samples.append(some(count))
    return median(samples)


def _first(call: Call, arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - began, result


class _Tapegrad:
    """This library: NumPy goes in and comes out."""

    def __init__(self, program: Program) -> None:
        import tapegrad

        self._library = tapegrad
        self._program = program
        self._jitted: list[Any] = []

    def convert(self, tree: Any) -> Any:
        return tree

    def _jit(self, function: Call) -> Call:
        jitted = self._library.jit(function)
        self._jitted.append(jitted)
        return jitted

    def derivatives(self) -> list[Call]:
        """Return the ways to compute the derivative, compiled."""
        program = self._program
        function = program.derivative(self._library, program.function)
        return [function if program.compiles else self._jit(function)]

    def primals(self) -> list[Call]:
        """Return the ways to compute the function itself, compiled."""
        return [self._jit(self._program.function)]

    def counts(self) -> dict[str, int]:
        """Return what has been compiled so far."""
        total = dict.fromkeys(("traces", "kernels_compiled", "kernels_loaded", "eager_calls"), 0)
        for jitted in self._jitted:
            for name in total:
                total[name] += getattr(jitted.stats(), name)
        return total


class _Jax:
    """JAX: arrays stay on its side; a call is over when its results are there."""

    def __init__(self, program: Program) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        self._library = SimpleNamespace(**{**vars(jax.lax), **vars(jax)})
        self._program = program
        self._written = import_module("benchmarks.programs.in_jax")
        jax.numpy.ones(3).sum().block_until_ready()  # start what it starts once

    def convert(self, tree: Any) -> Any:
        return self._library.block_until_ready(_converted(tree, self._library.numpy.asarray))

    def _jit(self, function: Call) -> Call:
        jitted, wait = self._library.jit(function), self._library.block_until_ready
        return lambda *arguments: wait(jitted(*arguments))

    def _functions(self) -> list[Call]:
        """Return the program, in which ``np`` and ``tg`` mean JAX from here on, and others like it."""
        program, functions = self._program, []
        if program.portable:
            names = vars(sys.modules[program.function.__module__])
            names.update(np=self._library.numpy, tg=self._library)
            functions.append(program.function)
        return functions + [getattr(self._written, name) for name in program.in_jax]

    def derivatives(self) -> list[Call]:
        """Return the ways to compute the derivative, compiled."""
        program, functions = self._program, self._functions()
        if program.derived_in_jax:
            return [self._jit(getattr(self._written, program.derived_in_jax))]
        return [self._jit(program.derivative(self._library, f)) for f in functions]

    def primals(self) -> list[Call]:
        """Return the ways to compute the function itself, compiled."""
        return [self._jit(function) for function in self._functions()]

    def counts(self) -> dict[str, int]:
        return {}


def measure_side(program: Program, side: str, *, everything: bool, seconds: float) -> Any:
    """Return the numbers of one side, and its results."""
    arguments, other = program.data(*program.size), program.data(*program.other)
    library = {"tapegrad": _Tapegrad, "jax": _Jax}[side](program)
    sets = [library.convert(_varied(arguments, k)) for k in range(SETS)]
    other = library.convert(other)
    numbers: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ways = library.derivatives()
        level = _level()
        firsts, results = zip(*(_first(call, sets[0]) for call in ways))
        numbers["first"] = min(firsts)
        if everything:
            numbers["median"] = min(_median(call, sets, seconds) for call in ways)
        numbers["peak"] = _memory("VmHWM") - level
        numbers["counts"] = library.counts()
        if everything and program.other != program.size:
            numbers["shape"] = min(_first(call, other)[0] for call in ways)
            after = library.counts()
            if after:
                made = after["kernels_compiled"] - numbers["counts"]["kernels_compiled"]
                numbers["counts"]["kernels_for_shape"] = made
        if everything and program.primal:
            plain = library.primals()
            for call in plain:
                call(*sets[0])
            numbers["primal"] = min(_median(call, sets, seconds) for call in plain)
    numbers["warnings"] = [str(w.message) for w in caught if w.category is RuntimeWarning]
    return numbers, leaves(results[0])


def main() -> None:
    """Do what the command line says."""
    suite, name, side, much, seconds, file = sys.argv[1:]
    programs = {program.name: program for program in import_module(f"benchmarks.{suite}").PROGRAMS}
    numbers, results = measure_side(
        programs[name], side, everything=much == "all", seconds=float(seconds)
    )
    np.savez(file, *results)
    print(json.dumps(numbers))


if __name__ == "__main__":
    main()
