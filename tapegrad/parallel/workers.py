"""Executors, and what to do when a worker dies or takes too long.

Whatever has the interface of ``concurrent.futures.Executor`` serves: threads, processes, Dask clients.
What is computed is a pure function of what is sent, so that it may be computed again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from typing import Any

__all__ = ["Workers", "wait_for_workers"]

#: How often executors may break while the same parts are computed.
_MOST_BROKEN = 3
#: A part that takes more than this many times the median is submitted once more.
_SLOW = 3.0
#: What takes less than this many seconds is not slow.
_SHORT = 0.5


def wait_for_workers(client: Any, timeout: float = 30.0) -> None:
    """Wait until a Dask client has a worker.

    Parameters
    ----------
    client : distributed.Client
    timeout : float
        Seconds.

    Raises
    ------
    TimeoutError
        If it has none by then.
    """
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError as error:
        raise TimeoutError(
            f"{client!r} had no workers for {timeout:g} s; start some, or wait longer: "
            "tg.parallel.wait_for_workers(client, timeout)"
        ) from error


class Workers:
    """Computes lists of calls; answers come in the order of the calls.

    Parameters
    ----------
    executor : Executor, callable, int or Dask client
        An executor; or a function that makes one, which is asked again when one is broken since a
        process was killed; or a number of processes.
    timeout : float
        How many seconds a Dask client may be without workers at the start.

    Attributes
    ----------
    renewed : int
        How often an executor was made in place of one that was broken.
    resubmitted : int
        How many calls were submitted once more since they took long.

    Notes
    -----
    A call that is not back after three times the median of the others is submitted once more, and the
    first answer counts.

    Examples
    --------
    >>> import tapegrad as tg
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with tg.parallel.Workers(lambda: ThreadPoolExecutor(2)) as workers:
    ...     workers.run(pow, [(2, 3), (3, 2), (5, 1)])
    [8, 9, 5]
    """

    def __init__(self, executor: Any, *, timeout: float = 30.0) -> None:
        self.renewed, self.resubmitted = 0, 0
        self._make: Callable[[], Any] | None = None
        self._executor: Any = None
        self._client: Any = None
        if isinstance(executor, int) and not isinstance(executor, bool):
            if executor < 1:
                raise ValueError(f"the number of processes must be at least 1, not {executor}")
            self._make = _processes(executor)
        elif hasattr(executor, "get_executor"):
            wait_for_workers(executor, timeout)
            self._client = executor
            self._executor = executor.get_executor(pure=False, retries=_MOST_BROKEN)
        elif isinstance(executor, Executor) or hasattr(executor, "submit"):
            self._executor = executor
        elif callable(executor):
            self._make = executor
        else:
            raise TypeError(
                "executor must be an Executor of concurrent.futures, a function that makes one, a "
                f"number of processes or a Dask client, not {type(executor).__name__}"
            )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def close(self) -> None:
        """Shut down what was made here."""
        if self._make is not None and self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a function with each tuple of arguments, and return what it returns, in order.

        Raises
        ------
        Exception
            What the function raises.
        RuntimeError
            If the executor is broken and cannot be made again, or breaks again and again.
        """
        return _Round(self, function, calls).answers()

    def total(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        add: Callable[[Any, Any], Any],
    ) -> Any:
        """Call a function as :meth:`run` does, and return the sum of what it returns.

        Neighbours are added first, then their sums, and so on: so bits do not depend on who computes
        what. Workers of a Dask client add themselves, and only the sum comes back.

        Examples
        --------
        >>> import tapegrad as tg
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with tg.parallel.Workers(lambda: ThreadPoolExecutor(2)) as workers:
        ...     workers.total(str, [(1,), (2,), (3,)], lambda a, b: f"({a} + {b})")
        '((1 + 2) + 3)'
        """
        if self._client is None:
            return _tree(self.run(function, calls), add)
        there = _RoundOnDask(self, function, calls).answers()
        return _tree(there, lambda a, b: self.submit_to_dask(add, (a, b))).result()

    def submit_to_dask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Submit a call whose answer stays with a worker; futures may be arguments."""
        return self._client.submit(function, *arguments, pure=False, retries=_MOST_BROKEN)

    def submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[Any]:
        """Submit a call; the executor is made when it is needed."""
        if self._executor is None:
            assert self._make is not None
            self._executor = self._make()
        return self._executor.submit(function, *arguments)  # type: ignore[no-any-return]

    def renew(self, error: BaseException, count: int) -> None:
        """Leave an executor that is broken, so that the next call makes another one."""
        if self._make is None:
            raise RuntimeError(
                f"a worker has died, and the executor is of no use any more ({error}). Give a function "
                "that makes one, or a number of processes: then its part is computed again"
            ) from error
        if count > _MOST_BROKEN:
            raise RuntimeError(
                f"workers died {count} times in a row ({error}). A script that starts processes must do "
                "so under: if __name__ == '__main__':"
            ) from error
        self._executor.shutdown(wait=False)
        self._executor, self.renewed = None, self.renewed + 1


def _tree(values: list[Any], add: Callable[[Any, Any], Any]) -> Any:
    """Return the sum of all values, by sums of neighbours."""
    while len(values) > 1:
        pairs = [add(*values[i : i + 2]) for i in range(0, len(values) - 1, 2)]
        values = pairs + values[2 * len(pairs) :]
    return values[0]


def _processes(count: int) -> Callable[[], Executor]:
    def make() -> Executor:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        # A fork of a process that has threads may hang.
        return ProcessPoolExecutor(count, mp_context=get_context("spawn"))

    return make


class _Round:
    """A list of calls that is being computed."""

    def __init__(self, workers: Workers, function: Any, calls: Sequence[tuple[Any, ...]]) -> None:
        self.workers, self.function, self.calls = workers, function, calls
        self.found: dict[int, Any] = {}
        self.waiting: dict[Future[Any], int] = {}
        self.began = [0.0] * len(calls)
        self.took: list[float] = []
        self.twice: set[int] = set()
        self.broken = 0

    def answers(self) -> list[Any]:
        """Compute all of it."""
        self.submit(range(len(self.calls)))
        while len(self.found) < len(self.calls):
            for future in self.some_done(self.patience()):
                self.take(future)
            self.submit_slow_ones_again()
        return [self.found[i] for i in range(len(self.calls))]

    def submit(self, indices: Any) -> None:
        """Submit calls; an executor may turn out to be broken here."""
        for i in indices:
            self.began[i] = self.began[i] or time.monotonic()
            try:
                self.waiting[self.start(self.calls[i])] = i
            except BrokenExecutor as error:
                self.begin_anew(error)
                return

    def start(self, arguments: tuple[Any, ...]) -> Any:
        """Submit a call."""
        return self.workers.submit(self.function, arguments)

    def some_done(self, patience: float | None) -> Any:
        """Wait until at least one call is done, or for so many seconds; return those that are."""
        return wait(self.waiting, timeout=patience, return_when=FIRST_COMPLETED).done

    def answer(self, future: Any) -> Any:
        """Return what a call that is done has given, or raise what it has raised."""
        return future.result()

    def begin_anew(self, error: BaseException) -> None:
        """Submit what there is no answer to, to another executor."""
        self.broken += 1
        self.waiting.clear()
        self.workers.renew(error, self.broken)
        self.submit([i for i in range(len(self.calls)) if i not in self.found])

    def take(self, future: Future[Any]) -> None:
        """Take an answer; only the first one to a call counts."""
        index = self.waiting.pop(future, None)
        if index is None or index in self.found:
            return
        try:
            self.found[index] = self.answer(future)
        except (BrokenExecutor, CancelledError) as error:
            self.begin_anew(error)
        except BaseException:
            for other in self.waiting:
                other.cancel()
            raise
        else:
            self.took.append(time.monotonic() - self.began[index])

    def limit(self) -> float | None:
        """Return after how many seconds a call is slow; None while too few are back to tell."""
        if 2 * len(self.took) < len(self.calls) or len(self.took) < 2:
            return None
        return max(_SHORT, _SLOW * statistics.median(self.took))

    def patience(self) -> float | None:
        """Return how long to wait for the next answer."""
        limit = self.limit()
        left = [i for i in self.waiting.values() if i not in self.twice]
        if limit is None or not left:
            return None
        return max(0.01, limit - (time.monotonic() - min(self.began[i] for i in left)))

    def submit_slow_ones_again(self) -> None:
        """Submit once more what takes much longer than the others."""
        limit, now = self.limit(), time.monotonic()
        if limit is None:
            return
        left = set(self.waiting.values()) - self.twice - self.found.keys()
        slow = [i for i in sorted(left) if now - self.began[i] > limit]
        self.twice.update(slow)
        self.workers.resubmitted += len(slow)
        self.submit(slow)


class _RoundOnDask(_Round):
    """The same, with answers that stay with the workers: futures of Dask stand for them."""

    def start(self, arguments: tuple[Any, ...]) -> Any:
        return self.workers.submit_to_dask(self.function, arguments)

    def some_done(self, patience: float | None) -> Any:
        from distributed import wait

        try:
            return wait(list(self.waiting), timeout=patience, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return ()

    def answer(self, future: Any) -> Any:
        return future if future.status == "finished" else future.result()
