"""Threads: graphs, switches and jitted functions of one thread are none of another's business."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tapegrad as tg

THREADS = 8
ROUNDS = 60


def together(work: Callable[[int], None], threads: int = THREADS) -> None:
    """Run `work(k)` in threads that start at the same moment; raise what any of them raises."""
    barrier = threading.Barrier(threads)

    def run(k: int) -> None:
        barrier.wait()
        work(k)

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(run, k) for k in range(threads)]:
            future.result(timeout=120)


def imperative(k: int, shared: np.ndarray) -> None:
    x = tg.tensor(np.arange(1.0, 4.0) * (k + 1))
    y = np.tanh(x * shared)
    y[1:] *= 2.0
    v = x[::2]
    loss = np.sum(y * y) + np.sum(v**3)
    assert not x.data.flags.writeable
    loss.backward()
    t = np.tanh(x.data * shared)
    expected = np.array([1.0, 4.0, 4.0]) * 2 * t * (1 - t * t) * shared
    expected[::2] += 3 * x.data[::2] ** 2
    assert np.allclose(x.grad, expected)


def test_threads_sweep_their_own_graphs_while_others_record_nothing():
    shared = np.array([0.1, 0.2, 0.3])

    def work(k):
        for _ in range(ROUNDS):
            if k % 4 == 3:
                with tg.no_autodiff:
                    x = tg.tensor([1.0, 2.0])
                    assert (np.sin(x) * x).creator is None
                    assert x.data.flags.writeable
            elif k % 4 == 2:
                with tg.mem_guard_off:
                    a = np.ones(2)
                    y = tg.tensor([1.0, 2.0]) * a
                    a[0] = 1.0
                    y.backward()
            else:
                imperative(k, shared)

    together(work)
    assert shared.flags.writeable
    assert (tg.tensor(1.0) * 2).creator is not None


def test_an_array_shared_by_graphs_of_many_threads_is_released_in_the_end():
    base = np.arange(6.0)
    views = [base[k % 3 : k % 3 + 3] for k in range(THREADS)]

    def work(k):
        t = tg.tensor([1.0, 2.0, 3.0])
        for _ in range(ROUNDS * 5):
            y = t * views[k] + base[:3]
            assert not views[k].flags.writeable
            if k % 2:
                y.backward()
                assert np.array_equal(t.grad, base[k % 3 : k % 3 + 3])
            del y

    together(work)
    assert base.flags.writeable and all(v.flags.writeable for v in views)


def test_the_same_jitted_function_is_called_by_all_threads_at_once():
    def f(w, x):
        return np.sum(np.tanh(x @ w) ** 2)

    step = tg.jit(tg.value_and_grad(f))
    plain = tg.value_and_grad(f)
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(5 + k, 3)) for k in range(THREADS)]
    ws = rng.normal(size=(THREADS, 3))

    def work(k):
        expected = plain(ws[k], xs[k])
        for _ in range(ROUNDS):
            value, g = step(ws[k], xs[k])
            assert np.allclose(value, expected[0]) and np.allclose(g, expected[1])

    together(work)


def test_threads_may_take_different_branches_of_one_jitted_function():
    @tg.jit
    def f(x):
        return x * 2.0 if float(np.sum(x)) > 0 else -x * 3.0

    def work(k):
        sign = 1.0 if k % 2 else -1.0
        x = sign * np.arange(1.0, 4.0 + k)
        for _ in range(ROUNDS):
            assert np.array_equal(f(x), x * 2 if sign > 0 else -x * 3)

    together(work)


def test_transformations_nest_in_every_thread_on_its_own():
    def work(k):
        for _ in range(ROUNDS // 2):
            assert np.allclose(tg.grad(tg.grad(lambda x: x ** (k + 2)))(1.5),
                               (k + 2) * (k + 1) * 1.5**k)  # fmt: skip
            rows = np.ones((3, 2)) * k
            assert np.allclose(tg.vmap(tg.grad(lambda r: np.sum(r * r)))(rows), 2 * rows)
            x = tg.tensor(float(k))
            with tg.Tape() as tape:
                y = x * x
            assert tape.gradient(y, [x])[0] == 2.0 * k and len(tape) == 1

    together(work)


def test_a_graph_may_be_built_in_one_thread_and_swept_in_another():
    a, x = np.array([2.0, 3.0]), tg.tensor([1.0, 1.0])
    made = {}

    def build():
        made["y"] = x * a

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert not a.flags.writeable
    made.pop("y").backward()
    assert np.array_equal(x.grad, a) and a.flags.writeable


def test_the_global_switch_is_seen_by_new_threads():
    seen = []

    def look():
        a = np.ones(2)
        y = tg.tensor([1.0, 2.0]) * a
        seen.append(a.flags.writeable)
        y.clear_graph()

    tg.turn_memory_guarding_off()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [True]


def _squares_by_threads(x):
    out = np.zeros(3)

    def work(i):
        out[i] = x[i] ** 2

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.sum(out)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_refused_in_a_thread_is_raised_where_its_function_was_transformed():
    x = np.array([1.0, 2.0, 3.0])
    for run in (
        lambda: tg.grad(_squares_by_threads)(x),
        lambda: tg.jvp(_squares_by_threads, (x,), (x,)),
        lambda: tg.adapt(_squares_by_threads)(tg.tensor(x)),
    ):
        with pytest.raises(tg.TracedArrayError):
            run()
    assert tg.vmap(_squares_by_threads)(np.stack([x, 2 * x])).tolist() == [14.0, 56.0]


def test_threads_that_a_function_begins_differentiate_inside_of_it():
    def slope(v):
        return tg.grad(lambda y: y * y * v)(v)

    def f(x):
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(slope, list(x)))

    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(tg.grad(f)(x), 4 * x)
