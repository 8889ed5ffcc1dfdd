"""What rules keep is read off their byte code; here it is compared with their source."""

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.core.residuals import SHAPE_ATTRIBUTES, reads_of, uses_of

Function = ast.FunctionDef | ast.Lambda


@functools.cache
def functions_in(file: str) -> list[Function]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]


def span(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def source_of(code: Any) -> Function:
    """Return the syntax tree of the smallest function that contains all places of the code."""
    places = [p for p in code.co_positions() if None not in p and p[0] != p[1] + p[3]]
    places = [p for p in places if p[2:] != (0, 0)]  # the instruction that begins a function
    found = [
        node
        for node in functions_in(code.co_filename)
        if all(
            span(node)[0] <= (line, column) and (end, until) <= span(node)[1]
            for line, end, column, until in places
        )
        and [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        == list(code.co_varnames[: code.co_argcount])
    ]
    return max(found, key=lambda node: span(node)[0])


def loads(node: Any, name: str, inside: bool = False) -> Iterator[str]:
    """Say of every place that reads a name whether it reads the value, or only the shape."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        if name in {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}:
            return
        inside = True
    if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
        yield "value"
    elif (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    ):
        yield "shape" if node.attr in SHAPE_ATTRIBUTES and not inside else "value"
    else:
        for child in ast.iter_child_nodes(node):
            yield from loads(child, name, inside)


def expected(function: Function, name: str) -> str:
    body = function.body if isinstance(function.body, list) else [function.body]
    seen = {use for statement in body for use in loads(statement, name)}
    return "value" if "value" in seen else "shape" if seen else "none"


RULES = [
    (name, index, rule)
    for name, primitive in sorted(primitives.complete().items())
    for index, rule in enumerate(primitive.vjps or ())
    if rule is not None and hasattr(rule, "__code__")
]


def test_what_each_rule_reads_by_its_byte_code_is_what_its_source_says() -> None:
    assert len(RULES) > 100
    different = {}
    for name, index, rule in RULES:
        code = rule.__code__
        reads, source = reads_of(code), source_of(code)
        for argument in code.co_varnames[1 : code.co_argcount]:
            pair = reads.get(argument, "none"), expected(source, argument)
            if pair[0] != pair[1]:
                different[name, index, argument] = pair
    assert not different


def superinstructions(g: Any, y: Any, x: Any) -> Any:
    a = x
    for b in y:
        a = a * b
    return g * a


def twice(g: Any, y: Any, x: Any) -> Any:
    return x * x.shape[0] + y.dtype.itemsize


def comprehension(g: Any, y: Any, x: Any) -> Any:
    return [g * a for a in x if a is not None]


def shadowed(g: Any, y: Any, x: Any) -> Any:
    return [g * x for x in range(y.ndim)]


def inner(g: Any, y: Any, x: Any) -> Any:
    return list(map(lambda a: a * x.ndim, (g, y.shape)))  # noqa: C417


def branches(g: Any, y: Any, x: Any) -> Any:
    return (x if g else y).shape


def stored(g: Any, y: Any, x: Any) -> Any:
    x = g  # noqa: F841
    return y.size


def many(g: Any, y: Any, x: Any) -> Any:
    # More names than fit into an instruction's argument of 4 bits.
    a = b = c = d = e = f = h = i = j = k = m = n = o = p = g
    q = p
    r = q * x.shape[0]
    s = r * y
    return (a, b, c, d, e, f, h, i, j, k, m, n, o, r, s)


@pytest.mark.parametrize(
    "rule, y, x",
    [
        (superinstructions, "value", "value"),
        (twice, "shape", "value"),
        (comprehension, "none", "value"),
        (shadowed, "shape", "value or none"),
        (inner, "shape", "value"),
        (branches, "shape", "value or shape"),
        (stored, "shape", "none"),
        (many, "value", "shape"),
        (lambda g, y, x: g, "none", "none"),
        (lambda g, y, x: np.where(x > y, g, 0), "value", "value"),
        (lambda g, y, x: (lambda: x.ndim)(), "none", "value"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_no_read_is_missed_whatever_instructions_it_is_compiled_to(
    rule: Callable[..., Any], y: str, x: str
) -> None:
    # Where two answers are right, Pythons differ: a comprehension may save what its names stand for
    # outside, and what follows a branch may be compiled once for each of its ways.
    reads = reads_of(rule.__code__)
    assert reads.get("y", "none") == y
    assert reads.get("x", "none") in x.split(" or ")


def test_every_instruction_that_loads_a_local_name_is_known() -> None:
    import dis

    names = {name for name in dis.opmap if "LOAD_FAST" in name or "LOAD_CLOSURE" in name}
    known = {
        "LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR", "LOAD_FAST_LOAD_FAST",
        "STORE_FAST_LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_BORROW_LOAD_FAST_BORROW",
        "LOAD_CLOSURE",  # a variable of functions inside: all of them count as read
    }  # fmt: skip
    assert names <= known, "see tape/core/residuals.py"


def test_a_rule_of_any_number_of_arguments_may_read_everything() -> None:
    assert uses_of((lambda g, *args: g,)) is None
    assert uses_of((None, lambda g, y, a, b: g * a)) == ("none", "value", "none")
    assert uses_of((np.multiply,)) is None


def test_rules_find_their_source_here_too() -> None:
    assert inspect.getsource(twice).startswith("def twice")
    assert isinstance(source_of(twice.__code__), ast.FunctionDef)
