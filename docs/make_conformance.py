"""Write docs/conformance.md: for each documented name, whether it is there and how it compares.

``documented_names.txt`` lists the names, their documented parameters, and a verdict. This script
imports the package, finds every name, and compares the parameters with the documented ones: order,
kinds and defaults. ``python docs/make_conformance.py`` writes the page; a test keeps it up to date.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
VERDICTS = ("same", "better", "differs")

HEAD = """# Documented names

What the documentation of MyGrad 2.2 and the pages about norms and clipping name, below `tapegrad`.
*Same*: as documented. *Better*: as documented, and more. *Differs*: on purpose, with the reason.
*Missing*: not there yet. Written by `docs/make_conformance.py`, which finds each name in the package
and compares the documented parameters with those of the function.
"""


class Row(NamedTuple):
    """A documented name."""

    section: str
    name: str
    parameters: str | None
    verdict: str
    note: str


def rows() -> Iterator[Row]:
    """Read the list of names."""
    section = ""
    for line in (HERE / "documented_names.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line and not line.startswith("#"):
            what, verdict, note = [*(part.strip() for part in line.split(" | ")), ""][:3]
            if verdict not in VERDICTS:
                raise ValueError(f"verdict {verdict!r} of {what!r} is none of {VERDICTS}")
            names, bracket, parameters = what.partition("(")
            for name in names.split(", "):
                yield Row(
                    section, name, parameters.removesuffix(")") if bracket else None, verdict, note
                )


def find(name: str) -> Any:
    """Return what the package has under a documented name; AttributeError if nothing."""
    value: Any = importlib.import_module("tapegrad")
    place = "tapegrad"
    for part in name.split("."):
        place = f"{place}.{part}"
        if not hasattr(value, part) and inspect.ismodule(value):
            try:
                importlib.import_module(place)
            except ImportError as error:
                raise AttributeError(place) from error
        value = getattr(value, part)
    return value


def mismatch(value: Any, parameters: str) -> str:
    """Say how the parameters of a function miss the documented ones; empty if they do not."""
    documented = inspect.signature(eval(f"lambda {parameters}: None", {"np": np})).parameters
    ours = dict(inspect.signature(value).parameters)
    ours.pop("self", None)
    anything = any(p.kind is p.VAR_KEYWORD for p in ours.values())
    positional = [
        n for n, p in ours.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    wanted = [n for n, p in documented.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if positional[: len(wanted)] != wanted:
        return f"takes ({', '.join(positional)}), documented ({', '.join(wanted)})"
    for name, parameter in documented.items():
        own = ours.get(name)
        if own is None:
            if not anything and parameter.kind is not parameter.VAR_POSITIONAL:
                return f"has no parameter {name}"
        elif parameter.kind is parameter.KEYWORD_ONLY and own.kind is not own.KEYWORD_ONLY:
            return f"takes {name} by position, documented as a keyword"
        elif parameter.default is not parameter.empty and own.default != parameter.default:
            return f"{name}={own.default!r}, documented {parameter.default!r}"
    return ""


def state(row: Row) -> tuple[str, str]:
    """Return the verdict on a name and the remark about it."""
    try:
        value = find(row.name)
    except AttributeError:
        return "missing", "not there yet"
    wrong = mismatch(value, row.parameters) if row.parameters is not None else ""
    return ("differs", wrong) if wrong else (row.verdict, row.note)


def page() -> str:
    """Return the text of the page."""
    lines, section = [HEAD], ""
    counts: dict[str, int] = {}
    for row in rows():
        verdict, note = state(row)
        counts[verdict] = counts.get(verdict, 0) + 1
        if row.section != section:
            section = row.section
            lines += ["", f"## {section}", "", "| name | verdict | remark |", "|---|---|---|"]
        lines.append(f"| `{row.name}` | {verdict} | {note} |")
    total = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    lines[0] += f"\n{sum(counts.values())} names: {total}."
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    (HERE / "conformance.md").write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
