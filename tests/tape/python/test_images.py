"""Images: what has one, how long it lives, that it is the user's function in all but its code."""

import collections
import dataclasses
import functools
import gc
import importlib
import inspect
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from gates import Full

from tapegrad.tape.python import FULL, LIGHT, Images, Imaging, current, original
from tapegrad.tape.python.rewriting import with_gates


def has_image(function):
    image = Images(FULL).image(function)
    return image is not function and original(image.__code__) is function.__code__


def example(a, b=(1, 2), /, c=3, *d, e=4, **f):
    """An example."""
    return a, b, c, d, e, f


def test_an_image_is_the_function_in_all_but_its_code():
    image = Images(LIGHT).image(example)
    assert image is not example
    assert image.__globals__ is example.__globals__
    assert image.__defaults__ is example.__defaults__
    assert image.__kwdefaults__ is example.__kwdefaults__
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__closure__"):
        assert getattr(image, name) == getattr(example, name)
    assert inspect.signature(image) == inspect.signature(example)
    assert image(1, e=5, g=6) == example(1, e=5, g=6)


def test_cells_are_the_users_own():
    n = 0

    def bump():
        nonlocal n
        n += 1
        return n

    Imaging().run(bump)
    Full().run(bump)
    assert n == 2 and bump() == 3


def test_an_image_of_an_image_is_the_image():
    images, others = Images(LIGHT), Images(FULL)
    image = images.image(example)
    assert images.image(image) is image
    again = others.image(image)
    assert again.__code__ is others.image(example).__code__
    assert original(again.__code__) is example.__code__


def test_defaults_are_read_at_each_call():
    def f(x=1):
        return x

    gate = Imaging()
    assert gate.run(f) == 1
    f.__defaults__ = (2,)
    assert gate.run(f) == 2


def test_code_that_is_exchanged_is_seen():
    def f():
        return 1

    gate = Imaging()
    assert gate.run(f) == 1
    f.__code__ = (lambda: 2).__code__
    assert gate.run(f) == 2


def test_the_code_of_an_image_is_made_once():
    images = Images(FULL)
    assert images.image(example).__code__ is images.image(example).__code__


def test_images_do_not_keep_code_alive():
    images = Images(FULL)

    def make():
        scope = {}
        exec("def f(x): return [g(x) for x in x]", scope)
        return scope["f"]

    made = [make() for _ in range(20)]
    alive = [weakref.ref(images.image(f).__code__) for f in made]
    assert all(ref() is not None for ref in alive)
    count = len(images._codes)
    del made
    gc.collect()
    assert all(ref() is None for ref in alive)
    assert len(images._codes) == count - 20


def test_an_image_outlives_its_function():
    scope = {}
    exec("def f(x): return abs(x)", scope)
    images = Images(LIGHT)
    image = images.image(scope.pop("f"))
    gc.collect()
    assert image(-3) == 3
    assert images.image(image) is image
    assert original(image.__code__) is image.__code__


def test_threads_make_the_same_image():
    scope = {}
    exec("def f(x): return [abs(y) + x for y in range(x)]", scope)
    f, gate, results = scope["f"], Full(), []
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        results.extend(gate.run(f, 5) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [f(5)] * 400


def test_each_thread_has_its_own_gate():
    seen = []

    def inner():
        seen.append(type(current.get()).__name__)

    def outer():
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()
        inner()

    Full().run(outer)
    assert seen == ["Gate", "Full"]


def test_gates_nest_and_end():
    order = []

    class Named(Imaging):
        def __init__(self, name):
            self.name = name

    def inner():
        order.append(current.get().name)

    def outer():
        inner()
        Named("inner").run(inner)
        inner()
        raise KeyError

    with pytest.raises(KeyError):
        Named("outer").run(outer)
    assert order == ["outer", "inner", "outer"]
    assert not hasattr(current.get(), "name")


def test_what_is_left_behind_runs_as_the_function():
    def f():
        function = lambda x: [x + 1 for _ in "a"]
        return map(function, [1, 2]), (abs(x) for x in (-1, -2))

    mapped, generator = Full().run(f)
    assert list(mapped) == [[2], [3]]
    assert list(generator) == [1, 2]


# Code whose text nobody could find, or finds wrong


def test_functions_without_source_have_images():
    scope = {}
    exec(compile("f = lambda x: abs(x)\ng = lambda x: -x", "<nowhere>", "exec"), scope)
    assert has_image(scope["f"]) and has_image(scope["g"])
    assert Full().run(scope["f"], -2) == 2


def test_two_lambdas_on_one_line():
    f, g = (lambda x: x + 1), (lambda x: x + 2)
    assert Full().run(f, 1) == 2
    assert Full().run(g, 1) == 3


def test_a_file_that_is_edited_after_the_import(tmp_path, monkeypatch):
    path = tmp_path / "edited_module.py"
    path.write_text("def f(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    edited_module = importlib.import_module("edited_module")
    path.write_text("import math\n\ndef f(x):\n    return x + 1000\n")
    assert Full().run(edited_module.f, 1) == 2


def test_a_module_that_is_reloaded_while_its_functions_are_in_use(tmp_path, monkeypatch):
    path = tmp_path / "reloaded_module.py"
    path.write_text("def f(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    reloaded_module = importlib.import_module("reloaded_module")
    old, gate = reloaded_module.f, Full()
    assert gate.run(old, 1) == 2
    path.write_text("def f(x):\n    return x + 1000  # another text\n")
    importlib.reload(reloaded_module)
    assert gate.run(old, 1) == 2
    assert gate.run(reloaded_module.f, 1) == 1001


def test_asserts_that_pytest_rewrote():
    def f(x):
        assert abs(x) == 2, "no"
        return x

    assert Full().run(f, -2) == -2
    with pytest.raises(AssertionError, match=r"no\nassert 3 == 2"):
        Full().run(f, 3)


def test_the_prompt_and_the_command_line(tmp_path):
    text = textwrap.dedent(
        """
        from tapegrad.tape.python import Imaging, original
        def f(x): return abs(g(x))

        g = lambda x: -x
        assert Imaging().run(f, 3) == 3
        assert Imaging.images.image(f) is not f and Imaging.images.image(g) is not g
        print("done")
        """
    )
    for arguments, given in (["-c", text], None), (["-"], text), (["-i", "-q"], text):
        done = subprocess.run(
            [sys.executable, *arguments],
            input=given or "",
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert "done" in done.stdout and "Error" not in done.stderr, done.stderr


def test_constructors_that_the_library_generates():
    seen = []

    @dataclasses.dataclass
    class Point:
        x: float
        y: list = dataclasses.field(default_factory=lambda: [seen.append("factory")])

        def __post_init__(self):
            seen.append(original(sys._getframe().f_code) is Point.__post_init__.__code__)
            seen.append(sys._getframe().f_code is Point.__post_init__.__code__)

    frozen = dataclasses.make_dataclass("Frozen", ["a"], frozen=True)
    pair = collections.namedtuple("pair", "a b", defaults=[5])
    assert has_image(Point.__init__) and has_image(Point.__eq__) and has_image(pair.__new__)

    def f():
        return Point(1.0), Point(1.0) == Point(1.0), frozen(3), pair(1)

    made = Full().run(f)
    assert made == (Point(1.0, [None]), True, frozen(3), pair(1, 5))
    assert seen[:3] == ["factory", True, False]


# What runs as it is


def test_reasons_for_running_as_it_is():
    import numpy as np

    images = Images(LIGHT)

    async def asynchronous():
        yield 1

    assert images.reason(example) is None
    assert "asynchronous" in images.reason(asynchronous)
    assert "numpy" in images.reason(
        np.linalg.LinAlgError.__init__ if False else np.broadcast_shapes
    )
    assert "tapegrad" in images.reason(with_gates)
    broken = example.__code__.replace(co_linetable=b"")
    assert "compiler" in images.reason(type(example)(broken, {}))
    assert images.image(asynchronous) is asynchronous


def test_an_unknown_python_runs_everything_as_it_is(monkeypatch):
    monkeypatch.setattr("tapegrad.tape.python.images.VERSION", (3, 99))
    images = Images(LIGHT)
    assert images.image(example) is example
    assert "3.99" in images.reason(example)


# Functions and classes made inside


def test_functions_made_inside_keep_their_code():
    def f():
        def inner(x):
            return x + 1

        class A:
            def method(self):
                return inner(1)

        return inner, lambda: 0, A, [(lambda: 0) for _ in (1,)]

    inner, anonymous, A, (listed,) = Full().run(f)
    codes = {c.co_name: c for c in f.__code__.co_consts if hasattr(c, "co_name")}
    assert inner.__code__ is codes["inner"]
    assert A.method.__code__ is next(c for c in codes["A"].co_consts if hasattr(c, "co_name"))
    assert original(listed.__code__) is listed.__code__
    assert original(anonymous.__code__) is anonymous.__code__
    assert inspect.getsource(A.method).strip().startswith("def method")


def module_level():
    return functools.partial(example, 1)


def test_what_images_return_can_be_pickled():
    made = Full().run(module_level)
    assert pickle.loads(pickle.dumps(made))() == example(1)
    assert made.func is example


def test_functions_are_handed_on_as_themselves():
    def keep(f, *, key=None):
        return f, key

    def f():
        box = {"f": example}
        box.update(g=example)
        return keep(example, key=example), box, functools.partial(example), [example].index(example)

    (first, key), box, part, index = Full().run(f)
    assert first is key is box["f"] is box["g"] is part.func is example and index == 0


def test_numba_compiles_what_is_made_inside():
    numba = pytest.importorskip("numba")

    def f(x):
        @numba.njit
        def double(v):
            return 2.0 * v

        return double(x)

    assert Full().run(f, 1.5) == 3.0


# Cost


def test_making_an_image_does_not_depend_on_the_file_or_more_than_in_proportion_on_the_length():
    steps = {}
    for lines, padding in (30, ""), (30, "pass\n" * 20_000), (60, ""):
        body = "\n".join(
            f"    y{i} = np.sum(np.tanh(x[{i}]) * {i} + k['a']) if x[{i}] > 0 else f(x, {i})"
            for i in range(lines)
        )
        scope = {}
        exec(compile(f"{padding}def f(x, k):\n{body}\n    return y3", "file", "exec"), scope)
        steps[lines, padding != ""] = _calls(
            lambda c=scope["f"].__code__: with_gates(c, FULL, current)
        )
    assert steps[30, True] < 1.01 * steps[30, False]
    assert steps[60, False] < 2.1 * steps[30, False]


def _calls(work):
    """Return how many functions are called."""
    work()  # what is found out once
    count = 0

    def note(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_light_image_adds_little_to_a_call():
    import numpy as np

    x, gate = np.linspace(0, 1, 10), Imaging()
    f = lambda x: np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))
    image, token = gate.image(f), current.set(gate)
    try:
        plain, gated = _calls(lambda: f(x)), _calls(lambda: image(x))
    finally:
        current.reset(token)
    assert gated <= plain + 20  # one question of the gate for each load and call


def test_memory_stays_flat_over_many_runs():
    def f(x):
        class A:
            def __init__(self, x):
                self.x = x

            def __add__(self, other):
                return self.x + other

        return sorted([A(x) + 1, 2], key=lambda v: -v), [y + 1 for y in (x,)]

    def run(count):
        for i in range(count):
            Full().run(f, i)
        gc.collect()
        return sys.getallocatedblocks()

    run(2000)
    before = run(2000)
    assert run(2000) - before < 200
