"""The functions of loops as programs: what they carry must stay what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.cotangents import cast
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC
from tapegrad.tape.core.pytree import Structure, count, flatten, flatten_like, paths, unflatten
from tapegrad.tape.program.bodies import Body, LoopTrace, NotRecordable, record_body
from tapegrad.tape.transforms.control.alike import Result, results_of, with_dtypes

__all__ = ["Carry", "as_operand", "example_of", "kind_of"]


def kind_of(leaf: Any, what: str) -> Result:
    """Describe a leaf of what a loop carries.

    Raises
    ------
    TypeError
        If it is neither an array nor a number; `what` names it.
    """
    standing: Any = stands_for(leaf) if isinstance(leaf, Tensor) else type(leaf)
    if not isinstance(leaf, Tensor | np.ndarray | np.generic | float | int):
        raise TypeError(f"{what} must be an array or a number, and is of type {standing.__name__}")
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if dtype.kind not in NUMERIC:
        raise TypeError(
            f"{what} is of dtype {dtype}; loops carry real numbers, integers and booleans"
        )
    return Result(np.shape(leaf), dtype, standing in (float, int))


def example_of(kind: Result) -> Any:
    """Return what a function would get for a value of a kind: a number, a NumPy scalar, an array."""
    if kind.is_number:
        return kind.dtype.type(0).item()
    return np.zeros(kind.shape, kind.dtype)[()]


def as_operand(leaf: Any, kind: Result) -> Any:
    """Return a value of a dtype."""
    if isinstance(leaf, Tensor):
        return cast(leaf, kind.dtype)
    return np.asarray(leaf, kind.dtype)


class Carry:
    """What a loop carries: its structure, and of what kind each leaf is.

    A Python number is weak in promotion, as in Python, until the function makes of it what is not: then
    it is of that dtype from the start.

    Parameters
    ----------
    loop : str
        The name of the user's function, for errors.
    init : nest
        What is carried into the first trip.
    """

    def __init__(self, loop: str, init: Any) -> None:
        self.loop = loop
        self.leaves, self.structure = flatten(init)
        self.names = [f"the carry{path}" for path in paths(self.structure)]
        self.kinds = [
            kind_of(leaf, f"{loop}: {name}") for leaf, name in zip(self.leaves, self.names)
        ]

    @property
    def operands(self) -> list[Any]:
        """What is carried into the first trip, of the dtypes of the carry."""
        return [as_operand(leaf, kind) for leaf, kind in zip(self.leaves, self.kinds)]

    def record(
        self,
        function: Callable[..., Any],
        further: Sequence[Any],
        structure: Structure,
        *,
        pair: bool,
    ) -> Body | None:
        """Record what one trip does; None if it is no program.

        Parameters
        ----------
        function : callable
            Takes the carry and further arguments; returns the carry, or with `pair` the carry and a
            result.
        further : sequence
            Examples of the leaves of the further arguments.
        structure : Structure
            Of the tuple of further arguments.
        pair : bool

        Returns
        -------
        Body
            Its structure is that of the result.

        Raises
        ------
        TypeError
            If the carry does not stay what it is, or the function returns no pair.
        """
        inside = (tuple, None, (self.structure, *structure[2]))
        while True:
            try:
                given = [*map(example_of, self.kinds), *further]
                body = record_body(function, given, inside, LoopTrace)
            except (NotRecordable, Exception):
                # Whatever it is, the function itself will say so.
                return None
            body, outputs = self._ordered(body, pair)
            kinds = [
                self._grown(name, kind, result)
                for name, kind, result in zip(self.names, self.kinds, outputs)
            ]
            if kinds == self.kinds:
                dtypes = [kind.dtype for kind in kinds]
                dtypes += [result.dtype for result in outputs[len(kinds) :]]
                return body._replace(program=with_dtypes(body.program, dtypes))
            self.kinds = kinds

    def record_test(self, function: Callable[..., Any]) -> Body | None:
        """Record what decides whether there is a further trip; None if it is no program."""
        try:
            given = [example_of(kind) for kind in self.kinds]
            body = record_body(function, given, (tuple, None, (self.structure,)), LoopTrace)
        except (NotRecordable, Exception):
            return None
        return body._replace(program=with_dtypes(body.program, [np.dtype(bool)]))

    def _ordered(self, body: Body, pair: bool) -> tuple[Body, list[Result]]:
        """Return a body whose outputs begin with the leaves of the carry in their order."""
        structure, results = body.structure, "-"
        if pair:
            self.check_pair(structure)
            structure, results = structure[2]
        places = range(count(structure))
        order = self.leaves_of(unflatten(structure, places))
        program = body.program
        outputs = [program.outputs[i] for i in order] + list(program.outputs[len(places) :])
        program = program.select(outputs)
        return body._replace(program=program, structure=results), results_of(program)

    def check_pair(self, structure: Structure) -> None:
        """Raise if a function returned no pair."""
        if type(structure) is str or structure[0] not in (tuple, list) or len(structure[2]) != 2:
            n = count(structure)
            shown = unflatten(structure, ["*"] * n)
            raise TypeError(
                f"{self.loop}: the function must return a pair (carry, result), and returns "
                f"{'an array' if shown == '*' else str(shown).replace(chr(39) + '*' + chr(39), '*')}"
            )

    def leaves_of(self, carry: Any) -> list[Any]:
        """Return the leaves of what a function returned as the carry.

        Raises
        ------
        TypeError
            If it has another structure.
        """
        try:
            return flatten_like(
                self.structure, carry, f"{self.loop}: the carry must keep its structure"
            )
        except ValueError as error:
            raise TypeError(str(error)) from None

    def _grown(self, name: str, kind: Result, result: Result) -> Result:
        """Return the kind of a leaf that must be what it was and what it became."""
        same = kind.shape == result.shape
        if same and kind.is_number and result.is_number:
            return kind if kind.dtype == result.dtype or kind.dtype.kind in CONTINUOUS else result
        if same and kind.is_number and kind.fits(result.dtype):
            return result
        if same and result.fits(kind.dtype):
            return kind
        raise TypeError(
            f"{self.loop}: the carry must keep its shapes and dtypes: {name} is {kind!r} and becomes "
            f"{result!r}"
        )
