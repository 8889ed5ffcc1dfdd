"""The threads of a process: all work is done once, errors arrive, children of a fork have their own."""

import ast
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nnet import conv_nd
from tapegrad.tape.core import threads
from tapegrad.tape.core.threads import Pool, after_fork, pool


@pytest.fixture
def own() -> Pool:
    """Three threads of the test's own, whatever the machine has."""
    made = Pool()
    made.count = 3
    return made


def test_every_task_is_done_once_by_several_threads(own: Pool) -> None:
    barrier, done = threading.Barrier(3), []

    def task(i: int) -> None:
        if i < 3:
            barrier.wait(timeout=60)  # only three threads at the same time get past this
        done.append((i, threading.get_ident()))

    own.share([lambda i=i: task(i) for i in range(20)], threads=3)
    assert sorted(i for i, _ in done) == list(range(20))
    assert len({thread for _, thread in done}) == 3


def test_one_thread_works_by_itself_in_order(own: Pool) -> None:
    done: list[Any] = []
    own.share([lambda i=i: done.append((i, threading.get_ident())) for i in range(5)], threads=1)
    assert done == [(i, threading.get_ident()) for i in range(5)]
    own.share([], threads=3)


@pytest.mark.parametrize("who", ["own", "other"])
def test_an_error_arrives_and_what_has_not_begun_is_left_out(own: Pool, who: str) -> None:
    barrier, done, me = threading.Barrier(2), [], threading.get_ident()

    def task() -> None:
        barrier.wait(timeout=60)
        if (threading.get_ident() == me) == (who == "own"):
            raise KeyError("lost")
        time.sleep(0.1)

    with pytest.raises(KeyError, match="lost"):
        own.share([task, task, *([lambda: done.append(1)] * 50)], threads=2)
    assert len(done) < 50
    own.share([lambda: done.append(2)] * 5, threads=2)  # and the threads are still there
    assert done.count(2) == 5


def test_threads_take_over_the_error_state_of_numpy(own: Pool) -> None:
    barrier = threading.Barrier(3)

    def task() -> None:
        barrier.wait(timeout=60)
        np.float32(1e30) * np.full(3, 1e30, np.float32)

    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        own.share([task] * 3, threads=3)
    with np.errstate(over="ignore"):
        own.share([task] * 3, threads=3)


def test_many_threads_share_work_at_once(own: Pool) -> None:
    finished = []

    def user() -> None:
        for _ in range(30):
            done: list[int] = []
            own.share([partial(done.append, i) for i in range(7)], threads=3)
            assert sorted(done) == list(range(7))
        finished.append(True)

    users = [threading.Thread(target=user) for _ in range(8)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join(timeout=60)
    assert len(finished) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(own: Pool, monkeypatch: Any) -> None:
    monkeypatch.setattr(threads, "_renewals", [])
    own.share([lambda: None] * 3, threads=3)
    after_fork(own.renew)
    child = os.fork()
    if child == 0:
        barrier = threading.Barrier(2)
        own.count = 2
        try:
            own.share([lambda: barrier.wait(timeout=30)] * 2, threads=2)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_tell_how_much_of_the_processors_they_got(own: Pool) -> None:
    assert own.share([lambda: time.sleep(0.05)] * 4, threads=1) == (0.0, 0.0)
    used, took = own.share([lambda: time.sleep(0.05)] * 4, threads=2)
    assert used < 0.1 < took


def test_layers_and_kernels_share_the_threads_of_the_process() -> None:
    before = set(threading.enumerate())
    x, rng = np.linspace(-3, 3, 300_000), np.random.default_rng(0)
    compiled = tg.jit(lambda x: np.sum(np.exp(np.sin(x))))
    for _ in range(3):
        compiled(x)
        conv_nd(rng.normal(size=(8, 64, 10, 10)), rng.normal(size=(64, 64, 3, 3)), stride=1)
    assert len(set(threading.enumerate()) - before) <= pool.count - 1


def test_threads_and_forks_are_handled_in_one_place() -> None:
    root = Path(threads.__file__).resolve().parents[2]
    found = set()
    for folder in ("tape", "ops", "compile", "tapegrad"):
        for file in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                name = getattr(node, "attr", getattr(node, "id", ""))
                if name in ("Thread", "ThreadPoolExecutor", "register_at_fork"):
                    found.add(file)
    assert found == {Path(threads.__file__).resolve()}
