"""NumPy's protocols: how ``np.sin(tensor)`` and ``np.sum(tensor)`` find what tensors do for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.tape.array.foreign import KNOWN, answer_of_another, holds_tensors
from tapegrad.tape.core.primitive import direct, functions

__all__ = ["NumPyProtocols"]


class NumPyProtocols:
    """The part of a tensor that NumPy calls."""

    __slots__ = ()

    if TYPE_CHECKING:  # what Tensor brings
        _trace: Any
        _base: Any

        def freshen(self) -> None: ...

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not kwargs and method == "__call__":
            primitive = direct.get(ufunc)
            if primitive is not None:
                if self._base is not None:
                    self.freshen()
                trace = self._trace
                if not trace.level:
                    return primitive.record(inputs)
                if not trace.closed:
                    return trace.process(primitive, inputs, {})
        function = functions.find(ufunc)
        if function is None:
            method_of = getattr(ufunc, method)
            return self._foreign(_name_of(ufunc), method_of, inputs, kwargs)
        if method == "__call__":
            last = inputs[-1]  # one before this was asked before
            if type(last) not in KNOWN and type(last) is not type(self) and not kwargs:
                answer = answer_of_another(last, ufunc, inputs)
                if answer is not NotImplemented:
                    return answer
            return function(*inputs, **kwargs)
        applied = getattr(function, method, None)
        if applied is None:
            name = f"{_name_of(ufunc)}.{method}"
            return self._foreign(name, getattr(ufunc, method), inputs, kwargs)
        return applied(*inputs, **kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if len(types) > 1 and any(map(holds_tensors, types)):
            return NotImplemented
        implementation = functions.find(function)
        if implementation is None:
            module = getattr(function, "__module__", "numpy")
            name = f"{module}.{function.__name__}"
            if name.partition(".")[0] != "numpy":
                return NotImplemented
            return self._foreign(name, function, args, kwargs)
        return implementation(*args, **kwargs)

    def _foreign(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """Apply a NumPy function that is not registered."""
        return self._trace.appearance.apply_foreign(self, name, function, args, kwargs)


def _name_of(ufunc: np.ufunc) -> str:
    """Return a ufunc's name; those that are not NumPy's do not tell where they are from."""
    name = ufunc.__name__
    made, _, vectorized = name.rpartition(" (")
    if vectorized == "vectorized)":
        return f"np.frompyfunc({made}), unlike np.vectorize,"
    return f"numpy.{name}" if getattr(np, name, None) is ufunc else f"the ufunc {name}"
