"""Products of small matrices, as instructions: steps of loops that call no library.

Four rows of the result, each of 64 bytes, stay in registers while the sums run along the inner axis;
what is left over at the edges is done row by row, and with a mask. An element is the same sum in the
same order wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from tapegrad.compile.backends.llvm.entry import entry
from tapegrad.compile.backends.llvm.translation import Function

__all__ = ["CELLS", "module"]

#: What the step takes: of each array its address and its strides in bytes (of the first along rows,
#: columns and stacks, of the others along rows and stacks), then how many rows, terms of a sum, columns
#: and stacks there are.
CELLS = (
    "a", "a.row", "a.column", "a.stack", "b", "b.row", "b.stack", "c", "c.row", "c.stack",
    "m", "k", "n", "stacks",
)  # fmt: skip
_TYPES = {"float64": ("double", "f64", 8), "float32": ("float", "f32", 16)}
_ROWS = 4


def _tile(kind: str, rows: int, *, masked: bool) -> Iterator[str]:
    """Write the function that computes some rows of a block of columns."""
    number, suffix, width = _TYPES[kind]
    vector = f"<{width} x {number}>"
    mask = f", <{width} x i1> %mask" if masked else ""
    yield (
        f"define internal void @{_tile_name(kind, rows, masked)}(ptr %a, i64 %a.row, i64 %a.column, "
        f"ptr %b, i64 %b.row, ptr %c, i64 %c.row, i64 %k{mask}) nounwind {{"
    )
    yield "start:\nbr label %next\nnext:\n%i = phi i64 [ 0, %start ], [ %i.next, %next ]"
    yield "%a.k = phi ptr [ %a, %start ], [ %a.next, %next ]"
    yield "%b.k = phi ptr [ %b, %start ], [ %b.next, %next ]"
    for r in range(rows):
        yield f"%sum{r} = phi {vector} [ zeroinitializer, %start ], [ %new{r}, %next ]"
    if masked:
        yield (
            f"%y = call {vector} @llvm.masked.load.v{width}{suffix}.p0(ptr %b.k, i32 1, "
            f"<{width} x i1> %mask, {vector} zeroinitializer)"
        )
    else:
        yield f"%y = load {vector}, ptr %b.k, align 1"
    place = "%a.k"
    for r in range(rows):
        if r:
            yield f"%a{r} = getelementptr i8, ptr {place}, i64 %a.row"
            place = f"%a{r}"
        yield f"%x{r} = load {number}, ptr {place}, align 1"
        yield f"%one{r} = insertelement {vector} undef, {number} %x{r}, i32 0"
        zeros = f"<{width} x i32> zeroinitializer"
        yield f"%all{r} = shufflevector {vector} %one{r}, {vector} undef, {zeros}"
        yield (
            f"%new{r} = call {vector} @llvm.fmuladd.v{width}{suffix}({vector} %all{r}, {vector} %y, "
            f"{vector} %sum{r})"
        )
    yield "%a.next = getelementptr i8, ptr %a.k, i64 %a.column"
    yield "%b.next = getelementptr i8, ptr %b.k, i64 %b.row"
    yield "%i.next = add i64 %i, 1\n%more = icmp slt i64 %i.next, %k"
    yield "br i1 %more, label %next, label %end\nend:"
    place = "%c"
    for r in range(rows):
        if r:
            yield f"%c{r} = getelementptr i8, ptr {place}, i64 %c.row"
            place = f"%c{r}"
        if masked:
            yield (
                f"call void @llvm.masked.store.v{width}{suffix}.p0({vector} %new{r}, ptr {place}, "
                f"i32 1, <{width} x i1> %mask)"
            )
        else:
            yield f"store {vector} %new{r}, ptr {place}, align 1"
    yield "ret void\n}"


def _tile_name(kind: str, rows: int, masked: bool) -> str:
    return f"tile_{_TYPES[kind][1]}_{rows}{'_masked' * masked}"


def _columns(kind: str, *, masked: bool) -> Iterator[str]:
    """Write the part of the function that goes down the rows of a block of columns."""
    width = _TYPES[kind][2]
    own = "last" if masked else "block"
    given = "i64 %a.row, i64 %a.column, ptr %b.j, i64 %b.row"
    mask = f", <{width} x i1> %mask" if masked else ""
    yield f"{own}:\nbr label %{own}.many"
    for rows, label, following in ((_ROWS, "many", "one"), (1, "one", "end")):
        first = f"[ 0, %{own} ]" if label == "many" else f"[ %{own}.many.i, %{own}.many ]"
        here = f"{own}.{label}"
        yield f"{here}:\n%{here}.i = phi i64 {first}, [ %{here}.next, %{here}.do ]"
        yield f"%{here}.next = add i64 %{here}.i, {rows}"
        yield f"%{here}.fits = icmp sle i64 %{here}.next, %m"
        yield f"br i1 %{here}.fits, label %{here}.do, label %{own}.{following}"
        yield f"{here}.do:"
        for x, origin in (("a", "%a.s"), ("c", "%c.j")):
            yield f"%{here}.{x}.far = mul i64 %{here}.i, %{x}.row"
            yield f"%{here}.{x} = getelementptr i8, ptr {origin}, i64 %{here}.{x}.far"
        yield (
            f"call void @{_tile_name(kind, rows, masked)}(ptr %{here}.a, {given}, "
            f"ptr %{here}.c, i64 %c.row, i64 %k{mask})"
        )
        yield f"br label %{here}"


def _product(kind: str) -> Iterator[str]:
    number, _, width = _TYPES[kind]
    for masked in (False, True):
        for rows in (_ROWS, 1):
            yield from _tile(kind, rows, masked=masked)
    yield "define void @step(ptr %cells) nounwind {\nstart:"
    for i, cell in enumerate(CELLS):
        type_ = "ptr" if cell in "abc" else "i64"
        yield f"%{cell}.at = getelementptr i64, ptr %cells, i64 {i}"
        yield f"%{cell} = load {type_}, ptr %{cell}.at"
    yield "br label %stack\nstack:\n%s = phi i64 [ 0, %start ], [ %s.next, %done ]"
    for x in "abc":
        yield f"%{x}.s = phi ptr [ %{x}, %start ], [ %{x}.s.next, %done ]"
    yield "%s.more = icmp slt i64 %s, %stacks\nbr i1 %s.more, label %across, label %out"
    yield "across:\n%j = phi i64 [ 0, %stack ], [ %j.next, %block.end ]"
    for x in "bc":
        yield f"%{x}.j = getelementptr {number}, ptr %{x}.s, i64 %j"
    yield f"%j.next = add i64 %j, {width}\n%j.fits = icmp sle i64 %j.next, %n"
    yield "br i1 %j.fits, label %block, label %rest"
    yield from _columns(kind, masked=False)
    yield "block.end:\nbr label %across"
    yield "rest:\n%left = sub i64 %n, %j\n%j.some = icmp sgt i64 %left, 0"
    yield "br i1 %j.some, label %masked, label %done\nmasked:"
    yield f"%left.one = insertelement <{width} x i64> undef, i64 %left, i32 0"
    zeros = f"<{width} x i32> zeroinitializer"
    yield f"%left.all = shufflevector <{width} x i64> %left.one, <{width} x i64> undef, {zeros}"
    lanes = ", ".join(f"i64 {i}" for i in range(width))
    yield f"%mask = icmp slt <{width} x i64> <{lanes}>, %left.all\nbr label %last"
    yield from _columns(kind, masked=True)
    yield "last.end:\nbr label %done\ndone:\n%s.next = add i64 %s, 1"
    for x in "abc":
        yield f"%{x}.s.next = getelementptr i8, ptr %{x}.s, i64 %{x}.stack"
    yield "br label %stack\nout:\nret void\n}"


def _declarations(kind: str) -> Iterator[str]:
    number, suffix, width = _TYPES[kind]
    vector = f"<{width} x {number}>"
    yield f"declare {vector} @llvm.fmuladd.v{width}{suffix}({vector}, {vector}, {vector})"
    load, store = (f"@llvm.masked.{x}.v{width}{suffix}.p0" for x in ("load", "store"))
    yield f"declare {vector} {load}(ptr, i32, <{width} x i1>, {vector})"
    yield f"declare void {store}({vector}, ptr, i32, <{width} x i1>)"


def module(kind: str) -> str:
    """Return the module of the function ``step`` for a kind of number."""
    lines = [line for part in (_declarations, _product) for line in part(kind)]
    nothing = "define internal void @loops() {\nret void\n}"  # Python has no business here
    return "\n".join([*lines, nothing, entry(Function(nothing, ()), (), ())])
