"""The text of a kernel becomes a function of LLVM's.

The text is a small part of Python: loops over ranges, assignments, ``if``, arithmetic, elements of
arrays, and the functions of ``vecmath``. Numba would compile it to the same; to write the instructions
directly takes a tenth of the time, since every kind is known. A variable has the kind that is assigned
first.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from tapegrad.compile.backends.llvm.scalars import FLOATS, LLVM, Block, Scalar, call, where
from tapegrad.compile.backends.llvm.vecmath.formulas import FORMULAS
from tapegrad.compile.backends.llvm.vecmath.intrinsics import INTRINSICS

__all__ = ["Function", "Parameter", "result_type", "stored", "translate"]


class Parameter(NamedTuple):
    """What a kernel takes.

    Attributes
    ----------
    name, kind : str
    rank : int
        Of an array; a number has -1.
    contiguous, in_rows : bool
        Whether an array is C-contiguous; whether at least the elements along its last axis lie side by
        side.
    """

    name: str
    kind: str
    rank: int = -1
    contiguous: bool = True
    in_rows: bool = False

    @property
    def described(self) -> int:
        """How many of its sizes and strides the kernel takes."""
        return max(self.rank, 0) * (1 if self.contiguous else 2)


class Function(NamedTuple):
    """A function in LLVM's language, called ``loops``.

    Attributes
    ----------
    text : str
        Of the function, and of the declarations that it needs.
    returned : tuple of str
        The kinds of what it returns.
    """

    text: str
    returned: tuple[str, ...]


class _Array(NamedTuple):
    """An array that the kernel reads or writes: its sizes, and its strides unless it is contiguous."""

    kind: str
    pointer: str
    sizes: tuple[Scalar, ...]
    strides: tuple[Scalar, ...] | None
    in_rows: bool = False


class _Variable(NamedTuple):
    """Where a variable lives until LLVM finds a register for it."""

    kind: str
    pointer: str


def translate(text: str, parameters: Sequence[Parameter]) -> Function:
    """Translate a kernel.

    Parameters
    ----------
    text : str
        Of a function called ``kernel``.
    parameters : sequence of Parameter
        In the order of the function's.
    """
    (definition,) = ast.parse(text).body
    assert isinstance(definition, ast.FunctionDef)
    return _Translator(parameters).function(definition.body)


_RELATIONS: dict[type[ast.AST], str] = {
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip
#: The kinds of numbers; of two, the later one is what they have in common.
_ORDER = (
    "boolean", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64",
)  # fmt: skip


class _Translator:
    """Translates one function; an expression becomes a `Scalar`, or a Python number if it is one."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.block = Block()
        self.names: dict[str, Scalar | _Array | _Variable | float] = {
            "inf": math.inf, "nan": math.nan,
        }  # fmt: skip
        self.parameters = parameters
        self.reserved: list[str] = []
        self.borrowed: list[str] = []
        self.returned: tuple[str, ...] = ()

    # The function ---------------------------------------------------------------------------------

    def function(self, body: list[ast.stmt]) -> Function:
        arguments = [text for p in self.parameters for text in self.parameter(p)]
        for statement in body:
            self.statement(statement)
        if not self.returned:
            self.give_back([])
        type_ = result_type(self.returned)
        lines = [
            *self.block.declared.values(),
            "declare noalias ptr @malloc(i64)",
            "declare void @free(ptr)",
            f"define internal {type_} @loops({', '.join(arguments)}) noinline nounwind {{",
            *self.reserved,
            *self.block.lines,
            "}",
        ]
        return Function("\n".join(lines), self.returned)

    def parameter(self, p: Parameter) -> list[str]:
        """Return the parameters of the function for one of the kernel's; bind its name."""
        if p.rank < 0:
            self.names[p.name] = Scalar(self.block, p.kind, f"%{p.name}")
            return [f"{LLVM[p.kind]} %{p.name}"]
        sizes = [Scalar(self.block, "int64", f"%{p.name}.n{i}") for i in range(p.rank)]
        strides = [Scalar(self.block, "int64", f"%{p.name}.s{i}") for i in range(p.rank)]
        held = strides if not p.contiguous else []
        self.names[p.name] = _Array(
            p.kind,
            f"%{p.name}",
            tuple(sizes),
            None if p.contiguous else tuple(strides),
            p.in_rows,
        )
        return [f"ptr noalias nocapture %{p.name}", *(s.typed for s in (*sizes, *held))]

    # Statements -----------------------------------------------------------------------------------

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.For):
            self.loop(node)
        elif isinstance(node, ast.Assign):
            self.assign(node.targets[0], node.value)
        elif isinstance(node, ast.AugAssign):
            assert isinstance(node.target, ast.Name)
            value = self.scalar(ast.BinOp(ast.Name(node.target.id), node.op, node.value))
            self.store(node.target.id, value)
        elif isinstance(node, ast.If):
            self.branch(node)
        else:
            assert isinstance(node, ast.Return) and node.value is not None
            parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            self.give_back([self.scalar(part) for part in parts])

    def loop(self, node: ast.For) -> None:
        """Write a loop over the range of a number."""
        assert isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Call)
        block = self.block
        count = self.scalar(node.iter.args[0])
        before, head, inside, after = (block.name() for _ in range(4))
        index = Scalar(block, "int64", f"%{block.name()}")
        following = f"%{block.name()}"
        block.write(f"br label %{before}\n{before}:\nbr label %{head}\n{head}:")
        latch = block.name()
        block.write(f"{index.text} = phi i64 [ 0, %{before} ], [ {following}, %{latch} ]")
        goes_on = index < count
        block.write(f"br i1 {goes_on.text}, label %{inside}, label %{after}\n{inside}:")
        self.names[node.target.id] = index
        for statement in node.body:
            self.statement(statement)
        block.write(f"br label %{latch}\n{latch}:")
        block.write(f"{following} = add nsw nuw i64 {index.text}, 1")
        block.write(f"br label %{head}\n{after}:")

    def branch(self, node: ast.If) -> None:
        block = self.block
        yes, no, after = (block.name() for _ in range(3))
        block.write(f"br i1 {self.truth(node.test).text}, label %{yes}, label %{no}\n{yes}:")
        for statement in node.body:
            self.statement(statement)
        block.write(f"br label %{after}\n{no}:")
        for statement in node.orelse:
            self.statement(statement)
        block.write(f"br label %{after}\n{after}:")

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Subscript):
            self.store_element(target, self.scalar(value))
            return
        assert isinstance(target, ast.Name)
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "np.empty":
            self.borrow(target.id, value)
        else:
            self.store(target.id, self.scalar(value))

    def store(self, name: str, value: Scalar) -> None:
        """Assign to a variable."""
        known = self.names.get(name)
        if type(known) is not _Variable:
            known = self.names[name] = _Variable(value.kind, f"%{name}.{len(self.reserved)}")
            self.reserved.append(f"{known.pointer} = alloca {value.type}")
        assert value.kind == known.kind, f"{name} is {known.kind} and becomes {value.kind}"
        self.block.write(f"store {value.typed}, ptr {known.pointer}")

    def borrow(self, name: str, node: ast.Call) -> None:
        """Get memory for the length of the call."""
        shape, kind = node.args[0], ast.unparse(node.args[1])
        assert isinstance(shape, ast.Tuple)
        sizes = [self.scalar(size) for size in shape.elts]
        count = reduce(Scalar.__mul__, sizes)
        size = count * (FLOATS[kind].bits // 8 if kind in FLOATS else 8)
        pointer = self.block.value(f"call ptr @malloc({size.typed})")
        self.borrowed.append(pointer)
        self.names[name] = _Array(kind, pointer, tuple(sizes), None)

    def give_back(self, values: list[Scalar]) -> None:
        """Leave the function."""
        block = self.block
        for pointer in self.borrowed:
            block.write(f"call void @free(ptr {pointer})")
        self.returned = tuple(value.kind for value in values)
        type_ = result_type(self.returned)
        result = "undef"
        for i, value in enumerate(values):
            result = block.value(f"insertvalue {type_} {result}, {value.typed}, {i}")
        block.write(f"ret {type_} {result}" if values else "ret void")

    # Elements of arrays ---------------------------------------------------------------------------

    def place(self, node: ast.Subscript) -> tuple[str, str]:
        """Return the kind and the address of an element."""
        assert isinstance(node.value, ast.Name)
        array = self.names[node.value.id]
        assert type(array) is _Array
        index = node.slice
        indices = index.elts if isinstance(index, ast.Tuple) else [index]
        numbers = [self.scalar(i) for i in indices]
        if not numbers:
            return array.kind, array.pointer
        type_, pointer = stored(array.kind), array.pointer
        if array.strides is None:
            at = numbers[0]
            for i, size in zip(numbers[1:], array.sizes[1:]):
                at = self.total(self.product(at, size), i)
            return array.kind, self.behind(pointer, type_, at)
        last = numbers.pop() if array.in_rows else None
        if numbers:
            steps = [self.product(i, s) for i, s in zip(numbers, array.strides)]
            pointer = self.behind(pointer, "i8", reduce(self.total, steps))
        return array.kind, pointer if last is None else self.behind(pointer, type_, last)

    def behind(self, pointer: str, type_: str, index: Scalar) -> str:
        """Return the address of an element of a type by its index."""
        return self.block.value(f"getelementptr inbounds {type_}, ptr {pointer}, {index.typed}")

    @staticmethod
    def product(a: Scalar, b: Scalar) -> Scalar:
        """Multiply indices, which do not overflow."""
        return a.new(f"mul nsw i64 {a.text}, {b.text}")

    @staticmethod
    def total(a: Scalar, b: Scalar) -> Scalar:
        """Add indices, which do not overflow."""
        return a.new(f"add nsw i64 {a.text}, {b.text}")

    def element(self, node: ast.Subscript) -> Scalar:
        kind, pointer = self.place(node)
        held = Scalar(self.block, kind, self.block.value(f"load {stored(kind)}, ptr {pointer}"))
        if kind == "boolean":
            return held.new(f"icmp ne i8 {held.text}, 0")
        return held

    def store_element(self, target: ast.Subscript, value: Scalar) -> None:
        kind, pointer = self.place(target)
        assert value.kind == kind, f"{ast.unparse(target)} is {kind} and becomes {value.kind}"
        text = value.typed
        if kind == "boolean":
            text = f"i8 {self.block.value(f'zext i1 {value.text} to i8')}"
        self.block.write(f"store {text}, ptr {pointer}")

    # Expressions ----------------------------------------------------------------------------------

    def scalar(self, node: ast.expr) -> Scalar:
        """Translate an expression; a number alone is an int64 or a float64, as in Python."""
        value = self.expression(node)
        if isinstance(value, Scalar):
            return value
        kind = "boolean" if type(value) is bool else "int64" if type(value) is int else "float64"
        return Scalar.constant(self.block, kind, value)

    def expression(self, node: ast.expr) -> Scalar | float:
        if isinstance(node, ast.Constant):
            return node.value  # type: ignore[return-value]
        if isinstance(node, ast.Name):
            return self.read(node.id)
        if isinstance(node, ast.Subscript):
            return self.element(node)
        if isinstance(node, ast.Call):
            return self.application(ast.unparse(node.func), node.args)
        if isinstance(node, ast.UnaryOp):
            value = self.expression(node.operand)
            if isinstance(node.op, ast.Not):
                return ~self.truth(node.operand)
            return -value
        if isinstance(node, ast.BinOp):
            return self.operation(node)
        if isinstance(node, ast.Compare):
            a, b = self.alike(node.left, node.comparators[0])
            return a.compare(_RELATIONS[type(node.ops[0])], b)
        if isinstance(node, ast.IfExp) and isinstance(node.body, ast.Subscript):
            return self.guarded(node)
        if isinstance(node, ast.IfExp):
            return where(self.truth(node.test), *self.alike(node.body, node.orelse))
        assert isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And)
        return reduce(Scalar.__and__, map(self.truth, node.values))

    def guarded(self, node: ast.IfExp) -> Scalar:
        """Read an element of an array only where there is one."""
        block = self.block
        condition, otherwise = self.truth(node.test), self.scalar(node.orelse)
        before, inside, after = (block.name() for _ in range(3))
        block.write(f"br label %{before}\n{before}:")
        block.write(f"br i1 {condition.text}, label %{inside}, label %{after}\n{inside}:")
        element = self.scalar(node.body)
        block.write(f"br label %{after}\n{after}:")
        chosen = f"[ {element.text}, %{inside} ], [ {otherwise.text}, %{before} ]"
        return element.new(f"phi {element.type} {chosen}")

    def read(self, name: str) -> Scalar | float:
        found = self.names[name]
        if type(found) is _Variable:
            text = self.block.value(f"load {LLVM[found.kind]}, ptr {found.pointer}")
            return Scalar(self.block, found.kind, text)
        assert isinstance(found, Scalar | float)
        return found

    def truth(self, node: ast.expr) -> Scalar:
        return self.scalar(node).converted("boolean")

    def alike(self, *nodes: ast.expr) -> list[Scalar]:
        """Translate operands to the kind of the wider one; numbers alone take that of the others."""
        values = [self.expression(node) for node in nodes]
        known = [v.kind for v in values if isinstance(v, Scalar)]
        if not known:
            return [self.scalar(node) for node in nodes]
        kind = max(known, key=_ORDER.index)
        return [
            v.converted(kind) if isinstance(v, Scalar) else Scalar.constant(self.block, kind, v)
            for v in values
        ]

    def operation(self, node: ast.BinOp) -> Scalar | float:
        a, b = self.alike(node.left, node.right)
        operator = node.op
        if isinstance(operator, ast.Add):
            return a + b
        if isinstance(operator, ast.Sub):
            return a - b
        if isinstance(operator, ast.Mult):
            return a * b
        if isinstance(operator, ast.Div):
            return a / b
        if isinstance(operator, ast.FloorDiv):  # of sizes, which are not negative
            return a.new(f"sdiv i64 {a.text}, {b.text}")
        if isinstance(operator, ast.BitAnd):
            return a & b
        if isinstance(operator, ast.BitOr):
            return a | b
        assert isinstance(operator, ast.BitXor)
        return a ^ b

    def application(self, name: str, nodes: list[ast.expr]) -> Scalar:
        if name in LLVM:
            value = self.expression(nodes[0])
            if isinstance(value, Scalar):
                return value.converted(name)
            return Scalar.constant(self.block, name, value)
        if name.startswith("np."):
            return call(f"llvm.{name[3:]}", self.scalar(nodes[0]))
        values = self.alike(*nodes)
        if name == "abs":
            return abs(values[0])
        if name == "min":  # of sizes
            return where(values[0] < values[1], *values)
        if name in INTRINSICS:
            return INTRINSICS[name](*values)
        function, suffix = name.rsplit("_", 1)
        return FORMULAS[function][0](*(v.converted(f"float{suffix[1:]}") for v in values))


def stored(kind: str) -> str:
    """Return the type that an element of an array has in memory."""
    return "i8" if kind == "boolean" else LLVM[kind]


def result_type(kinds: Sequence[str]) -> str:
    """Return what LLVM calls the type of a function's result."""
    return f"{{ {', '.join(LLVM[kind] for kind in kinds)} }}" if kinds else "void"
