"""Functions that are written out when they are first needed, and can be read like others."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from typing import Any

__all__ = ["define"]


def define(name: str, title: str, source: str, space: Mapping[str, Any]) -> Any:
    """Return the function `name` that a source defines; tracebacks and debuggers show its lines.

    Parameters
    ----------
    name : str
    title : str
        Stands for the name of a file.
    source : str
    space : mapping
        What the names in it stand for.
    """
    file = f"<{title}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    inside = dict(space)
    exec(compile(source, file, "exec"), inside)
    return inside[name]
