"""Options of ``jit``: which arguments are static, and of which the memory is given away.

A static argument is a leaf of the call, whatever it is: :class:`Static` stands for it, is a part of the
signature, and compares by type and value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from inspect import Parameter
from typing import Any

import numpy as np

from tapegrad.compile.jitted.nests import take_apart
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.pytree import Structure, count
from tapegrad.tape.transforms.transformed import spelled

__all__ = ["NOTHING", "Arguments", "Chosen", "Options", "Static", "plain"]

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Static:
    """A static argument, equal to those of the same type and value.

    Raises
    ------
    TypeError
        If the value has no hash, or is a tensor, which stands for many values.

    Examples
    --------
    >>> Static(1) == Static(1), Static(1) == Static(1.0), Static((0.0,)) == Static((-0.0,))
    (True, False, False)
    """

    __slots__ = ("_hash", "_key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key = _key_of(value)
        self._hash = hash(self._key)

    def __eq__(self, other: object) -> bool:
        return type(other) is Static and bool(self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Static({self.value!r})"


def _key_of(value: Any) -> Any:
    """Return what is compared of a value: of floats the digits, for the sign of zero and for nan."""
    kind = type(value)
    if isinstance(value, Tensor):
        raise TypeError("a tensor has many values")
    if kind is tuple:
        return (kind, tuple([_key_of(part) for part in value]))
    return (kind, repr(value) if isinstance(value, (float, complex, np.inexact)) else value)


def plain(leaves: Iterable[Any]) -> list[Any]:
    """Return leaves with static arguments as they were given."""
    return [leaf.value if type(leaf) is Static else leaf for leaf in leaves]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Some of the arguments of a function.

    Attributes
    ----------
    positions : tuple of int
        Negative ones count from the last positional argument of the call.
    names : tuple of str
    """

    positions: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, function: Callable[..., Any], argnums: Any, argnames: Any, what: str) -> Arguments:
        """Return the arguments that a user has chosen.

        Parameters
        ----------
        function : callable
            If it has a signature, an argument chosen by position is also chosen by name, and the
            other way round.
        argnums : int, iterable of int, or None
        argnames : str, iterable of str, or None
        what : str
            The first word of the options: static, donate.

        Raises
        ------
        TypeError
            If they are no ints and strings.
        ValueError
            If the function has no such argument.
        """
        positions = _several(argnums, int, f"{what}_argnums")
        names = _several(argnames, str, f"{what}_argnames")
        if not positions and not names:
            return cls()
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # a callable without a signature
            return cls(positions, names)
        in_order = [p for p in parameters if p.kind in _BY_POSITION]
        kinds = {p.kind for p in parameters}
        if Parameter.VAR_POSITIONAL not in kinds:
            positions = tuple(_counted(i, len(in_order), function, what) for i in positions)
        known = [p.name for p in parameters if p.kind in _BY_NAME]
        unknown = [n for n in names if n not in known and Parameter.VAR_KEYWORD not in kinds]
        if unknown:
            raise ValueError(
                f"jit: {what}_argnames holds {unknown[0]!r}, which {spelled(function)} does not "
                f"take; it takes {', '.join(known) or 'none by name'}"
            )
        pairs = list(enumerate(in_order))
        also = [p.name for i, p in pairs if i in positions and p.kind in _BY_NAME]
        there = [i for i, p in pairs if p.name in names and p.kind in _BY_NAME]
        return cls(
            tuple(dict.fromkeys([*positions, *there])), tuple(dict.fromkeys([*names, *also]))
        )

    def __bool__(self) -> bool:
        return bool(self.positions or self.names)

    def among(self, args: Any) -> set[int]:
        """Return the positions in a call with these positional arguments."""
        given = len(args)
        return {i % given for i in self.positions if -given <= i < given}

    def labels_shared(self, other: Arguments) -> list[Any]:
        """Return which arguments are also among others."""
        mine = [*self.positions, *self.names]
        return [label for label in mine if label in (*other.positions, *other.names)]


def _several(given: Any, kind: type, what: str) -> tuple[Any, ...]:
    if given is None:
        return ()
    wanted: Any = (int, np.integer) if kind is int else str
    is_one = isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
    found = (given,) if is_one else tuple(given)
    if not all(isinstance(one, wanted) and type(one) is not bool for one in found):
        raise TypeError(f"jit: {what} takes {kind.__name__}s: one, or several; got {given!r}")
    return tuple([kind(one) for one in found])


def _counted(position: int, most: int, function: Any, what: str) -> int:
    if not -most <= position < most:
        raise ValueError(
            f"jit: {what}_argnums holds {position}, and {spelled(function)} takes {most} positional "
            "arguments"
        )
    return position % most


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a jitted function knows of its arguments beforehand."""

    static: Arguments = Arguments()
    donated: Arguments = Arguments()

    def apart(self, call: tuple[Any, Any]) -> tuple[list[Any], Structure]:
        """Return the leaves of a call ``(args, kwargs)``, and their structure.

        Raises
        ------
        ValueError
            For a static argument that has no hash.
        """
        if not self.static:
            return take_apart(call)
        args, kwargs = call
        there, names = self.static.among(args), self.static.names
        marked = [_static(v, i) if i in there else v for i, v in enumerate(args)]
        named = {k: _static(v, repr(k)) if k in names else v for k, v in kwargs.items()}
        return take_apart((tuple(marked), named))

    def given_away(self, structure: Structure) -> set[int]:
        """Return which leaves of a call belong to donated arguments."""
        if not self.donated:
            return set()
        positional, named = structure[2]
        there = self.donated.among(positional[2])
        arguments = [(i in there, child) for i, child in enumerate(positional[2])]
        arguments += [(k in self.donated.names, child) for k, child in zip(named[1], named[2])]
        flags = [donated for donated, child in arguments for _ in range(count(child))]
        return {i for i, donated in enumerate(flags) if donated}


def _static(value: Any, label: Any) -> Static:
    try:
        return Static(value)
    except TypeError as error:
        raise ValueError(
            f"jit: the static argument {label} is of type {type(value).__name__}, and must be "
            f"hashable, since it is a part of what is compiled: {error}. Arrays and tensors are "
            "arguments that are not static"
        ) from None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``jit``, as they were given."""

    strict: bool = False
    wait: bool = False
    static_argnums: Any = None
    static_argnames: Any = None
    donate_argnums: Any = None
    donate_argnames: Any = None

    def chosen(self, function: Callable[..., Any]) -> Chosen:
        """Return the arguments of a function that the options name."""
        static = Arguments.of(function, self.static_argnums, self.static_argnames, "static")
        donated = Arguments.of(function, self.donate_argnums, self.donate_argnames, "donate")
        both = static.labels_shared(donated)
        if both:
            raise ValueError(
                f"jit: the argument {both[0]!r} is static and donated; a static one has no memory "
                "that could be overwritten"
            )
        return Chosen(static, donated)

    def spelled(self) -> str:
        """Return what differs from the defaults, as it is written behind the function."""
        pairs = [(f.name, getattr(self, f.name), f.default) for f in fields(self)]
        return "".join(f", {name}={value!r}" for name, value, default in pairs if value != default)


#: What is chosen where nothing is.
NOTHING = Chosen()
