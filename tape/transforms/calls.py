"""A program called as one entry.

It runs compiled, and so do the programs that follow from it: of its derivatives, of batches.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.cotangents import fit, zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.program.program import Program

__all__ = ["jit_call_p"]


def _forward(*values: Any, program: Program) -> tuple[Any, ...]:
    return tuple(np.asarray(out) for out in program.compile()(*values))


def _pull(g: Any, y: Any, *values: Any, program: Program, imperative: bool = False) -> list[Any]:
    floats = [i for i, node in enumerate(program.inputs) if node.dtype.kind in CONTINUOUS]
    cotangents = [
        zeros(o) if type(part) is int else fit(part, o.shape, o.dtype)
        for part, o in zip(g, program.outputs)
        if o.dtype.kind in CONTINUOUS
    ]
    pullback = program.pullback(floats, imperative=imperative)
    parts = bind(jit_call_p, *values, *cotangents, program=pullback)
    pulled = dict(zip(floats, parts))
    return [pulled.get(i) for i in range(len(values))]


def _push(tangents: Any, y: Any, *values: Any, program: Program) -> list[Any]:
    moved = [i for i, t in enumerate(tangents) if t is not None]
    given = [tangents[i] for i in moved]
    pushed = iter(bind(jit_call_p, *values, *given, program=program.pushforward(moved)))
    return [next(pushed) if o.dtype.kind in CONTINUOUS else None for o in program.outputs]


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    program = params["program"].batch(size, batched)
    return bind(jit_call_p, *args, program=program)  # type: ignore[no-any-return]


def _declared(name: str, **slots: Any) -> Primitive:
    return Primitive(
        name,
        _forward,
        jvp=_push,
        batch=_batch,
        multiple=True,
        saves=("none", "value"),
        expansion=lambda *values, program: program(*values),
        call=True,
        takes_complex=True,
        source=lambda args, params: f"{params['program']}({', '.join(args)})",
        **slots,
    )


jit_call_p = _declared(
    "jit_call",
    pull_all=_pull,
    imperative=_declared("jit_call_imperative", pull_all=partial(_pull, imperative=True)),
)
