"""Forks, kernels that do not compile, what stats() and explain() tell, and when numba is loaded."""

import multiprocessing
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from compare import V, X, close

import tapegrad as tg
from tapegrad.compile.backends.interface import current
from tapegrad.tape.core.threads import pool


def benchmark(x):
    return np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))


def _child(jitted, x, queue):
    queue.put((os.getpid(), jitted(x), tg.jit(lambda x: np.cos(x) * x)(x[:4])))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_can_call_what_its_parent_compiled():
    jitted = tg.jit(tg.grad(benchmark))
    x = np.linspace(-2, 2, 300_000)  # large enough for several threads
    wanted = jitted(x)
    wanted = jitted(x)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads
        child = context.Process(target=_child, args=(jitted, x, queue))
        child.start()
    pid, got, small = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert pid != os.getpid()
    np.testing.assert_array_equal(got, wanted)
    close(small, np.cos(x[:4]) * x[:4])
    np.testing.assert_array_equal(jitted(x), wanted)


def test_a_new_size_needs_a_trace_but_no_machine_code():
    jitted = tg.jit(tg.grad(benchmark))
    jitted(np.linspace(0, 1, 11))
    before = jitted.stats()
    for n in (12, 5, 100, 1000, 70_000):
        jitted(np.linspace(0, 1, n))
    after = jitted.stats()
    assert after.traces == before.traces + 5
    assert after.kernels_compiled == before.kernels_compiled
    assert after.kernels_reused == before.kernels_reused + 5


def test_a_new_constant_needs_no_machine_code():
    factor = 1.25
    jitted = tg.jit(lambda x: np.exp(x * factor) + factor)
    jitted(V)
    factor = 2.5  # it was a constant, and is an input from now on
    jitted(V)
    compiled = jitted.stats().kernels_compiled
    for factor in (1.5, 3.75):
        close(jitted(V), np.exp(V * factor) + factor)
    assert jitted.stats().kernels_compiled == compiled


def test_equal_functions_share_their_kernels():
    first = tg.jit(lambda x: np.exp(x * 1.125) * np.sin(x) + 4.5)
    second = tg.jit(lambda y: np.exp(y * 7.125) * np.sin(y) + 2.25)
    first(V)
    second(V)
    assert first.stats().kernels_compiled + first.stats().kernels_reused == 1
    assert second.stats() == (1, 0, 0, 1, 0)


def test_stats_count_what_happened():
    jitted = tg.jit(lambda x: np.exp(x) * 3 if x[0] > 0 else np.sin(x) * 3)
    assert jitted.stats() == (0, 0, 0, 0, 0)
    jitted(V)
    jitted(V)
    assert jitted.stats().traces == 1
    jitted(-V)
    assert jitted.stats().traces == 2
    assert jitted.stats().eager_calls == 0


def test_explain_shows_the_tape_the_plan_the_kernels_the_guards_and_the_library_steps():
    def f(x):
        y = np.exp(x) * 2
        if x[0, 0] > 100:
            return y
        return np.linalg.norm(y @ y.T) + np.cumsum(y)[0]

    x = X.copy()
    text = tg.jit(f).explain(x)
    line = f.__code__.co_firstlineno
    assert "1 guards" in text
    assert f"guard: bool was False, consumed at {__file__}:{line + 2}" in text
    assert "library steps:" in text
    assert "matmul" in text
    assert f":{line + 4}" in text
    assert "def kernel(" in text
    assert "def plan(" in text
    assert "np.exp" in text
    close(x, X)


def test_explain_says_why_a_function_is_not_compiled():
    assert "run without compiling: it calls print" in tg.jit(lambda x: print(end="") or x).explain(
        V
    )
    assert "dtype object" in tg.jit(lambda x, y: x).explain(V, V.astype(object))


def test_explain_does_not_write_into_the_arguments():
    def f(x):
        x += 1
        return x

    x = V.copy()
    tg.jit(f).explain(x)
    close(x, V)


@pytest.fixture
def _broken_compiler(monkeypatch):
    def refuse(*args):
        raise RuntimeError("no machine code today")

    monkeypatch.setattr(current(), "compile", refuse)


@pytest.mark.usefixtures("_broken_compiler")
def test_a_kernel_that_does_not_compile_is_run_by_numpy_with_one_warning():
    jitted = tg.jit(tg.grad(benchmark))
    with pytest.warns(RuntimeWarning, match="a kernel did not compile.*no machine code") as seen:
        for _ in range(3):
            close(jitted(V), tg.grad(benchmark)(V))
    assert len(seen) == 1
    assert jitted.stats().eager_calls == 0


@pytest.mark.usefixtures("_broken_compiler")
def test_a_kernel_that_does_not_compile_raises_in_strict_mode():
    with pytest.raises(RuntimeError, match="no machine code today"):
        tg.jit(benchmark, strict=True)(V)


def test_strict_mode_raises_at_each_call_that_would_not_be_compiled():
    jitted = tg.jit(lambda x: x * np.random.rand(), strict=True)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="strict=True"):
            jitted(V)


def test_llvm_is_loaded_by_the_first_compilation_and_not_before_and_numba_never():
    code = (
        "import sys, numpy as np, tapegrad as tg\n"
        "f = tg.jit(lambda x: np.exp(x) * 2 + x)\n"
        "x = tg.tensor([1.0, 2.0]); (x * x).sum().backward()\n"
        "tg.grad(lambda x: np.sum(x * x))(np.ones(3))\n"
        "assert 'llvmlite' not in sys.modules\n"
        "f(np.ones(3))\n"
        "assert 'llvmlite' in sys.modules and 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_is_loaded_while_a_function_is_recorded_is_no_change():
    code = (
        "import numpy as np, tapegrad as tg\n"
        "f = tg.jit(lambda x: tg.jvp(tg.grad(lambda x: np.sum(x**3)), (x,), (np.ones(3),))[1])\n"
        "f(np.ones(3)); f(np.ones(3))\n"
        "assert f.stats().traces == 1, f.stats()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_result_of_many_threads_is_that_of_one(monkeypatch):
    x = np.linspace(-3, 3, 200_001)
    f = tg.value_and_grad(benchmark)
    several = tg.jit(f)(x)
    monkeypatch.setattr(pool, "count", 1)
    one = tg.jit(f)(x)
    assert several[0] == one[0]
    np.testing.assert_array_equal(several[1], one[1])


def test_sums_of_many_numbers_are_as_accurate_as_those_of_numpy():
    x = np.full(1_000_003, 0.1)
    jitted = tg.jit(lambda x: np.sum(x * 1.5))
    for _ in range(2):
        np.testing.assert_allclose(jitted(x), 0.15 * len(x), 1e-13)
    y = x.astype(np.float32)
    jitted = tg.jit(lambda x: np.sum(x * np.float32(1.5)))
    for _ in range(2):
        np.testing.assert_allclose(jitted(y), 0.15 * len(x), 1e-5)


def test_the_first_function_of_math_in_a_process_is_known_when_it_is_recorded():
    code = (
        "import math, numpy as np, tapegrad as tg\n"
        "def f(x):\n"
        "    try: return math.cos(x[0]) * 2\n"
        "    except TypeError: return x[0]\n"
        "assert tg.jit(tg.value_and_grad(f))(np.zeros(1))[0] == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
