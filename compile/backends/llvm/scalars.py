"""Scalars: ordinary Python arithmetic that writes LLVM instructions.

A kernel's text and the formulas of ``vecmath`` both become instructions here, one line for each. A
Python number takes the kind of the value that it meets, so that one formula serves float64 and float32.
Nothing is inferred, and nothing is optimised: LLVM does that.

>>> block = Block()
>>> x = Scalar(block, "float32", "%x")
>>> y = 1.0 / (x + 1.0)
>>> block.lines
['%t0 = fadd float %x, 0x3FF0000000000000', '%t1 = fdiv float 0x3FF0000000000000, %t0']
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["FLOATS", "LLVM", "Block", "Format", "Operand", "Scalar", "call", "where"]

#: What LLVM calls a kind of number. How integers are compared and converted is said by instructions.
LLVM = {
    "float64": "double", "float32": "float", "boolean": "i1", "int64": "i64", "int32": "i32",
    "int16": "i16", "int8": "i8", "uint64": "i64", "uint32": "i32", "uint16": "i16", "uint8": "i8",
}  # fmt: skip
_SUFFIX = {"double": "f64", "float": "f32"}


@dataclass(frozen=True)
class Format:
    """What the formulas need to know of a floating point kind.

    Attributes
    ----------
    bits, mantissa, bias : int
        Width of the kind, explicit bits of its mantissa, bias of its exponent.
    """

    bits: int
    mantissa: int
    bias: int

    @property
    def tiny(self) -> float:
        """The smallest positive normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def epsilon(self) -> float:
        """The distance from one to the next larger number."""
        return 2.0**-self.mantissa

    @property
    def shifter(self) -> float:
        """1.5 * 2**mantissa: adding it rounds to an integer, which stands in the lowest bits."""
        return 1.5 * 2.0**self.mantissa


FLOATS = {
    "float64": Format(bits=64, mantissa=52, bias=1023),
    "float32": Format(bits=32, mantissa=23, bias=127),
}

Operand: TypeAlias = "Scalar | float"


class Block:
    """Instructions in the order in which they are written, and the functions that they call.

    Attributes
    ----------
    lines : list of str
    declared : dict
        The declaration of each intrinsic function that is called, by its name.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declared: dict[str, str] = {}
        self._count = 0

    def name(self) -> str:
        """Return a name that no value or label has."""
        self._count += 1
        return f"t{self._count - 1}"

    def write(self, instruction: str) -> None:
        """Append an instruction that gives no value."""
        self.lines.append(instruction)

    def value(self, instruction: str) -> str:
        """Append an instruction; return the name of its value."""
        name = f"%{self.name()}"
        self.lines.append(f"{name} = {instruction}")
        return name

    def intrinsic(self, name: str, type_: str, arguments: list[str]) -> str:
        """Append a call of a function of LLVM's; its arguments are written with their types."""
        types = ", ".join(argument.split(" ", 1)[0] for argument in arguments)
        self.declared[name] = f"declare {type_} @{name}({types})"
        return self.value(f"call {type_} @{name}({', '.join(arguments)})")


class Scalar:
    """A number, the bits of one, or a truth value of the code that is being written.

    Parameters
    ----------
    block : Block
    kind : str
        As Numba calls it: 'float64', 'boolean', ...
    text : str
        Its name, or a constant.
    """

    __slots__ = ("block", "kind", "text")

    def __init__(self, block: Block, kind: str, text: str) -> None:
        self.block = block
        self.kind = kind
        self.text = text

    @classmethod
    def constant(cls, block: Block, kind: str, number: float) -> Scalar:
        """Return a number that is known."""
        if kind == "boolean":
            return cls(block, kind, "true" if number else "false")
        if kind in FLOATS:
            # Both types are written as the bits of a double, which a float must be able to hold.
            held = float(number)
            if kind == "float32":
                held = _rounded(held)
            return cls(block, kind, f"0x{struct.unpack('<Q', struct.pack('<d', held))[0]:016X}")
        width = int(LLVM[kind][1:])
        wrapped = int(number) & ((1 << width) - 1)
        return cls(block, kind, str(wrapped - ((wrapped >> (width - 1)) << width)))

    @property
    def type(self) -> str:
        """What LLVM calls its type."""
        return LLVM[self.kind]

    @property
    def typed(self) -> str:
        """The type and the text, as arguments are written."""
        return f"{LLVM[self.kind]} {self.text}"

    @property
    def is_float(self) -> bool:
        """Whether this is a number, not bits or a truth value."""
        return self.kind in FLOATS

    @property
    def format(self) -> Format:
        """The floating point kind."""
        return FLOATS[self.kind]

    @property
    def width(self) -> int:
        """How many bits it has."""
        return FLOATS[self.kind].bits if self.is_float else int(self.type[1:])

    def lift(self, other: Operand) -> Scalar:
        """Return the other operand, a Python number as a constant of this value's kind."""
        if isinstance(other, Scalar):
            return other
        return Scalar.constant(self.block, self.kind, other)

    def new(self, instruction: str, kind: str | None = None) -> Scalar:
        """Append an instruction; return its value."""
        return Scalar(self.block, kind or self.kind, self.block.value(instruction))

    def binary(self, name: str, left: Operand, right: Operand, flags: str = "") -> Scalar:
        """Apply an instruction of two operands, by its name for integers or numbers."""
        a, b = self.lift(left), self.lift(right)
        prefix = "f" if self.is_float else ""
        return self.new(f"{prefix}{name} {flags}{self.type} {a.text}, {b.text}")

    def __add__(self, other: Operand) -> Scalar:
        return self.binary("add", self, other)

    def __radd__(self, other: Operand) -> Scalar:
        return self.binary("add", other, self)

    def __sub__(self, other: Operand) -> Scalar:
        return self.binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Scalar:
        return self.binary("sub", other, self)

    def __mul__(self, other: Operand) -> Scalar:
        return self.binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Scalar:
        return self.binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Scalar:
        return self.binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Scalar:
        return self.binary("div", other, self)

    def __neg__(self) -> Scalar:
        return self.new(f"fneg {self.typed}") if self.is_float else 0 - self

    def __abs__(self) -> Scalar:
        if self.is_float:
            return call("llvm.fabs", self)
        name = f"llvm.abs.{self.type}"
        return Scalar(
            self.block, self.kind, self.block.intrinsic(name, self.type, [self.typed, "i1 false"])
        )

    # Bits and truth values.

    def _bits(self, name: str, other: Operand) -> Scalar:
        return self.new(f"{name} {self.type} {self.text}, {self.lift(other).text}")

    def __and__(self, other: Operand) -> Scalar:
        return self._bits("and", other)

    def __or__(self, other: Operand) -> Scalar:
        return self._bits("or", other)

    def __xor__(self, other: Operand) -> Scalar:
        return self._bits("xor", other)

    def __invert__(self) -> Scalar:
        return self._bits("xor", 1 if self.kind == "boolean" else -1)

    def __lshift__(self, count: Operand) -> Scalar:
        return self._bits("shl", count)

    def __rshift__(self, count: Operand) -> Scalar:
        """Shift in zeros: AVX2 has no packed 64-bit shift that keeps the sign."""
        return self._bits("lshr", count)

    def compare(self, relation: str, other: Operand) -> Scalar:
        """Compare by 'lt', 'le', 'gt', 'ge', 'eq' or 'ne'; as in NumPy, only 'ne' holds for a nan."""
        if self.is_float:
            name = f"fcmp {'u' if relation == 'ne' else 'o'}{relation}"
        elif relation in ("eq", "ne"):
            name = f"icmp {relation}"
        else:
            name = f"icmp {'s' if self.kind.startswith('int') else 'u'}{relation}"
        return self.new(f"{name} {self.type} {self.text}, {self.lift(other).text}", "boolean")

    def __lt__(self, other: Operand) -> Scalar:
        return self.compare("lt", other)

    def __le__(self, other: Operand) -> Scalar:
        return self.compare("le", other)

    def __gt__(self, other: Operand) -> Scalar:
        return self.compare("gt", other)

    def __ge__(self, other: Operand) -> Scalar:
        return self.compare("ge", other)

    def __eq__(self, other: Operand) -> Scalar:  # type: ignore[override]
        return self.compare("eq", other)

    def __ne__(self, other: Operand) -> Scalar:  # type: ignore[override]
        return self.compare("ne", other)

    __hash__ = None  # type: ignore[assignment]

    def converted(self, kind: str) -> Scalar:
        """Return the value in another kind; as a truth value, whether it is not zero."""
        if kind == self.kind:
            return self
        if kind == "boolean":
            return self.compare("ne", 0)
        to = LLVM[kind]
        if self.is_float and kind in FLOATS:
            name = "fpext" if kind == "float64" else "fptrunc"
        elif self.is_float:
            # As C's compilers do it, for which a negative number is some unsigned one, too.
            whole = "int64" if kind in ("int64", "uint64", "uint32") else "int32"
            return self.new(f"fptosi {self.typed} to {LLVM[whole]}", whole).converted(kind)
        elif kind in FLOATS:
            name = "sitofp" if self.kind.startswith("int") else "uitofp"
        elif to == self.type:
            return Scalar(self.block, kind, self.text)
        elif int(to[1:]) < self.width:
            name = "trunc"
        else:
            name = "sext" if self.kind.startswith("int") else "zext"
        return self.new(f"{name} {self.typed} to {to}", kind)


def _rounded(number: float) -> float:
    """Return a number as float32 holds it."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def call(name: str, first: Scalar, *rest: Operand) -> Scalar:
    """Call an intrinsic of LLVM's whose arguments and result have the kind of the first argument."""
    arguments = [first.typed, *(first.lift(argument).typed for argument in rest)]
    full = f"{name}.{_SUFFIX[first.type]}"
    return Scalar(first.block, first.kind, first.block.intrinsic(full, first.type, arguments))


def where(condition: Scalar, a: Operand, b: Operand) -> Scalar:
    """Choose without a branch; at least one of the two is a `Scalar`."""
    like = a if isinstance(a, Scalar) else b
    assert isinstance(like, Scalar)
    return like.new(f"select i1 {condition.text}, {like.lift(a).typed}, {like.lift(b).typed}")
