"""Functions of the standard library give as images what they give as they are."""

import _pydecimal
import argparse
import ast
import calendar
import collections
import configparser
import contextlib
import copy
import csv
import dataclasses
import difflib
import enum
import fractions
import functools
import heapq
import inspect
import io
import json
import json.decoder
import json.encoder
import pprint
import random
import shlex
import statistics
import string
import textwrap
import typing
import urllib.parse

import pytest
from gates import Full, Showing, Watching

from tapegrad.tape.python import Imaging

TEXT = "The quick brown fox jumps over the lazy dog. " * 6


def dumps():
    encode = functools.partial(json.encoder._make_iterencode, _one_shot=False)
    plain = json.encoder.JSONEncoder(indent=2, sort_keys=True)
    markers = {}
    chunks = encode(
        markers,
        plain.default,
        json.encoder.py_encode_basestring_ascii,
        "  ",
        float.__repr__,
        ": ",
        ", ",
        True,
        False,
    )
    value = {"b": [1, 2.5, None, {"c": "x\u1234"}], "a": True, "e": [], "d": {}}
    return "".join(chunks(value, 0)), json.dumps(value, indent=1, sort_keys=True)


def loads():
    text = '{"a": [1, -2.5e3, {"b": null, "c": "\\u00e4\\n"}], "d": true}'
    decoder = json.decoder.JSONDecoder(object_pairs_hook=list)
    decoder.scan_once = __import__("json.scanner").scanner.py_make_scanner(decoder)
    return decoder.decode(text), json.loads(text)


def wrapping():
    return textwrap.wrap(TEXT, 30), textwrap.shorten(TEXT, 40), textwrap.indent("a\nb", "> ")


def statistical():
    values = [1.5, 2.5, 4.0, 8.0]
    return (
        statistics.mean(values),
        statistics.stdev(values),
        statistics.quantiles(values),
        statistics.linear_regression(values, [1, 2, 3, 5]),
        statistics.NormalDist(1, 2).cdf(0.5),
        statistics.median_grouped([1, 2, 2, 3]),
    )


def rational():
    f = fractions.Fraction
    return (
        f("3.25") / 7 + f(2, 3) ** 3,
        f(7, 3) // f(1, 2),
        round(f(22, 7), 2),
        1 - f(1, 3),
        f(1, 3) < 0.4,
        float(f(1, 4)),
    )


def heaps():
    module = {}
    source = inspect.getsource(heapq).partition("# If available, use C implementation")[0]
    exec(compile(source, "pure heapq", "exec"), module)
    xs = [5, 2, 8, 1, 9, 3]
    module["heapify"](xs)
    module["heappush"](xs, 4)
    return (
        xs,
        module["heappop"](xs),
        module["nsmallest"](3, xs),
        list(heapq.merge([1, 5], [2, 4])),
        heapq.nlargest(2, xs, key=lambda x: -x),
    )


def differences():
    a, b = ["one", "two", "three", "four"], ["zero", "one", "three", "tree", "four"]
    matcher = difflib.SequenceMatcher(None, "abxcd", "abcd")
    return (
        list(difflib.unified_diff(a, b)),
        list(difflib.ndiff(a, b)),
        matcher.get_opcodes(),
        matcher.ratio(),
        difflib.get_close_matches("appel", ["ape", "apple"]),
    )


def templates():
    return (
        string.Template("$a and ${b} cost $$5").substitute(a=1, b="x"),
        string.Formatter().format("{0!r:>5}|{a[1]}", "x", a=[1, 2]),
        string.capwords("a b"),
    )


def data_classes():
    @dataclasses.dataclass(order=True)
    class Point:
        x: int
        y: list = dataclasses.field(default_factory=list, compare=False)
        z: dataclasses.InitVar[int] = 3

        def __post_init__(self, z):
            self.y = [*self.y, z]

    frozen = dataclasses.make_dataclass("Frozen", [("a", int)], frozen=True, slots=True)
    p = Point(1, [2], z=5)
    return (
        repr(p),
        p < Point(2),
        dataclasses.asdict(p),
        dataclasses.replace(p, x=4, z=1).x,
        hash(frozen(1)) == hash(frozen(1)),
        repr(frozen(2)),
    )


def enumerations():
    class Color(enum.Enum):
        RED = 1
        BLUE = "b"

        @property
        def loud(self):
            return self.name + "!"

    class Mode(enum.Flag):
        READ = enum.auto()
        WRITE = enum.auto()

    return (
        [c.loud for c in Color],
        Color("b"),
        Color["RED"].value,
        str(Mode.READ | Mode.WRITE),
        Mode.READ in Mode(3),
        repr(Color.RED),
    )


def arguments():
    parser = argparse.ArgumentParser(prog="tool", description="A tool.")
    parser.add_argument("--number", "-n", type=int, default=3, help="how many")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--flag", action="store_true")
    commands = parser.parse_known_args(["-n", "5", "x", "y", "--flag", "--other"])
    return str(commands), parser.format_help()


def parsing():
    tree = ast.parse(
        "def f(x, *a, k=1, **n):\n    with a as b:\n        return [y for y in x if y] or {1: 2}\n"
    )
    return ast.unparse(tree), ast.dump(tree), ast.literal_eval("{'a': [1, (2, -3)]}")


def copies():
    value = {"a": [1, (2, [3])], "b": {4}}
    new = copy.deepcopy(value)
    return new, new["a"] is value["a"], copy.copy([1])


def decimals():
    d = _pydecimal.Decimal
    with _pydecimal.localcontext() as context:
        context.prec = 12
        return (
            str((d("1.1") + 3) / d(7) * d("2e10")),
            str(d(2).sqrt()),
            str(d("1.5").quantize(d("1"))),
            str(d(10).ln()),
        )


def collecting():
    c = collections.Counter("abracadabra")
    P = collections.namedtuple("P", "x y", defaults=[3])
    m = collections.ChainMap({"a": 1}, {"a": 2, "b": 3})
    return (
        c.most_common(2),
        c - collections.Counter("aab"),
        P(1)._replace(x=5),
        P(1)._asdict(),
        dict(m),
        m.new_child({"b": 0})["b"],
        collections.UserList([3, 1])[0:1],
        collections.OrderedDict(a=1),
    )


def printing():
    return (
        pprint.pformat({"a": list(range(30)), "b": {"c": "x" * 90}}, width=40),
        calendar.month(2024, 2),
        shlex.split("a 'b c' \"d\""),
        urllib.parse.urlparse("http://a.b/c?d=e#f"),
        urllib.parse.urlencode({"a": "ä b"}),
    )


def configuring():
    parser = configparser.ConfigParser()
    parser.read_string("[a]\nb = 1\nc = %(b)s2\n[d]\ne = on\n")
    out = io.StringIO()
    parser.write(out)
    return parser["a"]["c"], parser.getboolean("d", "e"), out.getvalue()


def tables():
    out = io.StringIO()
    writer = csv.DictWriter(out, ["a", "b"])
    writer.writeheader()
    writer.writerow({"a": 1, "b": "x,y"})
    return out.getvalue(), list(csv.DictReader(io.StringIO(out.getvalue())))


def drawing():
    r = random.Random(3)
    return (
        r.sample(range(100), 5),
        r.gauss(0, 1),
        r.choices("abc", [1, 2, 3], k=4),
        r.shuffle(xs := [1, 2, 3]),
        xs,
        r.betavariate(1, 2),
    )


def inspecting():
    def f(a, b: int = 1, /, *c, d, **e) -> str: ...

    class Generic(typing.Generic[typing.TypeVar("T")]):
        x: "int"

    return (
        str(inspect.signature(f)),
        typing.get_type_hints(Generic),
        str(inspect.signature(f).bind(1, d=2)),
        repr(Generic[int]),
    )


def stacking():
    log = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(ValueError))
        stack.callback(log.append, "callback")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            print("hidden")
        raise ValueError
    return log, out.getvalue()


FUNCTIONS = [
    dumps, loads, wrapping, statistical, rational, heaps, differences, templates, data_classes,
    enumerations, arguments, parsing, copies, decimals, collecting, printing, configuring, tables,
    drawing, inspecting, stacking,
]  # fmt: skip


@pytest.mark.parametrize("gate", [Imaging, Watching, Full, Showing], ids=lambda gate: gate.__name__)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_library_gives_the_same(function, gate):
    # Classes made inside differ from call to call, so that texts are compared.
    assert repr(gate().run(function)) == repr(function())
