"""The code that goes through the table of a loop, step by step and trip by trip: the same for all loops.

A step stands in the table as the address of its code, the bytes of its part of the table, and its
arguments (``steps.py``). Here are also the steps that are no kernels: copies, elements by their index,
loops inside of loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from tapegrad.compile.backends.llvm import machine, small_products
from tapegrad.compile.backends.llvm.entry import entry
from tapegrad.compile.backends.llvm.kernels import loaded
from tapegrad.compile.backends.llvm.translation import Function, Parameter

__all__ = ["AT", "HEAD", "LOOP", "address", "code", "product"]

#: The first cells of a loop: how many trips to make, and how many were made; where the steps of the
#: question begin, where its answer lies, where the steps of a trip begin and end; where the moves begin
#: and end.
LOOP = ("trips", "made", "question", "answer", "steps", "steps.end", "moves", "moves.end")
#: The first cells of the table: those of a loop, where what is done once begins and ends, and the flag.
HEAD = (*LOOP, "before", "before.end", "flag")
AT = {name: i for i, name in enumerate(HEAD)}


def _cells(names: Sequence[str]) -> str:
    """Return the code that reads the cells of a table or of a loop."""
    lines = []
    for name in names:
        type_ = "i64" if name in ("trips", "made", "flag") else "ptr"
        lines.append(f"  %{name}.at = getelementptr i64, ptr %cells, i64 {AT[name]}")
        lines.append(f"  %{name} = load {type_}, ptr %{name}.at")
    return "\n".join(lines)


_TEXT = f"""
define internal void @run(ptr %from, ptr %to) nounwind {{
start:
  br label %look
look:
  %at = phi ptr [ %from, %start ], [ %next, %do ]
  %done = icmp uge ptr %at, %to
  br i1 %done, label %end, label %do
do:
  %code = load ptr, ptr %at
  %size.at = getelementptr i64, ptr %at, i64 1
  %size = load i64, ptr %size.at
  %cells = getelementptr i64, ptr %at, i64 2
  call void %code(ptr %cells)
  %next = getelementptr i8, ptr %at, i64 %size
  br label %look
end:
  ret void
}}

define internal void @loops(i64 %work, ptr %cells, i64 %length) noinline nounwind {{
{_cells(("before", "before.end"))}
  call void @run(ptr %before, ptr %before.end)
  call void @repeat(ptr %cells)
  ret void
}}

define internal void @repeat(ptr %cells) noinline nounwind {{
start:
{_cells(LOOP)}
  %asks = icmp ne ptr %answer, null
  br label %trip
trip:
  %t = phi i64 [ 0, %start ], [ %t.next, %moved ]
  %more = icmp slt i64 %t, %trips
  br i1 %more, label %question.run, label %end
question.run:
  call void @run(ptr %question, ptr %steps)
  br i1 %asks, label %ask, label %body
ask:
  %where = load ptr, ptr %answer.at
  %said = load i8, ptr %where
  %yes = icmp ne i8 %said, 0
  br i1 %yes, label %body, label %end
body:
  call void @run(ptr %steps, ptr %steps.end)
  br label %move
move:
  %m = phi ptr [ %moves, %body ], [ %m.next, %moving ]
  %m.done = icmp uge ptr %m, %moves.end
  br i1 %m.done, label %moved, label %moving
moving:
  %cell = load ptr, ptr %m
  %step.at = getelementptr i64, ptr %m, i64 1
  %step = load i64, ptr %step.at
  %back.at = getelementptr i64, ptr %m, i64 2
  %back = load i64, ptr %back.at
  %was = load i64, ptr %cell
  %is = add i64 %was, %step
  store i64 %is, ptr %cell
  store i64 %back, ptr %step.at
  store i64 %step, ptr %back.at
  %m.next = getelementptr i64, ptr %m, i64 3
  br label %move
moved:
  %t.next = add i64 %t, 1
  br label %trip
end:
  store i64 %t, ptr %made.at
  ret void
}}

; A loop inside of another: then all is as it was before, so that it may be run again.
define void @inner(ptr %cells) nounwind {{
start:
  call void @repeat(ptr %cells)
{_cells(("made", "moves", "moves.end"))}
  %odd = and i64 %made, 1
  %is.odd = icmp ne i64 %odd, 0
  br label %move
move:
  %m = phi ptr [ %moves, %start ], [ %m.next, %moved ]
  %m.done = icmp uge ptr %m, %moves.end
  br i1 %m.done, label %end, label %moving
moving:
  %cell = load ptr, ptr %m
  %step.at = getelementptr i64, ptr %m, i64 1
  %step = load i64, ptr %step.at
  %back.at = getelementptr i64, ptr %m, i64 2
  %back = load i64, ptr %back.at
  %m.next = getelementptr i64, ptr %m, i64 3
  %was = load i64, ptr %cell
  %forth = icmp eq i64 %step, %back
  br i1 %forth, label %rewind, label %swing
rewind:
  %way = mul i64 %made, %step
  %first = sub i64 %was, %way
  store i64 %first, ptr %cell
  br label %moved
swing:
  br i1 %is.odd, label %return, label %moved
return:
  %other = add i64 %was, %step
  store i64 %other, ptr %cell
  store i64 %back, ptr %step.at
  store i64 %step, ptr %back.at
  br label %moved
moved:
  br label %move
end:
  ret void
}}

; A loop inside of another that ends by itself; if it does not within its trips, the flag says so.
; cells: those of a loop, and the flag
define void @until(ptr %cells) nounwind {{
  call void @inner(ptr %cells)
{_cells(("trips", "made"))}
  %flag.at = getelementptr i64, ptr %cells, i64 {len(LOOP)}
  %flag = load ptr, ptr %flag.at
  %full = icmp sge i64 %made, %trips
  br i1 %full, label %bad, label %end
bad:
  store i8 1, ptr %flag
  br label %end
end:
  ret void
}}

; cells: the index, how many ways there are, and of each where its steps begin and end
define void @choose(ptr %cells) nounwind {{
  %index.at = load ptr, ptr %cells
  %index = load i64, ptr %index.at
  %count.at = getelementptr i64, ptr %cells, i64 1
  %count = load i64, ptr %count.at
  %last = sub i64 %count, 1
  %below = icmp slt i64 %index, 0
  %from.first = select i1 %below, i64 0, i64 %index
  %above = icmp sgt i64 %from.first, %last
  %way = select i1 %above, i64 %last, i64 %from.first
  call void @take(ptr %cells, i64 %way)
  ret void
}}

; the same, where the first of two ways is that for true
define void @decide(ptr %cells) nounwind {{
  %said.at = load ptr, ptr %cells
  %said = load i8, ptr %said.at
  %no = icmp eq i8 %said, 0
  %way = zext i1 %no to i64
  call void @take(ptr %cells, i64 %way)
  ret void
}}

define internal void @take(ptr %cells, i64 %way) nounwind {{
  %ways = getelementptr i64, ptr %cells, i64 2
  %twice = mul i64 %way, 2
  %begin.at = getelementptr i64, ptr %ways, i64 %twice
  %begin = load ptr, ptr %begin.at
  %end.at = getelementptr i64, ptr %begin.at, i64 1
  %end = load ptr, ptr %end.at
  call void @run(ptr %begin, ptr %end)
  ret void
}}

; cells: target, source, bytes
define void @copy(ptr %cells) nounwind {{
  %target = load ptr, ptr %cells
  %source.at = getelementptr i64, ptr %cells, i64 1
  %source = load ptr, ptr %source.at
  %size.at = getelementptr i64, ptr %cells, i64 2
  %size = load i64, ptr %size.at
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %size, i1 false)
  ret void
}}
; cells: the index, the first element, bytes from one to the next, how many there are, the flag, and
; where the list begins and ends of the cells that hold the address, and of what is added to it there
define void @find(ptr %cells) nounwind {{
start:
  %index.at = load ptr, ptr %cells
  %index = load i64, ptr %index.at
  %first.at = getelementptr i64, ptr %cells, i64 1
  %first = load i64, ptr %first.at
  %step.at = getelementptr i64, ptr %cells, i64 2
  %step = load i64, ptr %step.at
  %size.at = getelementptr i64, ptr %cells, i64 3
  %size = load i64, ptr %size.at
  %list.at = getelementptr i64, ptr %cells, i64 5
  %list = load ptr, ptr %list.at
  %list.end.at = getelementptr i64, ptr %cells, i64 6
  %list.end = load ptr, ptr %list.end.at
  %negative = icmp slt i64 %index, 0
  %from.end = add i64 %index, %size
  %counted = select i1 %negative, i64 %from.end, i64 %index
  %there = icmp ult i64 %counted, %size
  br i1 %there, label %good, label %bad
bad:
  %flag.at = getelementptr i64, ptr %cells, i64 4
  %flag = load ptr, ptr %flag.at
  store i8 1, ptr %flag
  br label %good
good:
  %inside = select i1 %there, i64 %counted, i64 0
  %way = mul i64 %inside, %step
  %found = add i64 %first, %way
  br label %look
look:
  %at = phi ptr [ %list, %good ], [ %next, %do ]
  %done = icmp uge ptr %at, %list.end
  br i1 %done, label %end, label %do
do:
  %cell = load ptr, ptr %at
  %more.at = getelementptr i64, ptr %at, i64 1
  %more = load i64, ptr %more.at
  %address = add i64 %found, %more
  store i64 %address, ptr %cell
  %next = getelementptr i64, ptr %at, i64 2
  br label %look
end:
  ret void
}}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""

_PARAMETERS = (Parameter("work", "int64"), Parameter("table", "int64", 1))


def _module() -> str:
    return "\n".join([_TEXT, entry(Function(_TEXT, ()), _PARAMETERS, ("work",))])


@cache
def code() -> Callable[..., Any]:
    """Return the code that goes through tables."""
    return loaded("loops of many trips", _module)[0]


@cache
def address(name: str) -> int:
    return machine.address_in(code(), name)


@cache
def product(kind: str) -> tuple[Callable[..., Any], int]:
    """Return the code of products of some kind of numbers, and where its step lies."""
    made, _ = loaded(("products", kind), lambda: small_products.module(kind))
    return made, machine.address_in(made, "step")
