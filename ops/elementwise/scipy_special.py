"""SciPy's special functions, for programs that have imported ``scipy.special``.

tapegrad never imports SciPy. When a function of SciPy's meets a tensor it is found here, and declared: a
ufunc as an elementwise primitive whose forward function is SciPy's own and whose derivatives stand in
the tables of ``special_rules`` and ``special_families``. What has no rule there computes all the same,
in batches and under ``jit``, and raises when it is differentiated.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import Ufunc, operand
from tapegrad.ops.elementwise import special_families, special_functions, special_rules
from tapegrad.ops.elementwise.elementwise import _both, elementwise
from tapegrad.ops.elementwise.special_rules import Rules
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.appearance import is_differentiated
from tapegrad.tape.core.primitive import Primitive, Registry, functions

__all__ = ["find_special"]

_RULES = {**special_rules.RULES, **special_families.RULES}
_MODULE = "scipy.special"
_REAL = frozenset("dfgl")


def find_special(key: Any) -> Callable[..., Any] | None:
    """Register a function of ``scipy.special``, and return what tensors do for it; None for others.

    `key` is the function, or the name of a primitive that it applies.
    """
    module = sys.modules.get(_MODULE)
    if module is None:
        return None
    places = (module, getattr(module, "_ufuncs", module))
    name: Any = _name_in(key) if isinstance(key, str) else getattr(key, "__name__", None)
    if isinstance(key, str):
        key = next((getattr(p, name) for p in places if name and hasattr(p, name)), None)
    if not isinstance(name, str) or not any(key is getattr(p, name, None) for p in places):
        return None
    known = functions.get(key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    if isinstance(key, np.ufunc):
        ours = _declared(key)
    elif name in special_functions.MAKERS:
        ours = special_functions.MAKERS[name](key)
    else:  # perhaps a wrapper of a ufunc, for arrays of other libraries
        ufunc = getattr(places[1], name, None)
        ours = find_special(ufunc) if isinstance(ufunc, np.ufunc) else None
    if ours is not None:
        functions[key] = ours
    return ours


Registry.finders.append(find_special)


def _name_in(key: str) -> str:
    """Return the function's name in that of a primitive, or nothing."""
    found = re.match(r"scipy\.special\.(\w+?)(_weighted)?('|\[\d\])?$", key)
    return found[1] if found else ""


def _declared(ufunc: np.ufunc) -> Any:
    """Declare the primitives of a ufunc, if it takes and gives real numbers."""
    if not any(_REAL.issuperset(t.replace("->", "")) for t in ufunc.types):
        return None
    unknown = (None,) * ufunc.nin
    if ufunc.nout == 1:
        return _Special(_primitive(ufunc, _RULES.get(ufunc.__name__, unknown)))
    rules = special_families.COMPONENTS.get(ufunc.__name__, (unknown,) * ufunc.nout)
    return _Several(ufunc, tuple(_primitive(ufunc, r, result=i) for i, r in enumerate(rules)))


def _primitive(ufunc: np.ufunc, rules: Rules, result: int | None = None) -> Primitive:
    """Declare a ufunc, or one of its results."""
    name = f"{_MODULE}.{ufunc.__name__}"
    forward: Any = ufunc
    if result is not None:
        name, forward = f"{name}[{result}]", _Result(ufunc, result)
    return elementwise(
        name,
        ufunc,
        rules,
        None,
        forward=forward,
        takes_complex=ufunc.__name__ in special_rules.COMPLEX,
        source=lambda args, params: f"primitives[{name!r}].forward({', '.join(args)})",
    )


class _Result:
    """One of the results of a ufunc."""

    __slots__ = ("index", "ufunc")

    def __init__(self, ufunc: np.ufunc, index: int) -> None:
        self.ufunc = ufunc
        self.index = index

    def __call__(self, *args: Any) -> Any:
        return self.ufunc(*args)[self.index]


class _Special(Ufunc):
    """What tensors do for a ufunc of SciPy's with one result."""

    __slots__ = ()

    def __init__(self, primitive: Primitive) -> None:
        super().__init__(primitive, "")
        self.__module__ = _MODULE
        self.__doc__ = self.ufunc.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _check(self.ufunc, self.primitive, args)
        return super().__call__(*args, **kwargs)


class _Several:
    """What tensors do for a ufunc of SciPy's with several results."""

    __slots__ = ("primitives", "ufunc")

    def __init__(self, ufunc: np.ufunc, primitives: tuple[Primitive, ...]) -> None:
        self.ufunc = ufunc
        self.primitives = primitives

    def __call__(self, *args: Any, out: Any = None) -> tuple[Any, ...]:
        if len(args) != self.ufunc.nin:
            raise TypeError(f"{self.ufunc.__name__}() takes {self.ufunc.nin} arguments")
        for primitive in self.primitives:
            _check(self.ufunc, primitive, args)
        args = tuple(operand(a) for a in args)
        results = tuple(apply(primitive, args) for primitive in self.primitives)
        return _both(results, out, self.ufunc.__name__)


def _check(ufunc: np.ufunc, primitive: Primitive, args: tuple[Any, ...]) -> None:
    """Refuse to lose a derivative for which there is no rule."""
    if ufunc.__name__ in special_rules.CONSTANT:
        return
    for i, a in enumerate(args):
        if not primitive.differentiable_in(i) and is_differentiated(a):
            which = "" if ufunc.nin == 1 else f" by its {_ORDINALS[i]} argument"
            raise TypeError(
                f"tapegrad knows no derivative of {_MODULE}.{ufunc.__name__}{which}; if none is meant, "
                "pass values without a graph"
            )


_ORDINALS = ("first", "second", "third", "fourth", "fifth")
