"""Functions that Numba has compiled: their Python function, where one is needed.

Numba is not imported here: whoever has functions of its has imported it.
"""

from __future__ import annotations

import sys
from types import CellType, FunctionType
from typing import Any

from tapegrad.tape.core.errors import TracedArrayError
from tapegrad.tape.core.location import user_location

__all__ = ["is_compiled", "written_function"]


def is_compiled(value: Any) -> bool:
    """Whether `value` is a function that ``numba.njit`` or its kin have made."""
    module = sys.modules.get("numba.core.dispatcher")
    return module is not None and isinstance(value, module.Dispatcher)


def written_function(compiled: Any) -> FunctionType:
    """Return the Python function of a compiled one, with the outer values that Numba has frozen.

    Raises
    ------
    TracedArrayError
        If it draws random numbers: Numba has generators of its own, and they would not be drawn there.
    """
    function: FunctionType = compiled.py_func
    if "random" in function.__code__.co_names:
        raise TracedArrayError(
            f"{function.__name__} is compiled by Numba and draws random numbers, from generators that "
            f"only compiled code has, at {user_location()}. Draw them outside, and pass them to it."
        )
    frozen = _frozen(compiled)
    if not frozen:
        return function
    cells = tuple(
        CellType(frozen[name]) if name in frozen else cell
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ())
    )
    return FunctionType(
        function.__code__,
        {**function.__globals__, **frozen},
        function.__name__,
        function.__defaults__,
        cells or None,
    )


def _frozen(compiled: Any) -> dict[str, Any]:
    """Return the values of globals and outer variables as they were when Numba compiled."""
    found: dict[str, Any] = {}
    for result in compiled.overloads.values():
        # What was compiled by another process has no annotation.
        blocks = getattr(getattr(result, "type_annotation", None), "blocks", {})
        for block in blocks.values():
            for statement in block.body:
                source: Any = getattr(statement, "value", None)
                if type(source).__name__ in ("Global", "FreeVar"):
                    found[source.name] = source.value
    return found
