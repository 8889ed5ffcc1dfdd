"""The way into a plan: generated code that checks a call and runs it.

For small arrays the work around a kernel costs more than the kernel. The checks of one recording are
therefore straight-line source: types, shapes, strides and dtypes of the arguments, then what the
function read from outside, each place by the shortest expression that leads to it. None of them runs
code of the user's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import CellType
from typing import Any

import numpy as np

from tapegrad.compile.backends import interface
from tapegrad.compile.jitted.nests import SETTLED, is_traced
from tapegrad.compile.jitted.options import NOTHING, Chosen, Static
from tapegrad.compile.jitted.recording import Recording, overlap
from tapegrad.tape.core.kinds import Exact, Fields, NamedItems, kinds
from tapegrad.tape.python import places, special
from tapegrad.tape.python.checks import Check
from tapegrad.tape.python.places import ABSENT, Place

__all__ = ["AS_IT_IS", "MISS", "entrance"]

#: From how many arrays on it is worth to compare their layouts by machine code, which is loaded for it.
MANY = 16

#: What the generated function returns when a check fails.
MISS = object()
#: What it returns where the function is to be run as it is.
AS_IT_IS = object()


def entrance(
    recording: Recording, leaves: list[Any], structure: Any, chosen: Chosen = NOTHING
) -> Callable[..., Any]:
    """Generate the way into a recording.

    Parameters
    ----------
    recording : Recording
    leaves : list
        Of a call ``(args, kwargs)`` for which the recording stands.
    structure : Structure
        Of such a call.
    chosen : Chosen
        Which arguments are static.

    Returns
    -------
    callable
        Takes the tuple of positional arguments and the dict of named ones; returns the result,
        ``AS_IT_IS`` if the function is to be run as it is, or ``MISS``. If it raises anything, that
        means ``MISS``, too.
    """
    return _Writer(recording, leaves, chosen).entrance(structure)


def _are_laid_out(layouts: list[tuple[Any, ...]], *arrays: Any) -> bool:
    """Whether values are arrays of these shapes, strides and dtypes."""
    return all(
        type(a) is np.ndarray and (a.shape, a.strides, a.dtype) == layout
        for a, layout in zip(arrays, layouts)
    )


class _Writer:
    """Writes the source."""

    def __init__(self, recording: Recording, leaves: list[Any], chosen: Chosen) -> None:
        self.recording = recording
        self.given = leaves
        self.chosen = chosen
        self.lines: list[str] = []
        self.space: dict[str, Any] = {
            "ndarray": np.ndarray, "MISS": MISS, "ABSENT": ABSENT, "type": type, "len": len,
            "tuple": tuple,
        }  # fmt: skip
        self.leaves: list[str] = []
        #: The places from which a step leads to others.
        self.owners = {
            place.owner
            for place in (*(c.place for c in recording.checks), *recording.captured)
            if type(place.owner) is Place
        }
        #: The names of what places hold.
        self.known: dict[Place, str] = {}
        #: What must be an array, by its name here, and how it must be laid out.
        self.arrays: dict[str, tuple[Any, ...]] = {}
        self._constants: dict[int, str] = {}

    def constant(self, value: Any) -> str:
        name = self._constants.get(id(value))
        if name is None:
            name = self._constants[id(value)] = f"k{len(self.space)}"
            self.space[name] = value
        return name

    def require(self, condition: str) -> None:
        self.lines.append(f"if not ({condition}): return MISS")

    def array(self, name: str, layout: tuple[Any, ...]) -> None:
        shape, strides, dtype = layout
        known = self.constant(dtype)
        # An array that was pickled has a dtype object of its own, which equals that of others.
        self.require(
            f"type({name}) is ndarray and {name}.shape == {shape} and "
            f"({name}.dtype is {known} or {name}.dtype == {known}) and {name}.strides == {strides}"
        )

    # Arguments ------------------------------------------------------------------------------------

    def arguments(self, structure: Any) -> None:
        """Take the arguments apart."""
        positional, named = structure[2]
        leaves = self.given
        names = f"tuple(kwargs) == {tuple(named[1])}" if named[2] else "not kwargs"
        self.require(f"len(args) == {len(positional[2])} and {names}")
        texts = [f"args[{i}]" for i in range(len(positional[2]))]
        texts += [f"kwargs[{key!r}]" for key in named[1]]
        start = len(self.lines)
        children = [*positional[2], *named[2]]
        if not all(self.argument(t, child, leaves) for t, child in zip(texts, children)):
            del self.lines[start:]
            self.leaves.clear()
            self.arrays.clear()
            apart = self.constant(self.chosen.apart)
            self.lines.append(f"leaves, structure = {apart}((args, kwargs))")
            self.require(f"structure == {self.constant(structure)}")
            for i, leaf in enumerate(leaves):
                self.leaf(f"leaves[{i}]{'.value' * (type(leaf) is Static)}", leaf)

    def leaf(self, text: str, leaf: Any) -> None:
        name = f"v{len(self.leaves)}"
        self.leaves.append(name)
        self.lines.append(f"{name} = {text}")
        kind = type(leaf)
        if kind is np.ndarray:
            self.arrays[name] = (leaf.shape, leaf.strides, leaf.dtype)
        elif kind is int and is_traced(leaf):
            self.require(f"type({name}) is {self.constant(int)} and {-(2**63)} <= {name} < {2**63}")
        elif is_traced(leaf):
            self.require(f"type({name}) is {self.constant(kind)}")
        elif kind is Static:
            same = f"{name} is {self.constant(leaf.value)}"
            self.require(f"{same} or {self.constant(Static)}({name}) == {self.constant(leaf)}")
        elif isinstance(leaf, SETTLED):
            held = self.constant(leaf)
            if kind in (bool, type(None), type(...)):
                self.require(f"{name} is {held}")
            else:
                exact = kind not in (complex, float, slice) and not isinstance(leaf, np.generic)
                text = f"{name} == {held}" if exact else f"repr({name}) == {repr(leaf)!r}"
                self.require(f"type({name}) is {self.constant(kind)} and {text}")

    def argument(self, text: str, structure: Any, leaves: list[Any]) -> bool:
        """Take an argument apart; returns whether that can be done here."""
        if structure == "*":
            self.leaf(text, leaves[len(self.leaves)])
            return True
        if structure == "-":
            self.require(f"{text} is None")
            return True
        kind, aux, children = structure
        name = f"n{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.require(f"type({name}) is {self.constant(kind)}")
        parts = self.parts(name, kind, aux, len(children))
        return parts is not None and all(
            self.argument(part, child, leaves) for part, child in zip(parts, children)
        )

    def parts(self, name: str, kind: Any, aux: Any, count: int) -> list[str] | None:
        """Check what a nest holds; return how its parts are read, or None if that takes more."""
        described = None if kind in (dict, list, tuple) else kinds[kind]
        if kind is dict and type(aux) is not Exact:
            self.require(f"tuple({name}) == {self.constant(aux)}")
            return [f"{name}[{self.constant(key)}]" for key in aux]
        if kind is list or kind is tuple:
            self.require(f"len({name}) == {count}")
            return [f"{name}[{i}]" for i in range(count)]
        if type(described) is NamedItems and not described.attributes.open:
            return [f"{name}[{i}]" for i in range(count)]
        if type(described) is Fields and described.is_plain:
            self.lines.append(f"{name} = {name}.__dict__")
            self.require(f"{name}.keys() == {self.constant(described.attributes.parts)}")
            return [f"{name}[{field!r}]" for field in described.names]
        return None

    # Places ---------------------------------------------------------------------------------------

    def place(self, place: Place) -> str:
        """Return the text of what lies at a place; read once where something else lies below it."""
        found = self.known.get(place)
        if found is None and place.step is places.itself:
            found = self.known[place] = self.constant(place.owner)
        if found is None:
            found = self.known[place] = f"w{len(self.known)}"
            self.lines.append(f"{found} = {self.reading(place)}")
        return found

    def reading(self, place: Place) -> str:
        """Return the text that reads a place."""
        owner, key, step = place.owner, place.key, place.step
        if owner is self.recording.arguments:
            return self.leaves[key]
        if step is places.itself:
            return self.constant(owner)
        if type(owner) is CellType:
            return f"{self.constant(owner)}.cell_contents"
        text = self.place(owner) if type(owner) is Place else self.constant(owner)
        if step is places.named:
            return self.named(text, owner, key)
        if step is places.own and type(owner) is Place:
            return f"{text}.__dict__[{key!r}]"
        if step is places.inside:
            return f"{text}.{key}"
        if step is places.item:
            return f"{text}[{self.constant(key) if type(key) is not int else key}]"
        if step is places.of_class:
            return self.of_class(owner.read(), key)
        if step is places.order:
            return f"{self.constant(special.classes_of)}({text})"
        return f"{self.constant(step)}({text}, {self.constant(key)})"

    def named(self, text: str, names: dict[str, Any], key: str) -> str:
        if key in names:
            return f"{text}[{key!r}]"
        held = names.get("__builtins__", {})
        held = held if type(held) is dict else held.__dict__
        return f"ABSENT if {key!r} in {text} else {self.constant(held)}[{key!r}]"

    def of_class(self, cls: type, key: str) -> str:
        """What the classes in the order of look-up hold: the first that had it, if no other has."""
        passed: list[str] = []
        for base in special.classes_of(cls):
            names = self.constant(special.names_of(base))
            if key in special.names_of(base):
                conditions = [f"{key!r} in {before}" for before in passed]
                found = f"{names}[{key!r}]"
                return f"ABSENT if {' or '.join(conditions)} else {found}" if passed else found
            passed.append(names)
        return " or ".join(f"{key!r} in {names}" for names in passed)

    def check(self, check: Check) -> None:
        place, seen = check.place, check.seen
        if seen is ABSENT and check.kind == "same":
            self.absent(place)
            return
        if check.kind in ("same", "type") and place.step is places.itself:
            return
        if check.kind == "same":
            known = place in self.known or place in self.owners
            text = self.place(place) if known else self.reading(place)
            self.lines.append(f"if {text} is not {self.constant(seen)}: return MISS")
            return
        name = self.place(place)
        if check.kind == "type":
            self.require(f"type({name}) is {self.constant(seen)}")
        elif check.kind == "array":
            self.arrays[name] = seen
        elif check.kind == "length":
            self.require(f"len({name}) == {seen}")
        elif check.kind in ("with", "apart"):
            other = self.place(seen)
            self.require(f"{name} is {'' if check.kind == 'with' else 'not '}{other}")
        elif check.kind == "equal" and type(seen) in (str, bytes, int):
            self.require(
                f"type({name}) is {self.constant(type(seen))} and {name} == {self.constant(seen)}"
            )
        else:
            self.require(f"{self.constant(check.test)}({name}, {self.constant(seen)})")

    def layouts(self) -> None:
        """Check what has to be an array; many of them are compared by machine code."""
        backend = interface.current()
        if len(self.arrays) < MANY or not backend.usable():
            for name, layout in self.arrays.items():
                self.array(name, layout)
        else:
            layouts, names = list(self.arrays.values()), ", ".join(self.arrays)
            compared = self.constant(backend.same_layouts(layouts))
            # It knows dtypes by their address, and says no where they are only equal.
            alike = self.constant(functools.partial(_are_laid_out, layouts))
            self.require(f"{compared}({names}) or {alike}({names})")

    def absent(self, place: Place) -> None:
        owner, key, step = place.owner, place.key, place.step
        if step is places.of_class and type(owner) is Place:
            self.require(f"not ({self.of_class(owner.read(), key)})")
        elif step is places.own and type(owner) is Place:
            self.require(f"{key!r} not in {self.place(owner)}.__dict__")
        else:
            text = self.place(owner) if type(owner) is Place else self.constant(owner)
            self.require(f"{self.constant(step)}({text}, {self.constant(key)}) is ABSENT")

    # The whole ------------------------------------------------------------------------------------

    def entrance(self, structure: Any) -> Callable[..., Any]:
        recording = self.recording
        self.arguments(structure)
        mode, quiet = self.constant(places.mode), self.constant(places.quiet)
        self.require(f"{mode}(None) is None or {quiet}()")
        for check in recording.checks:
            self.check(check)
        self.layouts()
        if recording.plan is None:
            return self.function(f"return {self.constant(AS_IT_IS)}")
        leaves = self.given
        inputs = []
        for i in recording.traced:
            inputs.append(self.input(self.leaves[i], type(leaves[i]) is np.ndarray))
        for name in map(self.place, recording.captured):
            inputs.append(self.input(name, name in self.arrays))
        if recording.boundary.writes:
            written = " and ".join(
                f"{inputs[i]}.flags.writeable" for i in recording.boundary.writes
            )
            self.require(f"{written} and not {self.constant(overlap)}({', '.join(inputs)})")
        self.give_away([inputs[i] for i in recording.plan.overwritten], inputs)
        self.lines.append(f"outs = {self.constant(recording.plan.run)}({', '.join(inputs)})")
        self.lines.append("if type(outs) is not tuple: return MISS")
        if recording.problem:
            return self.function(f"return {self.constant(AS_IT_IS)}")
        return self.function(f"return {self.result(recording.structure)}")

    def give_away(self, donated: list[str], inputs: list[str]) -> None:
        """Have the plan overwrite copies of donated arrays that are not the function's alone."""
        if donated:
            names, copies = ", ".join(donated), ", ".join(f"{name}.copy()" for name in donated)
            writeable = " and ".join(f"{name}.flags.writeable" for name in donated)
            apart = f"not {self.constant(overlap)}({', '.join(inputs)})"
            self.lines.append(f"if not ({writeable} and {apart}): {names} = {copies}")

    def function(self, last: str) -> Callable[..., Any]:
        """Return the function of the lines, and a last one."""
        body = "\n    ".join((*self.lines, last))
        exec(f"def enter(args, kwargs):\n    {body}\n", self.space)
        return self.space["enter"]  # type: ignore[no-any-return]

    def input(self, name: str, is_array: bool) -> str:
        if not is_array:
            self.lines.append(
                f"if type({name}) is not ndarray: {name} = {self.constant(np.asarray)}({name})"
            )
        return name

    def result(self, structure: Any) -> str:
        """Return the text that builds the result from the outputs."""
        numbers = iter(range(10**9))

        def build(structure: Any) -> str:
            if structure == "*":
                return f"outs[{next(numbers)}]"
            if structure == "-":
                return "None"
            kind, aux, children = structure
            if kind is dict:
                keys = zip(aux, children)
                return "{" + ", ".join(f"{self.constant(k)}: {build(c)}" for k, c in keys) + "}"
            inside = ", ".join(build(child) for child in children)
            if kind is list:
                return f"[{inside}]"
            if kind is tuple:
                return f"({inside}{',' if len(children) == 1 else ''})"
            described: Any = kinds[kind]
            return f"{self.constant(described.build)}({self.constant(aux)}, [{inside}])"

        return build(structure)
