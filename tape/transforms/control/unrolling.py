"""Scans of which several trips are one: their operations fuse, and there are fewer trips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.program import Program
from tapegrad.tape.transforms.control.derived import shape_of
from tapegrad.tape.transforms.control.scans import scan_p

__all__ = ["scan_by_blocks"]


def scan_by_blocks(
    body: Program,
    carry: Sequence[Any],
    rows: Sequence[Any],
    consts: Sequence[Any],
    length: int,
    block: int,
    *,
    reverse: bool,
    checkpoint: int | None,
) -> list[Any]:
    """Return what is carried after the last trip, and the stacked results of all.

    Parameters
    ----------
    body : Program
    carry, rows, consts : sequence
        Its operands; `rows` are stacked.
    length : int
    block : int
        So many trips are one.
    reverse, checkpoint
        As of :func:`tapegrad.scan`; what is kept is kept before whole blocks.
    """
    blocks, rest = divmod(length, block)
    first, last = (rest, length) if reverse else (0, blocks * block)
    whole = [r[first:last] for r in rows]
    left = [r[:first] if reverse else r[last:] for r in rows]
    count = len(carry)
    found: list[list[Any]] = []
    if blocks:
        out = bind(
            scan_p,
            *carry,
            *(np.reshape(r, (blocks, block, *np.shape(r)[1:])) for r in whole),
            *consts,
            body=_block(body, count, len(rows), block, reverse=reverse),
            length=blocks,
            carried=count,
            stacked=len(rows),
            reverse=reverse,
            every=0,
            checkpoint=checkpoint and -(-checkpoint // block),
            variable=None,
        )
        carry = out[:count]
        ys = [np.reshape(y, (blocks * block, *np.shape(y)[2:])) for y in out[count:]]
        found.append(ys)
    if rest:
        out = _trips(body, carry, left, consts, rest, reverse=reverse)
        carry = out[:count]
        found.insert(0 if reverse else len(found), out[count:])
    columns = zip(*found)
    return [*carry, *(c[0] if len(c) == 1 else np.concatenate(c) for c in columns)]


def _trips(
    body: Program,
    carry: Sequence[Any],
    rows: Sequence[Any],
    consts: Sequence[Any],
    count: int,
    *,
    reverse: bool,
) -> list[Any]:
    """Do some trips one after another."""
    ys: list[Any] = []
    for t in reversed(range(count)) if reverse else range(count):
        out = body(*carry, *(r[t] for r in rows), *consts)
        carry = out[: len(carry)]
        ys.append(out[len(carry) :])
    if reverse:
        ys.reverse()
    return [*carry, *(np.stack(column) for column in zip(*ys))]


def _block(body: Program, carried: int, stacked: int, count: int, *, reverse: bool) -> Program:
    """Return the program of several trips."""
    end = carried + stacked

    def run(*values: Any) -> list[Any]:
        parts = values[:carried], values[carried:end], values[end:]
        return _trips(body, *parts, count, reverse=reverse)

    def make() -> Program:
        inputs = [
            shape_of(n, count) if carried <= i < end else n for i, n in enumerate(body.inputs)
        ]
        return record_program(run, inputs, body.weak)

    return body.memo(("block", carried, stacked, count, reverse), make)  # type: ignore[no-any-return]
