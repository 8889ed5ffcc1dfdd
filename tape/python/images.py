"""Images of functions: the same function, whose code asks the gate.

An image has the user's own globals, cells, defaults and names; only its code is another, made once for
each code object and level. What is made is kept as long as the user's code object lives.
"""

from __future__ import annotations

import weakref
from functools import partial
from types import CodeType, FunctionType

from tapegrad.tape.python.bytecode import VERSION
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.rewriting import Level, with_gates

__all__ = ["NEVER", "Images", "original"]

#: Packages whose functions run as they are: they compile or debug, or gates know them by themselves.
NEVER = frozenset(("numpy", "tapegrad", "numba", "llvmlite", "pdb", "bdb"))
#: Modules of these that are written like users' code, with loops that ``jit`` is to see.
_POLYNOMIALS = "_polybase chebyshev hermite hermite_e laguerre legendre polynomial polyutils"
READ = frozenset(
    ["tapegrad.integration", *(f"numpy.polynomial.{name}" for name in _POLYNOMIALS.split())]
)
_KNOWN = ((3, 11), (3, 12), (3, 13))
_ASYNCHRONOUS = 0x80 | 0x100 | 0x200  # flags of coroutines and asynchronous generators
#: By the identity of an image's code: weak references to the user's code, and to its own.
_originals: dict[int, tuple[weakref.ref[CodeType], weakref.ref[CodeType]]] = {}


def original(code: CodeType) -> CodeType:
    """Return the user's code of an image's code; `code` itself if it is the user's."""
    known = _originals.get(id(code))
    return code if known is None else known[0]() or code


class Images:
    """The images of one level.

    Parameters
    ----------
    level
        Which instructions ask the gate.
    never
        Packages whose functions run as they are.

    Attributes
    ----------
    own : set
        Functions of tensors that were seen to run as they are.
    """

    def __init__(self, level: Level, never: frozenset[str] = NEVER) -> None:
        self.level = level
        self.never = never
        self.own: set[FunctionType] = set()
        self._codes: dict[int, CodeType | None] = {}
        self._alive: dict[int, weakref.ref[CodeType]] = {}

    def image(self, function: FunctionType) -> FunctionType:
        """Return the image of `function`; the function itself if it runs as it is."""
        code = function.__code__
        try:
            gated = self._codes[id(code)]
        except KeyError:
            gated = self._make(function)
        if gated is None:
            return function
        image = FunctionType(
            gated,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        if function.__kwdefaults__ is not None:
            image.__kwdefaults__ = function.__kwdefaults__
        return image

    def never_reads(self, function: FunctionType) -> bool:
        """Whether a function is of a package whose functions run as they are."""
        name = str(function.__globals__.get("__name__"))
        return name.partition(".")[0] in self.never and name not in READ

    def reason(self, function: FunctionType) -> str | None:
        """Say why `function` runs as it is; None if it has an image."""
        made = self._gated(function, original(function.__code__))
        return made if isinstance(made, str) else None

    def _make(self, function: FunctionType) -> CodeType | None:
        code = function.__code__
        known = _originals.get(id(code))
        if known is None:
            return self._made(function, code)
        # An image of this level stays what it is, as does one that outlived the user's code; one of
        # another level is made anew.
        user = known[0]()
        image = None if user is None else self._codes.get(id(user)) or self._made(function, user)
        return None if image is code else image

    def _made(self, function: FunctionType, code: CodeType) -> CodeType | None:
        made = self._gated(function, code)
        gated = None if isinstance(made, str) else made
        self._codes[id(code)] = gated
        self._alive[id(code)] = weakref.ref(code, partial(self._forget, id(code)))
        if gated is not None:
            forget = partial(_originals.pop, id(gated))
            _originals[id(gated)] = weakref.ref(code), weakref.ref(gated, forget)
        return gated

    def _forget(self, key: int, _: object) -> None:
        self._codes.pop(key, None)
        self._alive.pop(key, None)

    def _gated(self, function: FunctionType, code: CodeType) -> CodeType | str:
        """Return the code of the image, or why there is none."""
        if VERSION not in _KNOWN:
            return "the byte code of Python {}.{} is not known".format(*VERSION)
        if self.never_reads(function):
            return f"functions of {function.__module__} are not read"
        if code.co_flags & _ASYNCHRONOUS:
            return "asynchronous functions run as they are"
        try:
            return with_gates(code, self.level, current)
        except Exception as error:
            return f"its byte code was not written by this Python's compiler ({error!r})"
