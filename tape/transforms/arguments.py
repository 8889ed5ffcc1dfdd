"""By which arguments a function is differentiated: ``argnums``."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tapegrad.tape.core.as_is import AsIs
from tapegrad.tape.core.later import later
from tapegrad.tape.transforms.shield import run_shielded

__all__ = ["Argnums", "Choice", "along"]

Argnums = int | tuple[int, ...] | list[int]


class Choice:
    """Some of the positional arguments of a function.

    Parameters
    ----------
    what : str
        Who asks, for errors.
    argnums : int or sequence of int

    Attributes
    ----------
    alone : bool
        Whether one was chosen by an int: what belongs to it then is no tuple.

    Raises
    ------
    TypeError
        Unless `argnums` are ints.
    """

    __slots__ = ("_known", "_numbers", "alone", "argnums", "what")

    def __init__(self, what: str, argnums: Any) -> None:
        self.what = what
        self.argnums = argnums
        self.alone = not isinstance(argnums, tuple | list | range)
        try:
            self._numbers = tuple(map(operator.index, (argnums,) if self.alone else argnums))
        except TypeError:
            raise TypeError(
                f"{what}: argnums must be an int or a tuple of ints, not {argnums!r}"
            ) from None
        self._known: dict[int, tuple[int, ...]] = {}

    def places(self, count: int) -> tuple[int, ...]:
        """Return which of `count` arguments are meant, counted from the front.

        Raises
        ------
        TypeError
            If there are not as many.
        ValueError
            If one is named twice.
        """
        if count in self._known:
            return self._known[count]
        places = tuple([i + count if i < 0 else i for i in self._numbers])
        if any(not 0 <= i < count for i in places):
            raise TypeError(
                f"{self.what}: argnums={self.argnums!r}, but the function was called with {count} "
                "positional arguments (those given by name do not count)"
            )
        if len({*places}) < len(places):
            raise ValueError(f"{self.what}: argnums={self.argnums!r} names an argument twice")
        self._known[count] = places
        return places

    def run(
        self,
        run: Callable[[Callable[..., Any], tuple[Any, ...]], Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Return ``run(partial, chosen)``: the function of the chosen arguments, and these.

        The arrays in the other arguments are safe from writes meanwhile.
        """
        places = self.places(len(args))

        def shielded(rest: Any, originals: Any) -> Any:
            others, keywords = rest

            def partial(*variables: Any) -> Any:
                full = list(others)
                for i, value in zip(places, variables):
                    full[i] = value
                return later.called(function, rest, originals)(*full, **keywords)

            partial.__wrapped__ = function  # type: ignore[attr-defined]  # errors name it
            return run(partial, tuple([args[i] for i in places]))

        others = [None if i in places else a for i, a in enumerate(args)]
        return run_shielded(shielded, (others, kwargs), as_is=type(function) is AsIs)

    def of_chosen(self, blocks: tuple[Any, ...]) -> Any:
        """Return what there is for each chosen argument as the user expects it."""
        return blocks[0] if self.alone else blocks


def along(
    what: str, primals: Any, tangents: Any, choice: Choice | None
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return arguments, and directions of those that move, as tuples."""
    if choice is not None and choice.alone:
        tangents = (tangents,)
    if type(primals) not in (tuple, list) or type(tangents) not in (tuple, list):
        raise TypeError(f"{what}: primals and tangents must be tuples or lists of arguments")
    return tuple(primals), tuple(tangents)
