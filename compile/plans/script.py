"""Scripts: Python source under construction, with the objects that its names stand for."""

from __future__ import annotations

import keyword
import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from tapegrad.tape.core.location import Location
from tapegrad.tape.core.node import Node

__all__ = ["Script", "line_of", "lines_of", "operations_of", "shortened"]

#: Longer calls are broken, and so are longer comments.
WIDTH = 96


class Script:
    """The body of a function: lines, and a namespace.

    Parameters
    ----------
    space : dict
        What names stand for from the beginning.
    """

    def __init__(self, space: dict[str, Any]) -> None:
        self.space = space
        self.lines: list[str] = []
        self._taken = set(space)
        self._counts: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def unique(self, hint: str) -> str:
        """Return a name that nothing has yet, as near as possible to a hint."""
        hint = re.sub(r"\W+", "_", hint).strip("_") or "value"
        if hint[0].isdigit() or keyword.iskeyword(hint):
            hint = f"_{hint}"
        name = hint
        while name in self._taken:
            self._counts[hint] = self._counts.get(hint, 1) + 1
            name = f"{hint}_{self._counts[hint]}"
        self._taken.add(name)
        return name

    def refer(self, value: Any, hint: str) -> str:
        """Return the source of an object: a number itself, and a name for everything else."""
        if type(value) in (int, bool) or (type(value) is float and math.isfinite(value)):
            return repr(value)
        if id(value) not in self._names:
            name = self._names[id(value)] = self.unique(hint)
            self.space[name] = value  # which keeps it, so that no other object gets its id
        return self._names[id(value)]

    def dtype(self, dtype: np.dtype[Any]) -> str:
        """Return the name of a dtype."""
        return self.refer(np.dtype(dtype.name), dtype.name)

    def add(self, line: str, comment: str = "") -> None:
        """Append a line; its comment stands behind it, or before if that would be too long."""
        if comment and len(line) + len(comment) + 4 > WIDTH:
            self.comment(comment)
            comment = ""
        self.lines.append(f"{line}  # {comment}" if comment else line)

    def comment(self, text: str) -> None:
        """Append lines of comment."""
        self.lines += [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]

    def gap(self) -> None:
        """Append an empty line, if there is something before."""
        self.lines += [""] * bool(self.lines)

    def call(
        self, targets: Sequence[str], function: str, arguments: Sequence[str], indent: str = ""
    ) -> None:
        """Append a call, and the assignment of its results."""
        begin = f"{', '.join(targets)} = " if targets else ""
        self._listed(f"{indent}{begin}{function}(", arguments, indent)

    def tuple(self, begin: str, items: Sequence[str]) -> None:
        """Append a statement that ends in a tuple."""
        self._listed(f"{begin}(", items, "", "," * (len(items) == 1))

    def _listed(self, begin: str, items: Sequence[str], indent: str, comma: str = "") -> None:
        """Append what stands in parentheses, on several lines if it is long."""
        inside = ", ".join(items) + comma
        if len(begin) + len(inside) < WIDTH:
            self.lines.append(f"{begin}{inside})")
            return
        self.lines.append(begin)
        line = pad = f"{indent}    "
        for item in items:
            if line != pad and len(line) + len(item) >= WIDTH:
                self.lines.append(line.rstrip())
                line = pad
            line += f"{item}, "
        self.lines += [line.rstrip(), f"{indent})"]

    def source(self, name: str, arguments: Iterable[str]) -> str:
        """Return the source of the function."""
        body = "\n".join(f"    {line}".rstrip() for line in self.lines)
        return f"def {name}({', '.join(arguments)}):\n{body}\n"

    def function(self, name: str, arguments: Iterable[str]) -> Any:
        """Return the function."""
        exec(compile(self.source(name, arguments), f"<tapegrad {name}>", "exec"), self.space)
        return self.space[name]


def line_of(where: Location | str) -> str:
    """Return a line of the user's without the folders: ``model.py:12``."""
    return PurePath(str(where)).name


def lines_of(entries: Iterable[Node]) -> str:
    """Return the user's lines that entries come from: ``model.py:12, 14``."""
    found: dict[str, set[int]] = {}
    for entry in entries:
        if entry.where is not None:
            file, _, line = line_of(entry.where).rpartition(":")
            found.setdefault(file, set()).add(int(line))
    return "; ".join(f"{file}:{', '.join(map(str, sorted(of)))}" for file, of in found.items())


def operations_of(entries: Iterable[Node], most: int = 8) -> str:
    """Return the names of what entries do, each once."""
    names = list(dict.fromkeys(entry.primitive.name for entry in entries))
    return ", ".join([*names[:most], *["..."] * (len(names) > most)])


def shortened(value: Any, most: int = 60) -> str:
    """Return how an object is written, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
