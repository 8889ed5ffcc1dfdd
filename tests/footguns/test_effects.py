"""Effects that happen while a tracer records, and never again: here they happen at each call."""

import heapq
import operator
import queue
import random
import threading
import time
import types
import warnings
from collections import deque

import numpy as np
import pytest
from compare import V, close

import tapegrad as tg

counter = 0


def run(function, times=4, *args, warning=RuntimeWarning, match="without compiling"):
    """Call a jitted function several times; it is run as it is, with one warning."""
    jitted = tg.jit(function)
    with pytest.warns(warning, match=match) as seen:
        results = [jitted(*(args or (V,))) for _ in range(times)]
    assert len(seen) == 1
    return results


def distinct(results):
    assert len({np.asarray(r).tobytes() for r in results}) == len(results)


def test_legacy_random_numbers_are_drawn_at_each_call():
    np.random.seed(0)
    got = run(lambda x: x * np.random.rand(), match="random")
    np.random.seed(0)
    close(got, [V * np.random.rand() for _ in range(4)])


def test_a_captured_generator_is_drawn_from_at_each_call():
    rng = np.random.default_rng(0)
    got = run(lambda x: x + rng.normal(size=3), match="random")
    rng = np.random.default_rng(0)
    close(got, [V + rng.normal(size=3) for _ in range(4)])


def test_a_method_of_a_generator_that_is_captured_alone_is_called_each_time():
    draw = np.random.default_rng(0).normal
    distinct(run(lambda x: x + draw(), match="random"))


def test_a_generator_in_an_attribute_is_drawn_from_at_each_call():
    class Model:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __call__(self, x):
            return x + self.rng.uniform()

    distinct(run(Model(), match="random"))


def test_a_generator_made_inside_without_seed_gives_new_numbers():
    distinct(run(lambda x: x + np.random.default_rng().normal()))
    distinct(run(lambda x: x + np.random.RandomState().normal(size=3)))


def test_a_generator_made_inside_with_a_seed_is_compiled():
    jitted = tg.jit(lambda x: x + np.random.default_rng(3).normal(size=3))
    wanted = V + np.random.default_rng(3).normal(size=3)
    for _ in range(4):
        close(jitted(V), wanted)
    assert jitted.stats().eager_calls == 0


def test_a_generator_that_is_an_argument_is_drawn_from_at_each_call():
    rng = np.random.default_rng(0)
    distinct(run(lambda x, r: x + r.normal(), 4, V, rng, match="random"))


def test_random_numbers_of_python_are_drawn_at_each_call():
    distinct(run(lambda x: x * random.random(), match=r"random"))
    distinct(run(lambda x: x * random.gauss(0, 1), match=r"random"))
    own = random.Random(0)
    distinct(run(lambda x: x * own.random(), match=r"random"))


def test_a_shuffle_of_a_captured_list_happens_at_each_call():
    order = list(range(20))

    def f(x):
        random.shuffle(order)
        return x * order[0]

    run(f)


def test_clocks_are_read_at_each_call():
    distinct(run(lambda x: x + time.perf_counter_ns(), match="perf_counter_ns"))
    distinct(run(lambda x: x[0] * 0 + time.time_ns(), match="time_ns"))


def test_printing_happens_at_each_call(capsys):
    def f(x):
        print("value", float(x[0]))
        return x * 2

    run(f, match="it calls print")
    assert capsys.readouterr().out == "value 0.5\n" * 4


def test_printing_that_is_switched_off_does_not_hinder():
    def f(x, verbose=False):
        if verbose:
            print("here")
        return x * 2

    jitted = tg.jit(f, strict=True)
    for _ in range(3):
        close(jitted(V), V * 2)


def test_warnings_are_given_at_each_call():
    def f(x):
        warnings.warn("mine", UserWarning, stacklevel=1)
        return x

    jitted = tg.jit(f)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            jitted(V)
    assert sum(w.category is UserWarning for w in seen) == 3


def test_files_are_read_at_each_call(tmp_path):
    path = tmp_path / "factor"
    path.write_text("2")
    jitted = tg.jit(lambda x: x * float(path.read_text()))
    with pytest.warns(RuntimeWarning, match="it calls _?io"):
        close(jitted(V), V * 2)
    path.write_text("3")
    close(jitted(V), V * 3)


def test_a_nonlocal_counter_counts_each_call():
    calls = 0

    def f(x):
        nonlocal calls
        calls += 1
        return x * calls

    close(run(f, match="changes what is outside"), [V * i for i in (1, 2, 3, 4)])
    assert calls == 4


def test_a_global_counter_counts_each_call():
    def f(x):
        global counter
        counter += 1
        return x * counter

    start = counter
    close(run(f), [V * (start + i) for i in (1, 2, 3, 4)])


def test_a_list_gets_an_entry_at_each_call_and_no_traced_value_among_them():
    history = []

    def f(x):
        history.append(x.sum())
        return x * 2

    run(f)
    close(history, [np.float64(1.5)] * 4)


def test_other_containers_get_an_entry_at_each_call():
    queue, seen, table = deque(), set(), {}

    def f(x):
        queue.append(x * 1)
        seen.add(len(seen))
        table[len(table)] = (x + 1, "text")
        return x * 2

    run(f)
    close(list(queue), [V] * 4)
    assert seen == {0, 1, 2, 3}
    close(table, dict.fromkeys(range(4), (V + 1, "text")))


def test_a_bound_append_is_followed_to_its_list():
    history = []
    append = history.append

    def f(x):
        append(x[0])
        return x

    run(f)
    close(history, [V[0]] * 4)


def test_an_attribute_that_is_written_holds_an_array():
    class Model:
        def __init__(self):
            self.calls = 0
            self.last = None

        def __call__(self, x):
            self.calls += 1
            self.last = x * 2
            return x + self.calls

    model = Model()
    close(run(model), [V + i for i in (1, 2, 3, 4)])
    close(model.last, V * 2)
    assert model.calls == 4


def test_an_attribute_that_keeps_the_argument_keeps_the_array_itself():
    space = types.SimpleNamespace()

    def f(x):
        space.kept = x
        return x + 1

    run(f)
    assert space.kept is V


def test_a_list_argument_that_is_changed_is_changed_at_each_call():
    def f(items):
        items.append(items[0] * 2)
        return items[-1]

    jitted = tg.jit(f)
    items = [V]
    with pytest.warns(RuntimeWarning, match="a list, a dict or an object that it was given"):
        for _ in range(3):
            jitted(items)
    assert items[0] is V
    close(items, [V] + [V * 2] * 3)


def test_a_dict_argument_that_is_changed_is_changed_at_each_call():
    def step(state):
        state["w"] = state["w"] - 0.5
        state["new"] = {"deep": state["w"]}
        return state

    jitted = tg.jit(step)
    ours, theirs = {"w": V}, {"w": V}
    with pytest.warns(RuntimeWarning):
        for _ in range(3):
            close(jitted(ours), step(theirs))
            close(ours, theirs)


def test_an_iterator_moves_on_at_each_call():
    numbers = iter(range(10))
    close(run(lambda x: x * next(numbers), match="iterator"), [V * i for i in range(4)])


def test_a_captured_array_that_is_written_is_written_at_each_call():
    total = np.zeros(3)

    def f(x):
        total[:] = total + x
        return x * 2

    jitted = tg.jit(f)
    for i in range(1, 5):
        close(jitted(V), V * 2)
        close(total, V * i)


def test_plain_numpy_that_writes_into_a_captured_array_is_run_at_each_call():
    total = np.zeros(3)

    class Adder:
        def add(self):
            np.add(total, 1.0, out=total)

    adder = Adder()

    def f(x):
        adder.add()
        return x * 2

    jitted = tg.jit(f)
    for i in range(1, 5):
        jitted(V)
        assert total[0] == i
    assert jitted.stats().eager_calls == 0


def test_an_effect_under_grad_of_jit_happens_once_for_each_call():
    calls = []

    @tg.jit
    def f(x):
        calls.append(1)
        return np.sum(x * x)

    gradient = tg.grad(f)
    for i in range(1, 4):
        close(gradient(V), 2 * V)
        assert len(calls) == i


def test_random_numbers_under_grad_of_jit_are_drawn_once_for_each_call():
    rng = np.random.default_rng(0)
    gradient = tg.grad(tg.jit(lambda x: np.sum(x * rng.normal(size=3))))
    got = [gradient(V) for _ in range(3)]
    rng = np.random.default_rng(0)
    close(got, [rng.normal(size=3) for _ in range(3)])


def test_a_profiler_that_runs_is_not_disturbed():
    import cProfile

    profiler = cProfile.Profile()
    jitted = tg.jit(lambda x: x * np.exp(x))
    profiler.enable()
    try:
        close(jitted(V), V * np.exp(V))
        close(jitted(V), V * np.exp(V))
        sorted([3, 1])
    finally:
        profiler.disable()
    assert any("sorted" in str(entry.code) for entry in profiler.getstats())


class Box:
    def __init__(self):
        self.n = 0
        self.heap, self.items, self.places = [], [0], {"n": 0}
        self.queue, self.event = queue.Queue(), threading.Event()
        self.append = self.items.append

    def seen(self):
        return (self.n, self.heap, self.items, self.places, self.queue.qsize(), self.event.is_set())


def by_setattr(x, box):
    setattr(box, "n", box.n + 1)  # noqa: B010
    return x * box.n


def by_heappush(x, box):
    heapq.heappush(box.heap, float(x[0]))
    return x * len(box.heap)


def by_setitem(x, box):
    operator.setitem(box.items, 0, box.items[0] + 1)
    operator.setitem(box.places, "n", box.items[0])
    return x * box.items[0] + box.places["n"]


def by_a_captured_method(x, box):
    box.append(1)
    return x * len(box.items)


def by_a_queue(x, box):
    box.queue.put(1)
    return x * box.queue.qsize()


def by_an_event(x, box):
    first = not box.event.is_set()
    box.event.set()
    return x * (1 + first)


@pytest.mark.parametrize(
    "function",
    [by_setattr, by_heappush, by_setitem, by_a_captured_method, by_a_queue, by_an_event],
)
def test_state_that_is_changed_without_a_name_in_the_code(function):
    ours, theirs = Box(), Box()
    want = [function(V, theirs) for _ in range(4)]

    def f(x):
        return function(x, ours)

    close(run(f), want)
    assert ours.seen() == theirs.seen()


def test_a_container_in_the_closure_is_changed_by_functions_of_c():
    heap, items = [], [0]
    push, put = heapq.heappush, operator.setitem

    def f(x):
        push(heap, 1)
        put(items, 0, items[0] + 1)
        return x * items[0]

    close(run(f), [V * n for n in (1, 2, 3, 4)])
    assert heap == [1, 1, 1, 1] and items == [4]
