"""Gradients in parts are those of the whole, with the same bits whoever computes them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim, parallel

ROOT = Path(__file__).resolve().parents[3]
RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(50, 3)), RNG.normal(size=50)
START = {"w": np.full(3, 0.1), "b": 0.5}


def loss(params: Any, X: Any, Y: Any) -> Any:
    return np.mean((np.tanh(X @ params["w"] + params["b"]) - Y) ** 2)


def bits(nest: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in tg.tree_leaves(nest)]


class Serial(Executor):
    """Computes a call when it is submitted."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 60])
def test_parts_add_up_to_the_whole(blocks: int) -> None:
    value, grads = tg.value_and_grad(loss)(START, X, Y)
    parts = parallel.split((X, Y), blocks)
    assert len(parts) == min(blocks, 50)
    found, sums = parallel.value_and_grad(loss, Serial())(START, parts)
    np.testing.assert_allclose(found, value, rtol=1e-12)
    for a, b in zip(tg.tree_leaves(sums), tg.tree_leaves(grads)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
        assert a.shape == b.shape and a.dtype == b.dtype


def test_bits_do_not_depend_on_the_number_of_workers_or_on_who_is_first() -> None:
    parts = parallel.split((X, Y), 6)
    wanted = bits(parallel.value_and_grad(loss, Serial())(START, parts))
    for count in (1, 2, 4):
        with ThreadPoolExecutor(count) as executor:
            gradient = parallel.value_and_grad(loss, executor)
            assert all(bits(gradient(START, parts)) == wanted for _ in range(3))
    other = bits(parallel.value_and_grad(loss, Serial())(START, parallel.split((X, Y), 5)))
    assert other != wanted


def test_arrays_that_lie_unaligned_are_computed_as_others() -> None:
    def block(w: Any, x: Any) -> Any:
        return np.sum(np.exp(np.sin(x * w)) / np.cosh(x))

    memory = np.zeros(8 * len(Y) + 1, np.uint8)[1:]
    crooked = memory.view(float)
    crooked[:] = Y
    assert not crooked.flags.aligned
    gradient = parallel.value_and_grad(block, Serial())
    assert bits(gradient(0.5, [crooked])) == bits(gradient(0.5, [Y]))
    assert bits(gradient(0.5, [Y[::-1].copy()[::-1]])) == bits(gradient(0.5, [Y]))


def test_weights_may_be_given_and_float32_stays() -> None:
    def block(w: Any, index: int) -> Any:
        return np.sum(w * np.float32(index))

    gradient = parallel.value_and_grad(block, Serial())
    value, slope = gradient(np.ones(2, "f4"), [1, 2, 3], weights=[1.0, 10.0, 100.0])
    assert value == 2 * 321 and slope.dtype == np.float32
    np.testing.assert_array_equal(slope, np.float32(321))
    with pytest.raises(ValueError, match="2 parts, and 1 weights"):
        gradient(np.ones(2), [1, 2], weights=[1.0])
    with pytest.raises(ValueError, match="no parts"):
        gradient(np.ones(2), [])


def test_training_in_parts_is_training_with_the_same_bits_for_all_workers(tmp_path: Path) -> None:
    def trained(executor: Any, **options: Any) -> Any:
        return tg.fit(
            loss, START, (X, Y), optim.adam, learning_rate=0.05, batch_size=16, epochs=3,
            clip_norm=1.0, executor=executor, **options,
        )  # fmt: skip

    wanted = trained(Serial())
    assert wanted.recordings == 1
    whole = trained(None)
    np.testing.assert_allclose(wanted.history.loss, whole.history.loss, rtol=1e-9)
    assert bits(wanted.params) != bits(whole.params)
    path = tmp_path / "run.npz"
    for count in (1, 2, 4):
        with ThreadPoolExecutor(count) as executor:
            result = trained(executor, checkpoint=path, resume=False)
            assert bits((result.params, result.state)) == bits((wanted.params, wanted.state))
    with pytest.raises(ValueError, match="made with blocks = 4, and this run has 3"):
        trained(Serial(), blocks=3, checkpoint=path)


# What goes wrong ----------------------------------------------------------------------------------


class Breaking(Serial):
    """Breaks at a call: then, and from then on, nobody answers."""

    def __init__(self, at: int, in_submit: bool) -> None:
        self.left, self.in_submit = at, in_submit

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.left -= 1
        if self.left > 0:
            return super().submit(function, *args, **kwargs)
        if self.in_submit:
            raise BrokenExecutor("killed")
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("killed"))
        return future


@pytest.mark.parametrize("in_submit", [False, True])
def test_parts_of_a_worker_that_died_are_computed_again(in_submit: bool) -> None:
    parts = parallel.split((X, Y), 5)
    wanted = bits(parallel.value_and_grad(loss, Serial())(START, parts))
    made = iter([Breaking(3, in_submit), Breaking(1, in_submit), Serial()])
    with parallel.Workers(lambda: next(made)) as workers:
        assert bits(parallel.value_and_grad(loss, workers)(START, parts)) == wanted
        assert workers.renewed == 2
    gradient = parallel.value_and_grad(loss, Breaking(3, in_submit))
    with pytest.raises(RuntimeError, match="Give a function that makes one, or a number"):
        gradient(START, parts)
    gradient = parallel.value_and_grad(loss, lambda: Breaking(2, in_submit))
    with pytest.raises(RuntimeError, match=r"died 4 times in a row .* __name__ == '__main__'"):
        gradient(START, parts)


def test_a_part_that_takes_long_is_submitted_once_more() -> None:
    release, calls = Event(), []

    def slow_once(index: int) -> int:
        calls.append(index)
        if index == 4 and calls.count(4) == 1:
            release.wait(60)
            return -1
        return index * index

    with ThreadPoolExecutor(3) as executor:
        workers = parallel.Workers(executor)
        assert workers.run(slow_once, [(i,) for i in range(6)]) == [0, 1, 4, 9, 16, 25]
        assert workers.resubmitted == 1 and calls.count(4) == 2
        release.set()


def test_errors_name_the_part_and_the_line_and_come_at_once() -> None:
    def block(w: Any, index: int) -> Any:
        if index == 2:
            raise KeyError("no such block")
        return np.sum(w) * index

    with ThreadPoolExecutor(2) as executor:
        gradient = parallel.value_and_grad(block, executor)
        with pytest.raises(KeyError, match="no such block") as raised:
            gradient(np.ones(2), range(4))
    line = block.__code__.co_firstlineno + 2
    assert raised.value.__notes__ == [f"in part 2 of a gradient, at {__file__}:{line}"]


@pytest.mark.parametrize(
    "executor, error, text",
    [
        (0, ValueError, "at least 1, not 0"),
        ("two", TypeError, "not str"),
        (None, TypeError, "None"),
    ],
)
def test_what_is_no_executor_is_refused(executor: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        parallel.Workers(executor)


def test_a_function_without_a_name_says_how_it_can_be_sent(monkeypatch: Any) -> None:
    import pickle

    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(TypeError, match="Define it at the top of a module, or install cloudpickle"):
        pickle.dumps(parallel.value_and_grad(lambda w: w, Serial())._part)


def test_a_client_without_workers_is_an_error_in_time() -> None:
    class Client:
        def wait_for_workers(self, count: int, timeout: float) -> None:
            raise TimeoutError

        def get_executor(self, **options: Any) -> Any:
            raise AssertionError("asked too early")

        def __repr__(self) -> str:
            return "<Client: 0 workers>"

    with pytest.raises(TimeoutError, match=r"<Client: 0 workers> had no workers for 0.1 s"):
        parallel.Workers(Client(), timeout=0.1)


# Processes ----------------------------------------------------------------------------------------

WORK = """
import os, signal
from pathlib import Path
import numpy as np

X = np.random.default_rng(0).normal(size=(64, 5))

def block(w, index):  # the part loads its data itself
    part = X[16 * index : 16 * index + 16]
    return np.mean(np.tanh(part @ w) ** 2)

class Deadly:
    # The index 2, which kills the first process that receives it.

    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return explode, (self.flag,)

def explode(flag):
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2

def wrong(w, index):
    return w @ np.ones(4 + index)

def here(*more):
    return {os.getpid()}

def joined(one, other):
    return one | other | {os.getpid()}

def loss(w, x, y):
    return np.mean((np.tanh(x @ w) - y) ** 2)
"""
SCRIPT = """
import sys
import numpy as np, tapegrad as tg, work
from concurrent.futures import ThreadPoolExecutor

def bits(value, slope):
    return np.float64(value).tobytes() + slope.tobytes()

if __name__ == "__main__":
    w = np.linspace(-1.0, 1.0, 5)
    with ThreadPoolExecutor(1) as threads:
        wanted = bits(*tg.parallel.value_and_grad(work.block, threads)(w, range(4)))
    with tg.parallel.Workers(2) as workers:
        gradient = tg.parallel.value_and_grad(work.block, workers)
        print(all(bits(*gradient(w, range(4))) == wanted for _ in range(2)))
        parts = [0, 1, work.Deadly(sys.argv[1]), 3]
        print(bits(*gradient(w, parts)) == wanted, workers.renewed)
        try:
            tg.parallel.value_and_grad(work.wrong, workers)(w, [1, 3])
        except ValueError as error:
            print(error.__notes__[0].rpartition(":")[0].endswith("work.py"))
        y = np.sin(work.X.sum(axis=1))
        run = dict(learning_rate=0.1, batch_size=20, epochs=2)
        one = tg.fit(work.loss, w, (work.X, y), tg.optim.adam, executor=workers, **run)
        with ThreadPoolExecutor(3) as threads:
            two = tg.fit(work.loss, w, (work.X, y), tg.optim.adam, executor=threads, **run)
        print(one.params.tobytes() == two.params.tobytes(), one.steps)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process by a signal")
def test_processes_give_the_same_bits_also_when_one_is_killed(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", str(tmp_path / "flag")], cwd=tmp_path, capture_output=True,
        text=True, timeout=240, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "1", "True", "True", "8"], done.stderr


CLUSTER = """
import os, signal, sys, threading, time
import numpy as np, tapegrad as tg, work
from concurrent.futures import ThreadPoolExecutor
from distributed import Client, LocalCluster

if __name__ == "__main__":
    w = np.linspace(-1.0, 1.0, 5)
    with ThreadPoolExecutor(1) as threads:
        wanted = tg.parallel.value_and_grad(work.block, threads)(w, range(4))
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=sys.argv[1]
    ) as cluster, Client(cluster) as client:
        gradient = tg.parallel.value_and_grad(work.block, client)
        found = gradient(w, range(4))
        print(found[0] == wanted[0] and found[1].tobytes() == wanted[1].tobytes())
        victim = next(iter(client.run(os.getpid).values()))
        threading.Timer(0.2, os.kill, (victim, signal.SIGKILL)).start()
        same, until = True, time.monotonic() + 1.0
        while time.monotonic() < until:
            found = gradient(w, range(4))
            same = same and found[1].tobytes() == wanted[1].tobytes()
        print(same and victim not in client.run(os.getpid).values())
        for parts in ([2], [0, 1, 2, 3, 0, 1, 2]):
            with ThreadPoolExecutor(2) as threads:
                wanted = tg.parallel.value_and_grad(work.block, threads)(w, parts)
            for count in (1, 2, 4):
                cluster.scale(count)
                while len(client.scheduler_info()["workers"]) != count:
                    time.sleep(0.05)
                found = gradient(w, parts)
                print(found[0] == wanted[0] and found[1].tobytes() == wanted[1].tobytes())
        places = gradient.workers.total(work.here, [(0,), (1,), (2,)], work.joined)
        print(bool(places) and os.getpid() not in places)
        try:
            tg.parallel.value_and_grad(work.wrong, client)(w, [1, 3])
        except ValueError as error:
            print("matmul" in str(error))
        y = np.sin(work.X.sum(axis=1))
        run = dict(learning_rate=0.1, batch_size=20, epochs=2)
        one = tg.fit(work.loss, w, (work.X, y), tg.optim.adam, executor=client, **run)
        with ThreadPoolExecutor(3) as threads:
            two = tg.fit(work.loss, w, (work.X, y), tg.optim.adam, executor=threads, **run)
        print(one.params.tobytes() == two.params.tobytes())
        cluster.scale(0)
        while client.scheduler_info()["workers"]:
            pass
        try:
            tg.parallel.Workers(client, timeout=0.5)
        except TimeoutError as error:
            print("no workers for 0.5 s" in str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process by a signal")
def test_a_dask_client_gives_the_same_bits_also_when_a_worker_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "script.py").write_text(CLUSTER)
    done = subprocess.run(
        [sys.executable, "script.py", str(tmp_path / "dask")],
        cwd=tmp_path, capture_output=True, text=True, timeout=240,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"] * 12, done.stderr
