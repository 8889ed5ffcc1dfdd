"""What a recorded function may call: what only computes, and asks nothing that a gate does not see.

Functions of C's are looked up in the tables of :mod:`~tapegrad.tape.python.purity`. Objects that answer
code of C's by code of their own are kept from it (:mod:`~tapegrad.tape.python.speaking`).
"""

from __future__ import annotations

import abc
import sys
from functools import partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    GeneratorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np

from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.replacements import Replacement, replacement_of
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.python import calls, special
from tapegrad.tape.python.checks import CONTAINERS, shown
from tapegrad.tape.python.known_code import is_library, is_ours
from tapegrad.tape.python.operators import words
from tapegrad.tape.python.places import Place
from tapegrad.tape.python.purity import (
    CHANGING,
    COMPUTING,
    IMMUTABLE,
    PURE,
    READING,
    SEEDED,
    TYPES,
    WITHOUT_EFFECT,
)
from tapegrad.tape.python.reads import CHANGES, DISPATCHED, RANDOM, Reads
from tapegrad.tape.python.speaking import DEAF

__all__ = ["Permissions", "is_code", "is_in", "module_of", "runs_unseen"]

_Arguments = tuple[Any, ...]
_READING_METHODS = words(
    "__abs__ __add__ __and__ __bool__ __contains__ __eq__ __float__ __floordiv__ "
    "__format__ __ge__ __gt__ __hash__ __index__ __int__ __iter__ __le__ __len__ __lt__ "
    "__matmul__ __mod__ __mul__ __ne__ __neg__ __or__ __pos__ __pow__ __radd__ __repr__ "
    "__rmul__ __rsub__ __rtruediv__ __str__ __sub__ __truediv__ __xor__"
)
#: Methods of classes of C's that make an instance of their arguments alone.
_MAKERS = words("__new__ combine from_bytes fromhex fromisoformat fromkeys maketrans")
#: Methods of arrays that talk to the world.
_SPEAKING = words("dump dumps tofile setflags")
#: Methods of containers that ask nothing of what they are given.
_DEAF_METHODS = words(
    "append appendleft insert extend pop popleft popitem clear reverse copy get items keys values "
    "update setdefault fromkeys __init__ __setitem__ __iter__ __next__ __len__ send throw close "
    "__new__ __get__"
)
#: Functions of which only the keys are compared if there is a key.
_KEYED = (sorted, min, max)
#: What answers for abstract classes that leave it to the registry.
_HOOK = vars(object)["__subclasshook__"]
_QUIET = frozenset(("ignore", "warn"))
_EXAMPLES: tuple[Any, ...] = (
    iter([]), iter(()), iter({}), iter(set()), iter(""), iter(range(0)), iter({}.items()),
    iter({}.values()), reversed([]), enumerate(()), zip(), map(abs, ()), filter(None, ()), iter(b""),
    np.nditer(np.zeros(1)), np.zeros(1).flat, {}.keys(), {}.values(), {}.items(),
)  # fmt: skip
_ITERATORS = tuple(map(type, _EXAMPLES))


class Permissions(Reads):
    """The part of a recorder that ends it where nobody knows what a function does."""

    def _permit(self, function: Any, args: _Arguments, kwargs: dict[str, Any]) -> None:
        """Abandon the recording if nobody knows what a function does."""
        kind = type(function)
        if (function is isinstance or function is issubclass) and len(args) == 2:
            cls = type(args[0]) if function is isinstance else args[0]
            if is_class(cls) and special.in_python(cls) and not is_ours(cls):
                self.ledger.order(cls)
            self._ask_kinds(cls, args[1])
        if function is np.errstate and not _QUIET.issuperset(map(_text, kwargs.values())):
            self.ledger.abandon("it asks NumPy for more than warnings")
        if (
            is_in(function, SEEDED)
            and args
            and (type(args[0]) is int or id(args[0]) in self.ledger.drawing)
        ):
            return
        if kind is np.ufunc:
            if not _is_written_in_c(function):
                self.ledger.abandon(f"it calls the ufunc {function.__name__}")
            return
        if kind is DISPATCHED and function in WITHOUT_EFFECT:
            return
        if isinstance(function, type):
            if function in TYPES or issubclass(function, BaseException):
                return
            if special.in_python(function) and not is_library(function):
                new = special.lookup(function, "__new__")
                made = getattr(new, "__self__", None)
                if type(new) is staticmethod or made in TYPES:
                    return
            if is_ours(function):
                return
            self.ledger.abandon(f"it makes an object of type {function.__name__}")
        if kind is FunctionType or special.in_python(kind):
            if is_ours(function) or replacement_of(function) is not None or is_in(function, PURE):
                return
        elif kind is BuiltinFunctionType or kind is MethodWrapperType or kind is DISPATCHED:
            owner = getattr(function, "__self__", None)
            if isinstance(owner, type) and function.__name__ in _MAKERS:
                return
            if isinstance(owner, Tensor) or is_in(function, PURE):
                return
            if module_of(function) in COMPUTING and type(functions.find(function)) is Replacement:
                return
        elif not callable(function):
            return
        name = getattr(function, "__qualname__", None) or kind.__qualname__
        module = getattr(function, "__module__", None)
        named = name if module in (None, "builtins") else f"{module}.{name}"
        self.ledger.abandon(f"it calls {named}, which a plan would not do anew")

    def _ask_kinds(self, cls: Any, kinds: Any) -> None:
        """Note what ``isinstance`` asks of a class, and of the `kinds` that answer for themselves."""
        for kind in kinds if type(kinds) is tuple else getattr(kinds, "__args__", (kinds,)):
            check = special.written(type(kind), "__instancecheck__")
            if type(kind) is tuple:
                self._ask_kinds(cls, kind)
            elif special.is_a(kind, abc.ABCMeta):
                place = Place.constant(abc.get_cache_token, "the registry of abstract classes")
                self.ledger.check(place.called((), {}), "shown", shown(abc.get_cache_token()))
                if not (is_class(cls) and special.in_python(cls)):
                    continue
                hook = special.lookup(kind, "__subclasshook__")
                if is_library(kind):
                    for name in kind.__abstractmethods__:
                        self.ledger.of_class(cls, name)
                elif check is not abc.ABCMeta.__instancecheck__ or hook is not _HOOK:
                    self.ledger.abandon("it asks a class that answers isinstance by code")
            elif check is not None:
                self.ledger.abandon("it asks a class that answers isinstance by code")

    def _ask_bases(self, bases: Any, metaclass: Any) -> None:
        """Note what making a class calls from C; abandon the recording if that is the user's."""
        for base in bases:
            hook = self.ledger.of_class(base, "__init_subclass__") if is_class(base) else None
            if runs_unseen(hook):
                self.ledger.abandon("a class that it makes calls __init_subclass__")
        for kind in {metaclass, *map(type, bases)}:
            if is_class(kind) and special.in_python(kind):
                for name in ("__prepare__", "__new__", "__init__"):
                    if runs_unseen(self.ledger.of_class(kind, name)):
                        self.ledger.abandon(f"a class that it makes calls {name} of its metaclass")

    def _method(self, method: Any, owner: Any, args: _Arguments) -> Any:
        """Return what to call for a method of an object of C's, or abandon the recording."""
        name, kind = method.__name__, type(owner)
        place = self.ledger.place_of(owner)
        if isinstance(owner, np.ndarray):
            if name in _SPEAKING:
                self.ledger.abandon(f"it calls {name} of an array")
            return method
        known = next((k for k in kind.__mro__ if k in READING), None)
        if known is not None:
            if name in READING[known] or name in _READING_METHODS:
                whole = self.ledger.whole(owner) if kind in CONTAINERS else owner
                if place is not None and kind not in CONTAINERS:
                    self.ledger.abandon(f"it reads {place}, an object of type {kind.__name__}")
                return method if whole is owner else getattr(whole, name)
            if name in CHANGING.get(known, ()) or name in (
                "__init__",
                "__setitem__",
                "__delitem__",
            ):
                if place is not None:
                    self.ledger.abandon(f"{CHANGES} ({place}, by {name})")
                return method
        if isinstance(owner, RANDOM):
            if id(owner) in self.ledger.drawing:
                return method
            self.ledger.abandon("it draws random numbers, which a plan would not draw anew")
        if isinstance(owner, IMMUTABLE) or (name == "__init__" and place is None):
            return method
        if kind is FunctionType and name == "__get__":
            return method
        if isinstance(owner, (GeneratorType, *_ITERATORS)) and place is None:
            return method
        if place is None and kind in CHANGING and name in CHANGING[kind]:
            return method
        if place is None and isinstance(owner, (property, BaseException, super)):
            return method
        if special.in_python(kind) and name in ("__eq__", "__ne__", "__hash__"):
            self.ledger.identity(owner)
            return method
        return self.ledger.abandon(f"it calls {name} of an object of type {kind.__name__}")

    def _is_deaf(self, function: Any, owner: Any, args: _Arguments, kwargs: dict[str, Any]) -> bool:
        """Whether a function of C's asks nothing of the objects that it is given."""
        if is_in(function, DEAF) or (isinstance(function, type) and special.in_python(function)):
            return True  # what makes an instance of a user's class is read
        if any(function is f for f in _KEYED) and kwargs.get("key") is not None:
            return True
        name = getattr(function, "__name__", "")
        if owner is None or isinstance(owner, (ModuleType, type)) or name not in _DEAF_METHODS:
            return False
        keyed = type(owner) in (dict, set) and args and self.ledger.speaks(args[0])
        return not keyed and isinstance(owner, (*READING, *_ITERATORS, GeneratorType, FunctionType))

    def _silent(self, function: Any, position: int, value: Any) -> Any:
        """Return a value that code of C's may ask; elements that come one by one are looked at then."""
        if isinstance(value, (GeneratorType, *_ITERATORS)) and not isinstance(value, np.nditer):
            elements: Any = value
            return map(partial(self._silent, function, 1), elements)
        kind = type(value)
        seen = position == 0 and calls.is_shown(function) and kind not in CONTAINERS
        code = is_code(value) and module_of(function) in (
            "numpy",
            "builtins",
            "functools",
            "itertools",
        )
        if not seen and not code and self.ledger.speaks(value):
            self.ledger.abandon(f"{function.__name__} gets an object that answers by code")
        numpys = isinstance(function, (np.ufunc, DISPATCHED)) or module_of(function) == "numpy"
        known = code or isinstance(value, (type, tuple, Tensor)) or is_ours(kind)
        if numpys and not known and special.in_python(kind):
            self.ledger.abandon(f"NumPy gets an object of type {kind.__name__}")
        return value

    def _ask_identity(self, args: _Arguments) -> None:
        """``id`` and ``hash`` make numbers of which object something is."""
        for value in args:
            if isinstance(value, Tensor) and stands_for(value) is np.ndarray:
                self.ledger.abandon("it asks for the identity of an array")
            if special.written(type(value), "__hash__") is None:
                self.ledger.identity(value)


def is_in(function: Any, table: frozenset[Any]) -> bool:
    """Whether a table has a function, which may refuse to be hashed."""
    try:
        return function in table
    except TypeError:
        return False


def runs_unseen(method: Any) -> bool:
    """Whether a special method is a user's code, which C's code calls as it is."""
    function = getattr(method, "__func__", method)
    return type(function) is FunctionType and module_of(function) not in sys.stdlib_module_names


def is_class(value: Any) -> bool:
    """Whether a value is a class, whatever it says of itself."""
    return special.is_a(value, type)


def module_of(function: Any) -> str:
    """Return the package that a function says it is from."""
    return str(getattr(function, "__module__", "")).partition(".")[0]


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _is_written_in_c(ufunc: np.ufunc) -> bool:
    """Whether a ufunc is one of NumPy's or SciPy's: others may run code of the user's."""
    homes = (np, sys.modules.get("scipy.special"))
    return any(getattr(home, ufunc.__name__, None) is ufunc for home in homes)


def is_code(value: Any) -> bool:
    """Whether a value runs code of the user's when it is called, and is no class."""
    kind = type(value)
    if kind in (FunctionType, MethodType, partial, np.vectorize):
        return True
    called = special.in_python(kind) and not isinstance(value, type)
    return called and special.written(kind, "__call__") is not None
