"""What the code of a function can read and write, found in its instructions.

Only names are known before the code runs; ``capture`` looks up what they lead to.
"""

from __future__ import annotations

import dis
import functools
import types
from dataclasses import dataclass
from typing import Any

__all__ = ["Facts", "facts_of"]

_READS_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_READS_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"})
_WRITES = frozenset({"STORE_ATTR", "DELETE_ATTR", "STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"})
_MUTATORS = frozenset({
    "__setattr__", "__setitem__", "add", "append", "appendleft", "clear", "discard", "extend",
    "extendleft", "fill", "insert", "partition", "pop", "popitem", "popleft", "put", "remove",
    "resize", "reverse", "rotate", "setdefault", "sort", "update",
})  # fmt: skip
#: Built-in functions with which code reads attributes whose names it makes up.
_REFLECTION = frozenset({"getattr", "hasattr", "setattr", "delattr", "vars", "dir"})
#: Built-in functions that reach what no name in the code tells.
_HIDING = frozenset({"eval", "exec", "globals", "compile", "__import__"})


@dataclass(slots=True, frozen=True)
class Facts:
    """What code, with the code nested in it, names.

    Attributes
    ----------
    globals, attributes, modules : frozenset of str
        Names that it reads or assigns, and modules that it imports.
    assigned : frozenset of str
        Names that it assigns as variables of enclosing functions.
    assigns_globals : bool
    writes : bool
        Whether it may change a container or an attribute.
    reflects : bool
        Whether it may read attributes whose names are not in the code.
    hides : str
        With what it may read anything, or see that a value is traced; or nothing.
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    modules: frozenset[str]
    assigned: frozenset[str]
    assigns_globals: bool
    writes: bool
    reflects: bool
    hides: str


@functools.lru_cache(maxsize=4096)
def facts_of(code: types.CodeType) -> Facts:
    """Return the facts of a code object.

    Examples
    --------
    >>> sorted(facts_of((lambda x: limit * x.size).__code__).globals)
    ['limit']
    """
    found: dict[str, set[str]] = {k: set() for k in ("global", "attribute", "module", "assigned")}
    assigns_globals = writes = False
    hides = ""
    inner = [facts_of(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name in _READS_GLOBAL:
            found["global"].add(value)
        elif name in _READS_ATTRIBUTE:
            found["attribute"].add(value)
        elif name == "IMPORT_NAME":
            found["module"].add(value)
        elif name in ("STORE_DEREF", "DELETE_DEREF"):
            found["assigned"].add(value)
        elif name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            assigns_globals = True
            found["global"].add(value)
        elif name == "MATCH_CLASS":
            hides = "the class of a value, in a match statement"
        elif name in _WRITES:
            writes = True
            if name.endswith("_ATTR"):
                found["attribute"].add(value)
    names = found["global"] | found["attribute"]
    if names & _REFLECTION:
        found["attribute"] |= {c for c in code.co_consts if type(c) is str and c.isidentifier()}

    def union(key: str, field: str) -> frozenset[str]:
        return frozenset(found[key]).union(*(getattr(f, field) for f in inner))

    def some(own: Any, field: str) -> Any:
        return next((v for v in (own, *(getattr(f, field) for f in inner)) if v), own)

    return Facts(
        globals=union("global", "globals"),
        attributes=union("attribute", "attributes"),
        modules=union("module", "modules"),
        assigned=union("assigned", "assigned"),
        assigns_globals=some(assigns_globals, "assigns_globals"),
        writes=some(writes or bool(names & _MUTATORS), "writes"),
        reflects=some(bool(names & _REFLECTION) or "__dict__" in names, "reflects"),
        hides=some(hides or next((f"{n}()" for n in found["global"] & _HIDING), ""), "hides"),
    )
