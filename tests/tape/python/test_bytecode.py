"""Code taken apart and put together is the same code; images keep the rules of the interpreter."""

import argparse
import asyncio.base_events
import dataclasses
import enum
import json.decoder
import opcode
import sysconfig
from pathlib import Path
from types import CodeType

import pytest

from tapegrad.tape.python import FULL, LIGHT, current
from tapegrad.tape.python.bytecode import (
    OPCODES,
    encode,
    put_together,
    stack_effect,
    take_apart,
)
from tapegrad.tape.python.rewriting import Level, with_gates
from tapegrad.tape.python.sites import Site, stack_after, stacks
from tapegrad.tape.python.treatments import KEPT, TREATED

MODULES = [argparse, asyncio.base_events, dataclasses, enum, json.decoder]


def codes(path):
    """All code objects of a file."""
    todo = [compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)]
    while todo:
        code = todo.pop()
        todo.extend(c for c in code.co_consts if isinstance(c, CodeType))
        yield code


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_code_that_is_put_together_unchanged_is_the_same(module):
    for code in codes(module.__file__):
        instructions = take_apart(code)
        written = [
            encode(each.opcode, each.arg)
            if each.target is None
            else (b"", each.opcode, each.target, b"")
            for each in instructions
        ]
        same = put_together(
            code,
            instructions,
            written,
            constants=code.co_consts,
            names=code.co_names,
            deeper=0,
        )
        assert same.co_code == code.co_code
        assert same.co_exceptiontable == code.co_exceptiontable
        assert list(same.co_positions()) == list(code.co_positions())


@pytest.mark.parametrize("level", [LIGHT, FULL], ids=lambda level: level.name)
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_images_of_real_code_keep_stack_lines_and_names(module, level):
    for code in codes(module.__file__):
        _check(code, level)


@pytest.mark.deep
@pytest.mark.parametrize("level", [LIGHT, FULL], ids=lambda level: level.name)
def test_images_of_the_whole_library_keep_stack_lines_and_names(level):
    checked = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "test" in path.parts or "site-packages" in path.parts or "lib2to3" in path.parts:
            continue
        for code in codes(str(path)):
            _check(code, level)
            checked += 1
    assert checked > 10_000


def _check(code, level):
    assert _consistent(code)
    image = with_gates(code, level, current)
    assert _consistent(image), code
    assert {line for *_, line in image.co_lines()} == {line for *_, line in code.co_lines()}
    assert set(image.co_positions()) == set(code.co_positions())
    for name in ("co_varnames", "co_cellvars", "co_freevars", "co_flags", "co_qualname"):
        assert getattr(image, name) == getattr(code, name)
    assert image.co_consts[: len(code.co_consts)] == code.co_consts


def _consistent(code):
    """Whether each instruction finds the same on the stack on every way that leads to it.

    A NULL, which must lie where a call looks for it, is never taken for a value.
    """
    instructions = take_apart(code)
    found = stacks(code, instructions)
    ends = ("RETURN_V", "RETURN_C", "RERAISE", "RAISE", "JUMP_FORWARD", "JUMP_BACKWARD")
    for index, (each, stack) in enumerate(zip(instructions, found)):
        if stack is None:
            continue
        site = Site(None, code, instructions, index)
        ways = [] if each.target is None else [(each.target, stack_effect(each, jump=True))]
        if not each.name.startswith(ends):
            ways.append((index + 1, stack_effect(each)))
        if any(found[to] != stack_after(site, stack, effect) for to, effect in ways):
            return False
        taken = {"POP_TOP": 1, "STORE_FAST": 1, "BUILD_TUPLE": each.arg}.get(each.name, 0)
        taken = stack[len(stack) - taken :] + (
            stack[-each.arg :][:1] if each.name == "COPY" else ()
        )
        if "NULL" in taken:
            return False
    return max(len(stack) for stack in found if stack is not None) <= code.co_stacksize


def test_every_instruction_of_this_python_has_a_treatment():
    specialised = set(getattr(opcode, "_specialized_instructions", ()))
    specialised |= set(getattr(opcode, "_specialized_opmap", ()))
    written = {n for n in OPCODES if n not in specialised and not n.startswith("INSTRUMENTED")}
    assert written - set(TREATED) - set(KEPT) == set()
    assert set(TREATED) & set(KEPT) == set()


def test_every_group_of_instructions_is_asked_by_full_images():
    def groups(entry):
        return {entry} if isinstance(entry, str) else {"calls", "displays", "updates", "operators"}

    known = set().union(*(groups(group) for group, _ in TREATED.values()))
    assert known == set(FULL.always) - {"results", "loops"}
    assert LIGHT.always | LIGHT.watched <= FULL.always


def test_long_jumps_and_many_constants():
    lines = [f"    if x == {1000 + i}: y = f({i}.5, k=x) + {i} * x" for i in range(400)]
    text = (
        "def g(x, f):\n    y = 0\n    for k in range(2):\n    "
        + "\n    ".join(lines)
        + "\n    return y"
    )
    scope = {}
    exec(text, scope)
    g = scope["g"]
    nothing = Level("nothing", frozenset())
    for level in (nothing, LIGHT, FULL):
        image = type(g)(with_gates(g.__code__, level, current), scope)
        for x in (0, 1000, 1399):
            assert image(x, lambda v, k=0, **n: v + k) == g(x, lambda v, k=0, **n: v + k)
