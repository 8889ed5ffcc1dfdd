"""The way from Python into the machine code of a kernel: a function of the C interface, as instructions.

It takes the arguments as CPython passes them, reads addresses, sizes and strides out of arrays as NumPy
lays them out, and gives up the interpreter's lock where there is much to do. What it calls of Python's
it finds in a table, so that the code depends on no address.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.compile.backends.llvm.scalars import LLVM
from tapegrad.compile.backends.llvm.translation import Function, Parameter, result_type

__all__ = ["ARRAY", "TABLE", "TABLE_START", "address", "check_layout", "entry", "held_at"]

_FUNCTIONS = (
    "PyLong_AsLongLong", "PyFloat_AsDouble", "PyObject_IsTrue", "PyErr_Occurred", "PyErr_SetString",
    "PyFloat_FromDouble", "PyLong_FromLongLong", "PyBool_FromLong", "PyTuple_New", "PyTuple_SetItem",
    "PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef",
)  # fmt: skip
_OBJECTS = (np.ndarray, TypeError, None)


class _Array(NamedTuple):
    """Where the parts of an array lie in memory: bytes from its beginning."""

    head: int

    @property
    def kind(self) -> int:
        """Of the address of its class."""
        return self.head - 8

    @property
    def data(self) -> int:
        """Of the address of its elements."""
        return self.head

    @property
    def axes(self) -> int:
        """Of the number of its axes, of 32 bits."""
        return self.head + 8

    @property
    def sizes(self) -> int:
        """Of the address of its sizes."""
        return self.head + 16

    @property
    def strides(self) -> int:
        """Of the address of its strides."""
        return self.head + 24

    @property
    def dtype(self) -> int:
        """Of the address of its dtype; the object that it belongs to lies between."""
        return self.head + 40


ARRAY = _Array(object.__basicsize__)

#: Elements of a nest from which on other threads may run meanwhile: giving up the lock takes 40 ns.
WORTH_RELEASING = 4096


def address(name: str) -> int:
    """Return where a function of CPython's interface lies."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _addresses() -> bytes:
    functions = map(address, _FUNCTIONS)
    return struct.pack(f"={len(_FUNCTIONS) + len(_OBJECTS)}q", *functions, *map(id, _OBJECTS))


#: The addresses of what the code uses of Python's.
TABLE = _addresses()
#: Where they begin in an object of bytes: what follows them there is a byte.
TABLE_START = bytes.__basicsize__ - 1


def held_at(name: Any) -> int:
    """Return where `self` has the address of a function or an object of Python's."""
    return TABLE_START + 8 * (*_FUNCTIONS, *_OBJECTS).index(name)


def check_layout() -> bool:
    """Whether arrays and bytes lie in memory as the code expects."""
    array = np.empty((3, 2), np.int16)[:, ::-1]
    data, axes, sizes, strides = (
        ctypes.c_int64.from_address(id(array) + at).value
        for at in (ARRAY.data, ARRAY.axes, ARRAY.sizes, ARRAY.strides)
    )
    kind, dtype = (
        ctypes.c_int64.from_address(id(array) + at).value for at in (ARRAY.kind, ARRAY.dtype)
    )
    if data != array.ctypes.data or axes & 0xFFFFFFFF != 2:
        return False
    if kind != id(np.ndarray) or dtype != id(array.dtype):
        return False
    found = [(ctypes.c_int64 * 2).from_address(address)[:] for address in (sizes, strides)]
    table = ctypes.string_at(id(TABLE) + TABLE_START, len(TABLE))
    return found == [[3, 2], [4, -2]] and table == TABLE


def entry(function: Function, parameters: Sequence[Parameter], loops: Sequence[str]) -> str:
    """Return the code of the function ``kernel`` that Python calls, around ``loops``.

    Parameters
    ----------
    function : Function
    parameters : sequence of Parameter
        What it takes.
    loops : sequence of str
        The parameters that say how often each loop runs.
    """
    return _Writer(parameters).text(function, loops)


class _Writer:
    """Writes the instructions."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = parameters
        self.lines: list[str] = []
        self.given: list[str] = []
        self.count = 0

    def value(self, instruction: str) -> str:
        self.count += 1
        self.lines.append(f"%e{self.count} = {instruction}")
        return f"%e{self.count}"

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def at(self, pointer: str, offset: int, type_: str = "ptr") -> str:
        """Read what lies some bytes behind an address."""
        place = self.value(f"getelementptr i8, ptr {pointer}, i64 {offset}")
        return self.value(f"load {type_}, ptr {place}")

    def held(self, name: Any) -> str:
        """Return the address of a function or an object of Python's."""
        return self.at("%self", held_at(name))

    def call(self, name: str, type_: str, *arguments: str) -> str:
        """Call a function of Python's."""
        return self.value(f"call {type_} {self.held(name)}({', '.join(arguments)})")

    def text(self, function: Function, loops: Sequence[str]) -> str:
        for i, p in enumerate(self.parameters):
            self.argument(p, self.at("%args", 8 * i))
        self.lines.append("br label %run")
        self.label("run")
        self.run(function, loops)
        returned = self.result(function)
        self.lines.append(f"ret ptr {returned}")
        self.label("wrong")
        message = "a kernel was given an argument of another kind"
        set_error = self.held("PyErr_SetString")
        self.lines.append(f"call void {set_error}(ptr {self.held(TypeError)}, ptr @message)")
        self.lines.append("br label %failed")
        self.label("failed")
        self.lines.append("ret ptr null")
        size = len(message) + 1
        return "\n".join([
            f'@message = internal constant [{size} x i8] c"{message}\\00"',
            "define ptr @kernel(ptr %self, ptr %args, i64 %nargs) nounwind {",
            *self.lines,
            "}",
        ])  # fmt: skip

    # Arguments ------------------------------------------------------------------------------------

    def argument(self, p: Parameter, given: str) -> None:
        if p.rank >= 0:
            self.array(p, given)
        elif p.kind in ("float64", "float32"):
            number = self.number("PyFloat_AsDouble", "double", "fcmp oeq", "-1.0", given)
            if p.kind == "float32":
                number = self.value(f"fptrunc double {number} to float")
            self.given.append(f"{LLVM[p.kind]} {number}")
        elif p.kind == "boolean":
            number = self.number("PyObject_IsTrue", "i32", "icmp eq", "-1", given)
            self.given.append(f"i1 {self.value(f'trunc i32 {number} to i1')}")
        else:
            number = self.number("PyLong_AsLongLong", "i64", "icmp eq", "-1", given)
            type_ = LLVM[p.kind]
            if type_ != "i64":
                number = self.value(f"trunc i64 {number} to {type_}")
            self.given.append(f"{type_} {number}")

    def number(self, function: str, type_: str, test: str, failure: str, given: str) -> str:
        """Convert a number; what may stand for a failure is looked at."""
        number = self.call(function, type_, f"ptr {given}")
        good, doubtful = f"good{self.count}", f"doubtful{self.count}"
        suspected = self.value(f"{test} {type_} {number}, {failure}")
        self.lines.append(f"br i1 {suspected}, label %{doubtful}, label %{good}")
        self.label(doubtful)
        error = self.call("PyErr_Occurred", "ptr")
        failed = self.value(f"icmp ne ptr {error}, null")
        self.lines.append(f"br i1 {failed}, label %failed, label %{good}")
        self.label(good)
        return number

    def array(self, p: Parameter, given: str) -> None:
        """Read an array, after a look at what it is: a wrong one would be read out of bounds."""
        kind = self.at(given, ARRAY.kind)
        is_array = self.value(f"icmp eq ptr {kind}, {self.held(np.ndarray)}")
        good, right = f"array{self.count}", f"axes{self.count}"
        self.lines.append(f"br i1 {is_array}, label %{good}, label %wrong")
        self.label(good)
        axes = self.at(given, ARRAY.axes, "i32")
        fits = self.value(f"icmp eq i32 {axes}, {p.rank}")
        self.lines.append(f"br i1 {fits}, label %{right}, label %wrong")
        self.label(right)
        self.given.append(f"ptr {self.at(given, ARRAY.data)}")
        for at in (ARRAY.sizes, ARRAY.strides)[: 1 if p.contiguous else 2]:
            numbers = self.at(given, at)
            self.given += [f"i64 {self.at(numbers, 8 * i, 'i64')}" for i in range(p.rank)]

    # The call and its result ----------------------------------------------------------------------

    def run(self, function: Function, loops: Sequence[str]) -> None:
        """Call the loops, with or without the interpreter's lock."""
        sizes = [
            given.split()[1] for p, given in zip(self.parameters, self.first_of_each())
            if p.name in loops
        ]  # fmt: skip
        type_ = result_type(function.returned)
        arguments = ", ".join(self.given)
        work = "1"
        for size in sizes:
            work = self.value(f"mul i64 {work}, {size}")
        is_large = self.value(f"icmp sgt i64 {work}, {WORTH_RELEASING}")
        self.lines.append(f"br i1 {is_large}, label %long, label %short")
        names = []
        for label in ("long", "short"):
            self.label(label)
            state = self.call("PyEval_SaveThread", "ptr") if label == "long" else ""
            call = f"call {type_} @loops({arguments})"
            if function.returned:
                names.append(self.value(call))
            else:
                self.lines.append(call)
            if state:
                held = self.held("PyEval_RestoreThread")
                self.lines.append(f"call void {held}(ptr {state})")
            self.lines.append("br label %done")
        self.label("done")
        if names:
            self.lines.append(
                f"%result = phi {type_} [ {names[0]}, %long ], [ {names[1]}, %short ]"
            )

    def first_of_each(self) -> list[str]:
        """Return the first of the values that each parameter gives."""
        found, at = [], 0
        for p in self.parameters:
            found.append(self.given[at])
            at += 1 + p.described
        return found

    def result(self, function: Function) -> str:
        """Make the object that Python gets."""
        if not function.returned:
            none = self.held(None)
            self.lines.append(f"call void {self.held('Py_IncRef')}(ptr {none})")
            return none
        type_ = result_type(function.returned)
        parts = []
        for i, kind in enumerate(function.returned):
            part = self.value(f"extractvalue {type_} %result, {i}")
            parts.append(self.boxed(kind, part))
        if len(parts) == 1:
            return parts[0]
        made = self.call("PyTuple_New", "ptr", f"i64 {len(parts)}")
        for i, part in enumerate(parts):
            self.call("PyTuple_SetItem", "i32", f"ptr {made}", f"i64 {i}", f"ptr {part}")
        return made

    def boxed(self, kind: str, value: str) -> str:
        """Return a number as an object."""
        type_ = LLVM[kind]
        if kind == "boolean":
            wide = self.value(f"zext i1 {value} to i64")
            return self.call("PyBool_FromLong", "ptr", f"i64 {wide}")
        if kind in ("float64", "float32"):
            if kind == "float32":
                value = self.value(f"fpext float {value} to double")
            return self.call("PyFloat_FromDouble", "ptr", f"double {value}")
        if type_ != "i64":
            word = "sext" if kind.startswith("int") else "zext"
            value = self.value(f"{word} {type_} {value} to i64")
        return self.call("PyLong_FromLongLong", "ptr", f"i64 {value}")
