"""Threads of our own, and what a child process must make anew.

There is one pool in a process: whoever has parts of work that let the interpreter go on (NumPy's
functions, machine code) shares them here. The parts of one piece of work may be done by any thread, in
any order, so that results must not depend on that.

>>> import numpy as np
>>> from tapegrad.tape.core.threads import pool
>>> out = np.zeros(2)
>>> usage = pool.share([lambda i=i: out.__setitem__(i, i + 1) for i in range(2)], threads=2)
>>> out
array([1., 2.])
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

__all__ = ["Pool", "Usage", "after_fork", "held_at_fork", "pool"]

Task = Callable[[], Any]

_renewals: list[Callable[[], None]] = []


def after_fork(renew: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in each child process: no thread is left there, and locks may be held."""
    _renewals.append(renew)
    return renew


def held_at_fork(lock: Any) -> Any:
    """Have a fork wait for a lock: what it guards would stay half done in the child process."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock


def _renew_all() -> None:
    for renew in _renewals:
        renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class Usage(NamedTuple):
    """How threads fared with a piece of work.

    Attributes
    ----------
    used : float
        Seconds of processors that they got.
    took : float
        Seconds that they were wanted for, all together.
    """

    used: float
    took: float


class Pool:
    """Threads that share work, made when first needed."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin without threads."""
        affinity = getattr(os, "sched_getaffinity", None)
        #: The number of processors that this process may use.
        self.count = len(affinity(0)) if affinity else os.cpu_count() or 1
        self.calls: SimpleQueue[Task] | None = None
        self.mutex = threading.Lock()

    def share(self, tasks: Sequence[Task], threads: int) -> Usage:
        """Make calls that do not depend on each other, on several threads; this is one of them.

        Returns when all are done. If one raises, those not begun are left out.
        """
        threads = min(threads, len(tasks))
        if threads <= 1:
            for task in tasks:
                task()
            return Usage(0.0, 0.0)
        left = deque(tasks)
        tickets = deque([contextvars.copy_context() for _ in range(threads - 1)])
        outcomes: SimpleQueue[Usage | BaseException] = SimpleQueue()

        def work() -> Usage:
            used, began = time.thread_time(), time.monotonic()
            while True:
                try:
                    task = left.popleft()
                except IndexError:
                    return Usage(time.thread_time() - used, time.monotonic() - began)
                task()

        def help_out() -> None:
            try:
                context = tickets.popleft()  # NumPy's error state lies in the context
            except IndexError:
                return  # too late
            try:
                outcomes.put(context.run(work))
            except BaseException as error:
                left.clear()
                outcomes.put(error)

        self._submit(help_out, threads - 1)
        try:
            used, took = work()
        finally:
            left.clear()
            late = _withdraw(tickets)
            others = [outcomes.get() for _ in range(threads - 1 - late)]
        took += late * took  # the time that those who came too late were wanted for
        for outcome in others:
            if isinstance(outcome, BaseException):
                raise outcome
            used, took = used + outcome.used, took + outcome.took
        return Usage(used, took)

    def _submit(self, call: Task, times: int) -> None:
        """Have so many threads make a call, sooner or later."""
        with self.mutex:
            if self.calls is None:
                self.calls = SimpleQueue()
                self._start(self.calls)
        for _ in range(times):
            self.calls.put(call)

    def _start(self, calls: SimpleQueue[Task]) -> None:
        try:
            for _ in range(self.count - 1):
                threading.Thread(target=_serve, args=(calls,), name="tapegrad", daemon=True).start()
        except RuntimeError:  # the interpreter shuts down
            pass


def _serve(calls: SimpleQueue[Task]) -> None:
    while True:
        calls.get()()


def _withdraw(tickets: deque[Any]) -> int:
    """Take back the tickets that nobody has taken; return how many."""
    count = 0
    while True:
        try:
            tickets.popleft()
        except IndexError:
            return count
        count += 1


#: The threads of this process.
pool = Pool()
after_fork(lambda: pool.renew())
