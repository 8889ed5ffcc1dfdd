"""No frame of ours stands between two of the user's: what looks at frames sees the user's alone."""

# ruff: noqa: B015, C400, C417, RUF059  # expressions stand here for what they call

import collections
import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path

import pytest
from gates import Full, Watching

from tapegrad.tape.python import Imaging, original

GATES = pytest.mark.parametrize("gate", [Imaging, Watching, Full], ids=lambda gate: gate.__name__)


def callers():
    """The names of the functions from here up to `start`."""
    names, frame = [], sys._getframe(1)
    while frame.f_code.co_name != "start":
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


class Watched:
    """Every special method notes who called it."""

    def __init__(self, log):
        log.append(callers())
        self.log = log
        self.plain = 1

    def _note(self, result):
        self.log.append(callers()[1:])
        return result

    def __call__(self):
        return self._note(1)

    def __add__(self, other):
        return self._note(NotImplemented)

    def __iadd__(self, other):
        return self._note(NotImplemented)

    def __radd__(self, other):
        return self._note(2)

    def __lt__(self, other):
        return self._note(NotImplemented)

    def __gt__(self, other):
        return self._note(True)

    def __eq__(self, other):
        return self._note(False)

    def __neg__(self):
        return self._note(1)

    def __bool__(self):
        return self._note(True)

    def __len__(self):
        return self._note(2)

    def __getitem__(self, key):
        return self._note(3)

    def __setitem__(self, key, value):
        self._note(None)

    def __delitem__(self, key):
        self._note(None)

    def __contains__(self, value):
        return self._note(True)

    def __iter__(self):
        self._note(None)
        return Steps(self.log)

    def __enter__(self):
        return self._note(self)

    def __exit__(self, *error):
        return self._note(None)

    def __format__(self, spec):
        return self._note("f")

    def __repr__(self):
        return self._note("r")

    def __float__(self):
        return self._note(1.0)

    def __getattr__(self, name):
        if name == "found":
            return self._note(1)
        raise AttributeError(name)

    @property
    def value(self):
        return self._note(1)

    @value.setter
    def value(self, new):
        self._note(None)


class Derived(Watched):
    def __radd__(self, other):
        return self._note(NotImplemented)


class Unrelated:
    def __init__(self, log):
        self.log = log

    def __radd__(self, other):
        self.log.append(callers())
        return 3

    def __gt__(self, other):
        self.log.append(callers())
        return 4


class Steps:
    def __init__(self, log):
        self.log, self.left = log, 2

    def __next__(self):
        self.log.append(callers())
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left

    def __iter__(self):
        return self


def special_methods(log):
    a, b = Watched(log), Unrelated(log)
    a()
    a + b
    1 + a
    a += b
    a = Watched(log)
    a < b
    a < Derived(log)
    a == 1
    -a
    if a:
        pass
    not a
    a and b
    a[1]
    a[1:2] = 3
    del a[1]
    1 in a
    for _ in a:
        pass
    [*a]
    x, y = a
    with a:
        pass
    f"{a} {a!r} {a:>3}"
    len(a), float(a), repr(a), bool(a), str(a), list(a), a.value, hasattr(a, "found")
    a.found
    a.value
    a.value = 2
    a.value = 2
    log.append("callbacks")
    sorted([2, 1], key=lambda v: log.append(callers()) or v)
    list(map(lambda v: log.append(callers()), [1]))
    max([1, 2], key=lambda v: log.append(callers()) or v)
    [log.append(callers()) for _ in "a"]
    list(log.append(callers()) for _ in "a")


@pytest.mark.parametrize("gate", [Imaging, Watching, Full], ids=lambda gate: gate.__name__)
def test_special_methods_and_callbacks_are_called_by_the_users_frame(gate):
    def start(run):
        log = []
        run(log)
        return log

    # A list comprehension's own frame is the user's, too; what is above `start` is not looked at.
    expected = start(special_methods)
    seen = start(lambda log: gate().run(special_methods, log))
    assert [_without_run(names) for names in seen] == [_without_run(names) for names in expected]


def _without_run(names):
    return names if isinstance(names, str) else [n for n in names if n not in ("run", "<lambda>")]


@GATES
def test_special_methods_in_full_images_are_images(gate):
    codes = []

    class A:
        def __add__(self, other):
            codes.append(sys._getframe().f_code)
            return self

        def __bool__(self):
            codes.append(sys._getframe().f_code)
            return True

    def f():
        a = A()
        return bool(a + a)

    gate().run(f)
    user = [A.__add__.__code__, A.__bool__.__code__]
    assert [original(code) for code in codes] == user
    assert [code is own for code, own in zip(codes, user)] == [False, False]


@GATES
def test_warnings_name_the_users_line(gate):
    def warn():
        warnings.warn("here", stacklevel=2)

    def f():
        warn()
        list(map(lambda _: warn(), [1]))
        sorted([1], key=lambda _: warn())

    lines = []
    for run in (f, lambda: gate().run(f)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
        lines.append([(Path(w.filename).name, w.lineno) for w in caught])
    first = f.__code__.co_firstlineno
    here = Path(__file__).name
    assert lines[0] == lines[1] == [(here, first + 1), (here, first + 2), (here, first + 3)]


@GATES
def test_logging_names_the_users_function(gate, caplog):
    def deepest():
        logging.getLogger("images").warning("hello")

    gate().run(lambda: deepest())
    (record,) = caplog.records
    assert (record.funcName, record.filename) == ("deepest", Path(__file__).name)
    assert record.lineno == deepest.__code__.co_firstlineno + 1


@GATES
def test_namedtuples_and_classes_know_their_module(gate):
    def f():
        class Here:
            pass

        return collections.namedtuple("P", "x y"), Here

    made, here = gate().run(f)
    assert made.__module__ == here.__module__ == __name__
    assert here.__qualname__ == f.__qualname__ + ".<locals>.Here"
    assert made(1, 2)._replace(x=3) == (3, 2)


@GATES
def test_the_caller_is_one_frame_up(gate):
    def inner():
        return sys._getframe(1).f_code.co_name, sys._getframe(1).f_lineno

    def outer():
        return inner()

    assert gate().run(outer) == ("outer", outer.__code__.co_firstlineno + 1)


class Tree:
    def __init__(self, child):
        self.child = child

    def __len__(self):
        return 1 + (len(self.child) if self.child is not None else 0)

    def __eq__(self, other):
        return other is not None and self.child == other.child

    @property
    def depth(self):
        return 1 + (self.child.depth if self.child is not None else 0)


def _down(n):
    return 0 if n == 0 else 1 + _down(n - 1)


def _by_key(n):
    return 0 if n == 0 else max([n], key=lambda k: _by_key(k - 1))


def _nested(n):
    tree = None
    for _ in range(n):
        tree = Tree(tree)
    return tree


@pytest.mark.parametrize(
    "recursion",
    [
        lambda n: _down(n),
        lambda n: _by_key(n // 4),
        lambda n: len(_nested(n // 3)),
        lambda n: _nested(n // 3) == _nested(n // 3),
        lambda n: _nested(n // 2).depth,
    ],
    ids=["function", "callback", "len", "equality", "property"],
)
@GATES
def test_recursion_goes_as_deep(recursion, gate):
    # 30 frames are left for the tests' own, and for the frame of a gate at the deepest place.
    results = []

    def run(what):
        depth = 0
        frame = sys._getframe()
        while frame:
            depth, frame = depth + 1, frame.f_back
        results.append(what(sys.getrecursionlimit() - depth - 30))

    thread = threading.Thread(target=lambda: run(recursion))
    thread.start()
    thread.join()
    thread = threading.Thread(target=lambda: run(lambda n: gate().run(recursion, n)))
    thread.start()
    thread.join()
    assert results[0] == results[1]


@GATES
def test_deep_recursion_of_functions_needs_no_stack_of_cs(gate):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(40_000)
    try:
        assert gate().run(_down, 30_000) == 30_000
    finally:
        sys.setrecursionlimit(limit)


@GATES
def test_tracebacks_show_the_users_source(gate):
    def divide(x):
        return [
            1,
            2 / x,
        ]

    def f():
        return divide(0) + 1

    texts = []
    for run in (f, lambda: gate().run(f)):
        with pytest.raises(ZeroDivisionError) as caught:
            run()
        entries = traceback.extract_tb(caught.value.__traceback__)
        texts.append(
            "".join(
                traceback.StackSummary(e for e in entries if e.name in ("f", "divide")).format()
            )
        )
    assert texts[0] == texts[1]
    assert "2 / x" in texts[0] and "~~^~~" in texts[0]


@GATES
def test_names_in_frames_are_the_users(gate):
    def f(a):
        b = a + 1
        frame = sys._getframe()
        return (
            sorted(frame.f_locals),
            frame.f_code.co_varnames,
            frame.f_code.co_freevars,
            locals()["b"],
        )

    assert gate().run(f, 1) == f(1) == (["a", "b", "frame"], ("a", "b", "frame"), (), 2)
