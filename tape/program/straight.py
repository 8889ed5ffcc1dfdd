"""Programs on plain arrays: the entries in a straight line, without traces and checks.

What runs a program many times, as a loop does its body, runs it so.

>>> import numpy as np, tapegrad as tg
>>> x = tg.tensor(2.0)
>>> with tg.Tape() as tape:
...     y = x * x + 1.0
>>> square = straight(tape.program([x], [y]))
>>> square(np.array(3.0))
(array(10.),)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.core.node import Node

if TYPE_CHECKING:
    from tapegrad.tape.program.program import Program

__all__ = ["parts_of", "runner", "straight"]


def runner(body: Any) -> Callable[..., tuple[Any, ...]]:
    """Return what runs the body of an entry: a program in a straight line, a plan as it is."""
    return straight(body) if hasattr(body, "entries") else body  # type: ignore[no-any-return]


def parts_of(body: Any) -> tuple[Callable[..., Any], Callable[[Sequence[Any]], Sequence[Any]]]:
    """Return what runs the body of an entry on operands that are ready, and what makes them so.

    A loop makes ready once what does not change from trip to trip.
    """
    ready = getattr(body, "ready", None)
    return (runner(body), list) if ready is None else (body.run, ready)


def straight(program: Program) -> Callable[..., tuple[Any, ...]]:
    """Return a function from arrays to the tuple of a program's outputs, to the last bit as the program.

    The arrays have the shapes and dtypes of the inputs. Results may share memory with them.
    """
    return program.memo("straight", lambda: _written(program))  # type: ignore[no-any-return]


def _written(program: Program) -> Callable[..., tuple[Any, ...]]:
    space: dict[str, Any] = {"__name__": __name__, "as_array": np.asarray}
    names: dict[Node, str] = {}

    def constant(value: Any) -> str:
        name = f"c{len(space)}"
        space[name] = value
        return name

    def operand(value: Any) -> str:
        return names[value] if type(value) is Node else constant(value)

    lines = []
    for i, node in enumerate(program.inputs):
        names[node] = f"x{i}"
        if node in program.weak:
            lines.append(f"x{i} = as_array(x{i}).item()")
    for i, entry in enumerate(program.entries):
        primitive = entry.primitive
        function = partial(primitive.forward, **entry.params) if entry.params else primitive.forward
        call = f"{constant(function)}({', '.join(map(operand, entry.operands))})"
        if not entry.shape:  # NumPy's scalars are no arrays, and a number of Python's may be weak
            call = f"as_array({call})" + (".item()" if entry in program.weak else "")
        names[entry] = f"t{i}"
        lines.append(f"t{i} = {call}")
    lines.append(f"return ({''.join(f'{operand(o)}, ' for o in program.outputs)})")
    head = f"def straight({', '.join(names[node] for node in program.inputs)}):"
    exec(compile("\n    ".join([head, *lines]), "<a program in a straight line>", "exec"), space)
    return space["straight"]  # type: ignore[no-any-return]
