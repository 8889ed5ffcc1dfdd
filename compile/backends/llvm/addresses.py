"""The table of a loop for certain arrays: their addresses are added where the loop said.

In Python, to ask an array for its address takes longer than many loops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tapegrad.compile.backends.llvm.entry import ARRAY, held_at
from tapegrad.compile.backends.llvm.kernels import loaded

__all__ = ["located"]

# Arguments are the table that is filled, what its cells hold apart from addresses, for each cell the
# number of the array that it lies in (0 for none, 1 for the table itself), and the arrays from number
# 2 on.
_TEXT = f"""
define internal ptr @data(ptr %args, i64 %i) {{
  %at = getelementptr ptr, ptr %args, i64 %i
  %array = load ptr, ptr %at
  %data.at = getelementptr i8, ptr %array, i64 {ARRAY.data}
  %data = load ptr, ptr %data.at
  ret ptr %data
}}

define ptr @kernel(ptr %self, ptr %args, i64 %count) nounwind {{
start:
  %known = alloca i64, i64 %count
  store i64 0, ptr %known
  %table = call ptr @data(ptr %args, i64 0)
  %own = ptrtoint ptr %table to i64
  %own.at = getelementptr i64, ptr %known, i64 1
  store i64 %own, ptr %own.at
  %held = call ptr @data(ptr %args, i64 1)
  %which = call ptr @data(ptr %args, i64 2)
  %array = load ptr, ptr %args
  %sizes.at = getelementptr i8, ptr %array, i64 {ARRAY.sizes}
  %sizes = load ptr, ptr %sizes.at
  %cells = load i64, ptr %sizes
  br label %ask
ask:
  %i = phi i64 [ 3, %start ], [ %i.next, %asked ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %asked, label %fill
asked:
  %given = call ptr @data(ptr %args, i64 %i)
  %address = ptrtoint ptr %given to i64
  %number = sub i64 %i, 1
  %place = getelementptr i64, ptr %known, i64 %number
  store i64 %address, ptr %place
  %i.next = add i64 %i, 1
  br label %ask
fill:
  %c = phi i64 [ 0, %ask ], [ %c.next, %filled ]
  %left = icmp slt i64 %c, %cells
  br i1 %left, label %filled, label %end
filled:
  %which.at = getelementptr i64, ptr %which, i64 %c
  %k = load i64, ptr %which.at
  %base.at = getelementptr i64, ptr %known, i64 %k
  %base = load i64, ptr %base.at
  %held.at = getelementptr i64, ptr %held, i64 %c
  %value = load i64, ptr %held.at
  %sum = add i64 %value, %base
  %cell = getelementptr i64, ptr %table, i64 %c
  store i64 %sum, ptr %cell
  %c.next = add i64 %c, 1
  br label %fill
end:
  %none.at = getelementptr i8, ptr %self, i64 {held_at(None)}
  %none = load ptr, ptr %none.at
  %take.at = getelementptr i8, ptr %self, i64 {held_at("Py_IncRef")}
  %take = load ptr, ptr %take.at
  call void %take(ptr %none)
  ret ptr %none
}}
"""


@cache
def located() -> Callable[..., Any]:
    """Return the function that fills a table: it takes int64 arrays, and any others after these."""
    return loaded("addresses of arrays", lambda: _TEXT)[0]
