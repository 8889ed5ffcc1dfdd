"""Small programs drawn at random run in images as they run without.

Compared are the result or the exception with its line, and what is left in the globals, under the gate
that does nothing, under light images, light images that are watched, and full ones.
"""

import re
import traceback
import warnings

from gates import Full, Showing, Silent, SilentFull, Watching
from hypothesis import given, settings
from hypothesis import strategies as st

from tapegrad.tape.python import Imaging

NAMES = ("a", "b", "c")
LEAVES = ("g", "xs", "d", "0", "1", "2", "-3", "2.5", "'s'", "None", "()", "V(2)", "V(3)")
OPERATORS = (
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "<",
    "<=",
    "==",
    "!=",
    ">",
    ">=",
    "in",
    "is",
    "and",
    "or",
)
PRELUDE = '''
class V:
    """All operators in Python; some refuse, some raise."""
    def __init__(self, n): self.n = n
    def __add__(self, o): return V(self.n + o.n) if isinstance(o, V) else NotImplemented
    def __radd__(self, o): return V(self.n + o) if isinstance(o, int) else NotImplemented
    def __isub__(self, o): self.n -= 1; return self
    def __sub__(self, o): return self.n - o
    def __mul__(self, o): return V(self.n * 2)
    def __eq__(self, o): return isinstance(o, V) and self.n == o.n
    def __lt__(self, o): return NotImplemented
    def __gt__(self, o): return self.n > 1
    def __bool__(self): return self.n % 2 == 1
    def __iter__(self): yield from range(self.n)
    def __getitem__(self, k): return self.n if k else [][k]
    def __setitem__(self, k, v): self.n = k
    def __contains__(self, x): return x
    def __enter__(self): return self.n
    def __exit__(self, kind, value, trace): return kind is ZeroDivisionError
    def __call__(self, *a, **k): return (self.n, a, k)
    def __len__(self): return self.n - 1
    def __repr__(self): return f"V({self.n})"
    def __format__(self, s): return "V" + s
    @property
    def half(self): return self.n / 2
    @half.setter
    def half(self, v): self.n = v + 1

g = 1
xs = [3, 1, 2]
d = {"a": 1, 2: [5]}

def helper(x, *rest, k=2, **more):
    return (x, rest, k, sorted(more))

def recurse(n):
    return 0 if n <= 0 else n + recurse(n - 1)

def count(n):
    got = yield n
    for i in range(3):
        yield (i, got)
'''


@st.composite
def expressions(draw, depth=2):
    """The text of an expression."""
    leaf = st.sampled_from([*NAMES, *LEAVES])
    if depth == 0:
        return draw(leaf)
    e = lambda: draw(expressions(depth=depth - 1))
    kind = draw(st.integers(0, 27))
    name = draw(st.sampled_from(NAMES))
    if kind < 3:
        return draw(leaf)
    if kind < 7:
        return f"({e()} {draw(st.sampled_from(OPERATORS))} {e()})"
    forms = {
        7: lambda: f"({e()} if {e()} else {e()})",
        8: lambda: f"(not {e()})",
        9: lambda: f"[{e()}, {e()}]",
        10: lambda: f"({e()}, *{e()})",
        11: lambda: "{" + f"{e()}: {e()}" + "}",
        12: lambda: f"[{e()} for {name} in {e()} if {e()}]",
        13: lambda: f"sum({name} for {name} in {e()})",
        14: lambda: f"{e()}[{e()}]",
        15: lambda: f"xs[{e()}:]",
        16: lambda: f"helper({e()}, k={e()})",
        17: lambda: f"helper(*{e()}, **{{'z': {e()}}})",
        18: lambda: f"(lambda {name}, k=2: {e()})({e()})",
        19: lambda: f"sorted({e()}, key=lambda {name}: {e()})",
        20: lambda: 'f"{' + name + "}{" + name + '!r:>4}"',
        21: lambda: f"len({e()})",
        22: lambda: f"({name} := {e()})",
        23: lambda: f"({e()} < {e()} < {e()})",
        24: lambda: f"recurse({draw(st.integers(0, 5))})",
        25: lambda: f"{e()}.half",
        26: lambda: f"list(map(lambda {name}: {e()}, {e()}))",
        27: lambda: f"{e()}({e()})",
    }
    return forms[kind]()


@st.composite
def statements(draw, depth=2, loop=False):
    """The lines of a statement."""
    e = lambda: draw(expressions())
    block = lambda inside=loop: [
        "    " + line
        for _ in range(draw(st.integers(1, 2)))
        for line in draw(statements(depth=depth - 1, loop=inside))
    ]
    name = draw(st.sampled_from(NAMES))
    kind = draw(st.integers(0, 13 if depth == 0 else 24))
    simple = {
        0: lambda: f"{name} = {e()}",
        1: lambda: f"{name} = {e()}",
        2: lambda: f"{name} {draw(st.sampled_from(['+=', '-=', '*=']))} {e()}",
        3: lambda: f"a, b = {e()}",
        4: lambda: f"a, *b = {e()}",
        5: lambda: f"xs[{e()}] = {e()}",
        6: lambda: f"d[{e()}] = {e()}",
        7: lambda: f"{e()}.half = {e()}",
        8: lambda: f"xs[{e()}] += {e()}",
        9: lambda: f"g = {e()}",
        10: lambda: f"assert {e()}, 'no'",
        11: lambda: f"return {e()}",
        12: lambda: draw(st.sampled_from(["break", "continue"])) if loop else f"del {name}",
        13: lambda: f"xs.append({e()})",
    }
    if kind in simple:
        return [simple[kind]()]
    if kind < 17:
        return [f"if {e()}:", *block(), "else:", *block()]
    if kind < 19:
        return [f"for {name} in {e()}:", *block(True), "else:", *block()]
    if kind == 19:
        return ["i = 0", "while i < 3:", "    i += 1", *block(True)]
    inner = lambda: ["    " + line for line in block()]
    if kind == 20:
        kinds = draw(st.sampled_from(["TypeError", "Exception as err", "(KeyError, IndexError)"]))
        last = f"    {name} = {e()}"
        return ["try:", *block(), f"except {kinds}:", *block(), "finally:", last]
    if kind == 21:
        return [f"with V({draw(st.integers(0, 3))}) as {name}:", *block()]
    if kind == 22:
        return [f"def f({name}=1, *rest):", *block(False), f"{name} = f({e()})"]
    if kind == 23:
        first, second = f"    case [a, *b] if {e()}:", "    case {'a': c} | V(n=c):"
        return [
            f"match {e()}:",
            first,
            *inner(),
            second,
            *inner(),
            "    case 1 | 's':",
            "        g = 7",
        ]
    lines = ["def f(x):", f"    got = yield {e()}", f"    yield from {e()}", "    return got"]
    return [*lines, f"{name} = list(f(1))"]


@st.composite
def programs(draw):
    """The text of a function `run` of three arguments."""
    body = [line for _ in range(draw(st.integers(1, 5))) for line in draw(statements())]
    lines = [
        "def run(a, b, c):",
        "    global g",
        *("    " + line for line in body),
        "    return a, b, c",
    ]
    return PRELUDE + "\n".join(lines) + "\n"


def outcome(code, call):
    """What a program gives or raises, where, and what it leaves behind."""
    scope = {"__name__": "drawn"}
    exec(code, scope)
    try:
        result = repr(call(scope["run"]))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == "<drawn>"]
        # A call that the gate wants to see collects its arguments before the function is known.
        message = re.sub(r".* argument after \* must", "Value after * must", str(error))
        result = type(error), message, lines
    return result, repr([scope.get(name) for name in ("g", "xs", "d")])


@settings(max_examples=150)
@given(programs(), st.sampled_from(["1, 2, 3", "V(1), [1, 2], 's'", "xs, d, V(2)"]))
def test_drawn_programs_run_as_without_images(text, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            code = compile(text, "<drawn>", "exec")
        except SyntaxError:
            return

    def under(call):
        def run(function):
            scope = function.__globals__
            return call(function, *eval(f"({arguments})", scope))

        return outcome(code, run)

    expected = under(lambda function, *args: function(*args))
    for gate in (Silent, SilentFull, Imaging, Watching, Full, Showing):
        assert under(gate().run) == expected, gate.__name__
