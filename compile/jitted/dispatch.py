"""The fast way into a plan: generated code that checks the signature and runs.

For small arrays the work around a kernel costs more than the kernel. The checks of one signature are
therefore straight-line source: types, shapes, strides and dtypes of the leaves, then the captures. Only
what is the same object counts as unchanged here; everything else is left to the slow way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compile.jitted.recording import Recording
from tapegrad.compile.survey.capture import MISSING, Captures, Reference, layout_of

__all__ = ["MISS", "fast_call"]

#: What the generated function returns when a check fails.
MISS = object()


class _Writer:
    """Writes the checks."""

    def __init__(self, traced: list[int]) -> None:
        self.traced = set(traced)
        self.lines: list[str] = []
        self.space: dict[str, Any] = {"ndarray": np.ndarray, "MISS": MISS, "type": type, "len": len}
        self.leaves: list[str] = []
        #: The names of captured arrays, by the ids of the references that lead to them.
        self.arrays: dict[int, str] = {}

    def constant(self, value: Any) -> str:
        name = f"k{len(self.space)}"
        self.space[name] = value
        return name

    def require(self, condition: str) -> None:
        self.lines.append(f"if not ({condition}): return MISS")

    def array(self, name: str, layout: tuple[Any, ...]) -> None:
        shape, strides, dtype = layout
        self.require(
            f"type({name}) is ndarray and {name}.shape == {shape} and "
            f"{name}.dtype is {self.constant(dtype)} and {name}.strides == {strides}"
        )

    def argument(self, text: str, structure: Any, leaves: list[Any]) -> bool:
        """Take an argument apart; returns whether that can be done here."""
        if structure == "*":
            place = len(self.leaves)
            leaf = leaves[place]
            name = f"v{place}"
            self.leaves.append(name)
            self.lines.append(f"{name} = {text}")
            if type(leaf) is np.ndarray:
                self.array(name, layout_of(leaf))
            elif type(leaf) is float:
                self.require(f"type({name}) is {self.constant(float)}")
            elif type(leaf) is int and place in self.traced:
                limits = f"{-(2**63)} <= {name} < {2**63}"
                self.require(f"type({name}) is {self.constant(int)} and {limits}")
            else:
                return False
            return True
        if structure == "-":
            self.require(f"{text} is None")
            return True
        kind = structure[0]
        if kind not in (dict, list, tuple):
            return False
        name = f"n{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.require(f"type({name}) is {self.constant(kind)}")
        children = structure[2] if kind is dict else structure[1]
        if kind is dict:
            self.require(f"tuple({name}) == {self.constant(structure[1])}")
            keys = [self.constant(key) for key in structure[1]]
        else:
            self.require(f"len({name}) == {len(children)}")
            keys = [str(i) for i in range(len(children))]
        return all(
            self.argument(f"{name}[{key}]", child, leaves) for key, child in zip(keys, children)
        )

    def reference(self, reference: Reference) -> bool:
        """Check that a captured thing is the same object."""
        owner, expected = self.constant(reference.owner), reference.expected
        key = self.constant(reference.key)
        if expected is MISSING:
            self.require(f"{key} not in {owner}")
            return reference.kind == "item"
        if reference.kind == "cell":
            text = f"{owner}.cell_contents"
        elif reference.kind == "item" and type(reference.owner) is dict:
            text = f"{owner}.get({key})"
        elif reference.kind == "item":
            text = f"{owner}[{key}]"
        elif reference.kind == "attr":
            text = f"{owner}.{reference.key}"
        else:
            return False
        if reference.layout is None:
            self.require(f"{text} is {self.constant(expected)}")
            return True
        name = self.arrays[id(reference)] = f"w{len(self.arrays)}"
        self.lines.append(f"{name} = {text}")
        self.array(name, reference.layout)
        return True

    def result(self, structure: Any) -> str:
        """Return the text that builds the result from the outputs."""
        places = iter(range(10**9))

        def build(structure: Any) -> str:
            if structure == "*":
                return f"outs[{next(places)}]"
            if structure == "-":
                return "None"
            kind = structure[0]
            if kind is dict:
                pairs = [
                    f"{self.constant(key)}: {build(child)}"
                    for key, child in zip(structure[1], structure[2])
                ]
                return "{" + ", ".join(pairs) + "}"
            inside = ", ".join(build(child) for child in structure[1])
            if kind is list:
                return f"[{inside}]"
            if kind is tuple:
                return f"({inside}{',' if len(structure[1]) == 1 else ''})"
            return f"{self.constant(kind)}({inside})"

        return build(structure)


def fast_call(
    recording: Recording, captures: Captures, structure: Any, leaves: list[Any]
) -> Callable[..., Any] | bool:
    """Generate the fast way into a recording for calls like the one with these leaves.

    Returns
    -------
    callable or False
        Takes the tuple of positional arguments; returns the result or ``MISS``. ``False`` if a check
        needs more than this.
    """
    _, (arguments, keywords) = structure
    if keywords != (dict, (), ()) or recording.watched or not recording.trusted:
        return False
    places = {(r.kind, id(r.owner), r.key): id(r.expected) for r in captures.arrays}
    if len(set(places.values())) < len(places):
        return False  # two names of one array: whether they still are is seen at each call
    if recording.boundary.writes:  # whether its arrays share memory is seen at each call
        return False
    writer = _Writer(recording.traced)
    writer.require(f"len(args) == {len(arguments[1])}")
    for i, child in enumerate(arguments[1]):
        if not writer.argument(f"args[{i}]", child, leaves):
            return False
    if len(captures.references) > 64 or not all(writer.reference(r) for r in captures.references):
        return False
    for container, size in captures.sizes:
        writer.require(f"len({writer.constant(container)}) == {size}")
    inputs = [writer.leaves[i] for i in recording.traced]
    for name, i in zip(inputs, recording.traced):
        if type(leaves[i]) is not np.ndarray:
            writer.space["asarray"] = np.asarray
            writer.lines.append(f"{name} = asarray({name})")
    for reference in recording.captured:
        inputs.append(writer.arrays[id(reference)])
    run = writer.constant(recording.plan.run)
    writer.lines.append(f"outs = {run}({', '.join(inputs)})")
    writer.require("type(outs) is tuple")
    writer.space["tuple"] = tuple
    writer.lines.append(f"return {writer.result(recording.structure)}")
    body = "\n".join("    " + line for line in writer.lines)
    exec(compile(f"def fast(args):\n{body}\n", "<tapegrad dispatch>", "exec"), writer.space)
    return writer.space["fast"]  # type: ignore[no-any-return]
