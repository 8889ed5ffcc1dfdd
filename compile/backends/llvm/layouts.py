"""Whether arrays are laid out as others were: what a call compares before it runs a plan.

In Python each array costs 150 ns, mostly for the tuples of its sizes and strides. Here a short piece of
machine code, the same for all, walks over a table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from tapegrad.compile.backends.interface import Layout
from tapegrad.compile.backends.llvm import machine
from tapegrad.compile.backends.llvm.entry import ARRAY, TABLE_START, address

__all__ = ["same_layouts"]

# The table begins with the addresses of True, of False, of the class of arrays and of Py_IncRef. For
# each array it has the address of the dtype, the number of axes, the sizes and the strides.
_TEXT = f"""
define ptr @kernel(ptr %self, ptr %args, i64 %count) nounwind {{
start:
  %table = getelementptr i8, ptr %self, i64 {TABLE_START}
  %yes = load ptr, ptr %table
  %no.place = getelementptr i8, ptr %table, i64 8
  %no = load ptr, ptr %no.place
  %class.place = getelementptr i8, ptr %table, i64 16
  %class = load ptr, ptr %class.place
  %take.place = getelementptr i8, ptr %table, i64 24
  %take = load ptr, ptr %take.place
  %first = getelementptr i8, ptr %table, i64 32
  br label %next
next:
  %i = phi i64 [ 0, %start ], [ %i.next, %same ]
  %entry = phi ptr [ %first, %start ], [ %entry.next, %same ]
  %done = icmp eq i64 %i, %count
  br i1 %done, label %end, label %look
look:
  %arg = getelementptr ptr, ptr %args, i64 %i
  %array = load ptr, ptr %arg
  %class.at = getelementptr i8, ptr %array, i64 {ARRAY.head - 8}
  %its.class = load ptr, ptr %class.at
  %is.array = icmp eq ptr %its.class, %class
  br i1 %is.array, label %kind, label %end
kind:
  %dtype.at = getelementptr i8, ptr %array, i64 {ARRAY.dtype}
  %its.dtype = load ptr, ptr %dtype.at
  %dtype = load ptr, ptr %entry
  %same.dtype = icmp eq ptr %its.dtype, %dtype
  %axes.at = getelementptr i8, ptr %array, i64 {ARRAY.axes}
  %its.axes = load i32, ptr %axes.at
  %axes.place = getelementptr i8, ptr %entry, i64 8
  %axes = load i64, ptr %axes.place
  %its.axes.wide = zext i32 %its.axes to i64
  %same.axes = icmp eq i64 %its.axes.wide, %axes
  %alike = and i1 %same.dtype, %same.axes
  br i1 %alike, label %numbers, label %end
numbers:
  %sizes.at = getelementptr i8, ptr %array, i64 {ARRAY.sizes}
  %sizes = load ptr, ptr %sizes.at
  %strides.at = getelementptr i8, ptr %array, i64 {ARRAY.strides}
  %strides = load ptr, ptr %strides.at
  %known.sizes = getelementptr i8, ptr %entry, i64 16
  %known.strides = getelementptr i64, ptr %known.sizes, i64 %axes
  br label %axis
axis:
  %k = phi i64 [ 0, %numbers ], [ %k.next, %equal ]
  %last = icmp eq i64 %k, %axes
  br i1 %last, label %same, label %compare
compare:
  %size.at = getelementptr i64, ptr %sizes, i64 %k
  %size = load i64, ptr %size.at
  %known.size.at = getelementptr i64, ptr %known.sizes, i64 %k
  %known.size = load i64, ptr %known.size.at
  %same.size = icmp eq i64 %size, %known.size
  %stride.at = getelementptr i64, ptr %strides, i64 %k
  %stride = load i64, ptr %stride.at
  %known.stride.at = getelementptr i64, ptr %known.strides, i64 %k
  %known.stride = load i64, ptr %known.stride.at
  %same.stride = icmp eq i64 %stride, %known.stride
  %both = and i1 %same.size, %same.stride
  br i1 %both, label %equal, label %end
equal:
  %k.next = add i64 %k, 1
  br label %axis
same:
  %i.next = add i64 %i, 1
  %entry.next = getelementptr i64, ptr %known.strides, i64 %axes
  br label %next
end:
  %answer = phi ptr [ %yes, %next ], [ %no, %look ], [ %no, %kind ], [ %no, %compare ]
  call void %take(ptr %answer)
  ret ptr %answer
}}
"""


@cache
def _code() -> machine.Code:
    return machine.code(machine.object_code(_TEXT))


def same_layouts(layouts: Sequence[Layout]) -> Callable[..., bool]:
    """Return a function that takes as many arrays and says whether they are laid out so."""
    numbers = [id(True), id(False), id(np.ndarray), address("Py_IncRef")]
    for shape, strides, dtype in layouts:
        numbers += [id(dtype), len(shape), *shape, *strides]
    table = struct.pack(f"={len(numbers)}q", *numbers)
    return machine.function(_code(), table, [dtype for _, _, dtype in layouts])
