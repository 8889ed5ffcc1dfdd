"""Primitives: what can be recorded, and everything that the system knows about it.

A primitive is declared once. Its slots are read by the reverse sweep (``vjps``), by forward mode
(``jvp``), by ``vmap`` (``batch``) and by the compiler (``kernel``, ``reduction``); the families in
``tapegrad.ops`` fill most of them. The registry ``functions`` maps NumPy's own function objects to the
functions that apply primitives: ``Tensor`` and NumPy's protocols look them up there. What an application
does in a graph is a function that is generated for each primitive when it is first needed, and kept in
it: ``record`` (by ``tape.array.recorder``), ``link`` (``tape.array.linker``), ``pull_back``
(``tape.core.pullback``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from importlib import import_module
from itertools import chain, repeat
from typing import Any, ClassVar

import numpy as np

from tapegrad.tape.core.dependence import OF_FAMILY, Dependence, dense
from tapegrad.tape.core.residuals import uses_of
from tapegrad.tape.core.slots import Kept, Recurrence, Reduction

__all__ = [
    "Primitive",
    "Registry",
    "Shaped",
    "direct",
    "functions",
    "implements",
    "primitives",
    "shaped",
]

Rule = Callable[..., Any]

_ANY_NUMBER = 1_000_000
#: Families whose rules do not compute with the numbers.
_ANY_FIELD = frozenset({"structural", "control"})


class Registry(dict[Any, Any]):
    """A table that some families add to only when something is missed in it.

    Attributes
    ----------
    waiting : sequence of str
        The modules that declare these families, for all registries together.
    finders : list of callable
        Asked about keys that no family declares: they register what they know of it.
    """

    __slots__ = ()
    waiting: ClassVar[Sequence[str]] = ()
    finders: ClassVar[list[Callable[[Any], Any]]] = []

    def find(self, key: Any) -> Any:
        """Return what is registered, or None; families are loaded until one of them declares it."""
        found = self.get(key)
        while found is None and self.waiting:
            self._load(self.waiting[0])
            found = self.get(key)
        for finder in self.finders if found is None else ():
            finder(key)
            found = self.get(key)
            if found is not None:
                break
        return found

    def complete(self) -> Registry:
        """Load all families; for code that walks a registry."""
        while self.waiting:
            self._load(self.waiting[0])
        return self

    @staticmethod
    def _load(module: str) -> None:
        """Load a family; it waits until it is there, for other threads wait for it, too."""
        import_module(module)
        Registry.waiting = tuple(m for m in Registry.waiting if m != module)

    def __missing__(self, key: Any) -> Any:
        found = self.find(key)
        if found is None:
            raise KeyError(key)
        return found


#: Every primitive by name; the registry test and the table in the documentation walk it.
primitives: Registry = Registry()

#: NumPy function (or ``operator`` function) -> the function that applies our primitives for it. What
#: NumPy has no function for goes by a text: ``@implements("cast")`` decorates ``functions["cast"]``.
functions: Registry = Registry()

#: Ufuncs that are one primitive, whatever their operands: what tensors apply without detours. The
#: declarations of ufuncs fill it.
direct: dict[np.ufunc, Primitive] = {}


class Shaped:
    """What a rule gets in place of a residual of which it reads only shape and dtype."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __repr__(self) -> str:
        return f"Shaped({self.shape}, {self.dtype})"


class Primitive:
    """An operation with rules.

    Parameters
    ----------
    name : str
        Unique name, as printed on a tape.
    forward : callable
        ``forward(*arrays, **params)`` on plain NumPy values; returns an array or a NumPy scalar, or
        with `multiple` a tuple of these.
    vjps : tuple of rules or None, optional
        One rule per positional argument, ``rule(g, y, *args, **params)``, in plain NumPy; ``None``
        for an argument that has no derivative. The cotangent may still be broadcast and of another
        dtype: the sweep sums and casts it. Without `vjps` and `vjp` the primitive is
        not differentiable.
    vjp : rule, optional
        For a variable number of arguments: ``vjp(g, y, *args, index, **params)``.
    pull_all : rule, optional
        In place of `vjp`: ``pull_all(g, y, *args, **params)`` returns the cotangents of all arguments
        together, with ``None`` for those that have none.
    jvp : str or callable, optional
        ``"elementwise"`` (the partial derivatives in `vjps` serve both ways), ``"linear"`` (in all
        differentiable arguments together), ``"multilinear"`` (in each of them), or
        ``jvp(tangents, y, *args, **params)`` with ``None`` for zero tangents. Left out: the vjp is
        transposed.
    multiple : bool
        Whether there are several results. Then `forward`, `batch` and `jvp` return tuples, `pull_all`
        gets for `g` an array of objects (see ``bundles``), and `batch`, and `jvp` or `joint`,
        must be there.
    joint : callable, optional
        With `multiple`: ``joint(tangents, *args, **params)`` returns the results and their tangents, for
        what would have to compute the results again to get the tangents.
    keep : callable, optional
        With `multiple`: ``keep(params, variable, imperative)`` returns a :class:`Kept`, or None.
        `variable` says of each argument whether its cotangent may be asked for, and `imperative` whether
        by the rules that are documented for ``backward()``. Where it was not asked, `pull_all` gets
        None for ``y``, and may compute what it needs once more.
    example : callable, optional
        ``example(*args, **params)`` returns what has the shapes and dtypes of the results, for what is
        not to be run on examples.
    batch : callable, optional
        ``batch(args, batched, size, params)`` applies the primitive to arguments of which those
        flagged in `batched` carry a batch axis in front, and returns the result with the batch axis
        in front. Left out: a loop.
    view : bool or str
        Whether the result may share the memory of the first argument. A text says what it shows:
        "reshaped" all elements in the same order, "repeated" what NumPy's broadcasting does.
    batch_params : callable, optional
        For views: ``batch_params(params, ndim, size)`` gives the parameters that do the same behind
        a batch axis of `size` in front; `ndim` is the number of axes of the unbatched argument.
    add_into : callable, optional
        ``add_into(buffer, g, *args, **params)`` adds the first argument's cotangent to a buffer in
        place; `args` are the saved values after the first. What picks a part saves an array of zeros
        that way.
    take_from : callable, optional
        For writes: ``take_from(g, *args, **params)`` returns the written part of a cotangent and sets
        it to zero in place: what is left is the cotangent of the first argument.
    into : callable, optional
        For what changes a part of its first argument: ``into(buffer, *args, **params)`` does so where
        that lies; `args` are the arguments after it.
    family : str
        "elementwise", "reduction", "structural", "linear", "opaque": how the compiler treats it.
    kernel : str, optional
        Scalar text of an elementwise operation in its arguments' names ``x``, ``y``, ``z``.
    reduction : Reduction or callable, optional
        How kernels compute a reduction; or ``reduction(params, dtype)``, which may return None.
    ufunc : numpy.ufunc, optional
        The ufunc behind an elementwise operation: its type resolution is the kernel's.
    saves : tuple of str
        With `vjp`: what the rule reads of ``y`` and of each argument, "value", "shape" or "none"; the
        last holds for all further arguments. By default it may read everything.
    differentiable_arguments : int
        With `vjp`: how many of the leading arguments have derivatives; all by default.
    masks : str
        "result" if the shape of the result depends on the values of boolean arguments, which say what
        takes part; "arguments" if the shapes of other arguments do.
    windows : callable, optional
        For what lays its operands side by side or over each other: ``windows(shapes, params)`` says
        where each operand of these shapes goes: None over the whole result, or for each axis of the
        result start, stop, and whether the operand has this axis. Later operands lie over earlier ones;
        what none covers is zero. It may return None, if that cannot be said.
    recurrence : Recurrence, optional
        How kernels compute what depends on the element before along the axis of the parameter ``axis``,
        or after it with ``reverse``.
    expansion : callable, optional
        ``expansion(*args, **params)``: the same result made of other functions, in plain NumPy, which
        ``jit`` writes out in its place because they fuse; it may return NotImplemented.
    imperative : Primitive, optional
        A primitive with the same forward function and residuals, whose rules ``backward()`` follows
        where other derivatives are documented for it than the transformations give.
    repeats : callable, optional
        ``repeats(params)`` says whether it does the same so often that ``jit`` compiles it before it is
        run for the first time.
    dependence : callable, optional
        ``dependence(applied, index)`` labels the elements of an argument and of the result: those with
        the same label may depend on each other (see ``tape.core.dependence``). By default as the family
        says, or everything on everything.
    source : callable, optional
        ``source(args, params) -> str``: NumPy source of one application, for printed tapes; an
        expression, or statements in which ``{out}`` stands for the result.
    call : bool
        Whether its derivatives are those of its expansion, which recordings of bodies may write out
        at once.
    takes_complex : bool, optional
        Whether its rules hold for complex numbers, too; where they do not, these are refused. By
        default what only moves elements, or runs a user's function, takes them.
    pairs : callable, optional
        ``pairs(*args, **params)``: the same of complex numbers as pairs of real and imaginary part, in
        plain NumPy, of which ``jit`` makes kernels; a real result is no pair.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        vjps: tuple[Rule | None, ...] | None = None,
        *,
        vjp: Rule | None = None,
        pull_all: Rule | None = None,
        jvp: str | Rule | None = None,
        multiple: bool = False,
        joint: Rule | None = None,
        keep: Callable[..., Kept | None] | None = None,
        example: Callable[..., Any] | None = None,
        batch: Callable[..., Any] | None = None,
        view: bool | str = False,
        batch_params: Callable[..., dict[str, Any]] | None = None,
        family: str = "opaque",
        kernel: str | None = None,
        reduction: Reduction | Callable[..., Reduction | None] | None = None,
        ufunc: np.ufunc | None = None,
        saves: tuple[str, ...] = ("value",),
        add_into: Callable[..., None] | None = None,
        take_from: Callable[..., Any] | None = None,
        into: Callable[..., None] | None = None,
        differentiable_arguments: int = _ANY_NUMBER,
        masks: str = "",
        windows: Callable[..., Any] | None = None,
        recurrence: Recurrence | None = None,
        expansion: Callable[..., Any] | None = None,
        imperative: Primitive | None = None,
        dependence: Dependence | None = None,
        repeats: Callable[[Mapping[str, Any]], bool] | None = None,
        source: Callable[..., str] | None = None,
        call: bool = False,
        takes_complex: bool | None = None,
        pairs: Callable[..., Any] | None = None,
        register: bool = True,
    ) -> None:
        self.name = name
        self.forward = forward
        self.vjps = vjps
        self.vjp = vjp if pull_all is None else self._pulled
        self.pull_all = pull_all
        self.multiple = multiple
        self.jvp = jvp
        self.joint = joint
        self.keep = keep
        self.example = example
        self.batch = batch
        self.view = bool(view)
        self.shows = view if isinstance(view, str) else ""
        self.batch_params = batch_params
        self.family = family
        self.kernel = kernel
        self.reduction = reduction
        self.ufunc = ufunc
        self.saves = saves
        self.add_into = add_into
        self.take_from = take_from
        self.into = into
        self.in_place = add_into is not None or take_from is not None
        self.differentiable_arguments = differentiable_arguments
        self.differentiable = self.vjp is not None or any(r is not None for r in vjps or ())
        self.masks = masks
        self.windows = windows
        self.recurrence = recurrence
        self.expansion = expansion
        self.imperative = imperative or self
        self.repeats = repeats
        self.dependence = dependence or OF_FAMILY.get(family, dense)
        self.source = source
        self.call = call
        self.takes_complex = family in _ANY_FIELD if takes_complex is None else takes_complex
        self.pairs = pairs
        #: Records an application in imperative code: ``record(args, params, constant)``.
        self.record: Callable[..., Any] = self._record_first
        #: Does the same inside ``grad``: ``link(trace, args, params, constant)``.
        self.link: Callable[..., Any] = self._link_first
        #: Pulls a cotangent back through an entry: ``pull_back(node, g, cotangents, owned)``.
        self.pull_back: Callable[..., Any] = self._pull_back_first
        if multiple and not ((callable(jvp) or joint) and batch):
            raise TypeError(f"{name} has several results, and needs jvp and batch")
        if register:
            if name in primitives:
                raise ValueError(f"a primitive named {name!r} is already declared")
            primitives[name] = self

    def _record_first(self, *args: Any) -> Any:
        """Record the first application; that generates the function for the others."""
        return functions["recorder"](self)(*args)

    def _link_first(self, *args: Any) -> Any:
        """Link the first application; that generates the function for the others."""
        return functions["linker"](self)(*args)

    def _pull_back_first(self, *args: Any) -> Any:
        """Pull back for the first time; that generates the function for the others."""
        return functions["pullback"](self)(*args)

    def differentiable_in(self, index: int) -> bool:
        """Whether the argument at `index` has a derivative."""
        if self.vjps is not None:
            return index < len(self.vjps) and self.vjps[index] is not None
        return self.vjp is not None and index < self.differentiable_arguments

    def vjp_rules(self, inputs: Sequence[Any]) -> tuple[Rule | None, ...]:
        """Return the rules of a primitive with any number of arguments, for one entry.

        They serve one sweep over one entry: what they compute together is computed once.
        """
        if self.vjp is None:
            return (None,) * len(inputs)
        rule = self.vjp if self.pull_all is None else partial(self._pulled, known={})
        return tuple(
            partial(rule, index=i) if i < self.differentiable_arguments else None
            for i in range(len(inputs))
        )

    def _pulled(
        self, *args: Any, index: int, known: dict[str, Any] | None = None, **params: Any
    ) -> Any:
        """Return the cotangent of one argument."""
        assert self.pull_all is not None
        if known is None:
            return self.pull_all(*args, **params)[index]
        if "parts" not in known:
            known["parts"] = self.pull_all(*args, **params)
        return known["parts"][index]

    def kept(
        self, params: Mapping[str, Any], nodes: Sequence[Any] | None, *, imperative: bool = False
    ) -> Kept:
        """Return how to apply the primitive, given the nodes of its arguments; None to keep nothing."""
        found = None
        if self.keep is not None and nodes is not None:
            variable = tuple([n is not None and not n.constant for n in nodes])
            found = self.keep(params, variable, imperative)
        return found or Kept(dict(params), dict(params), _ANY_NUMBER, _ANY_NUMBER)

    def vjp_of(self, index: int) -> Rule:
        """Return the vjp rule of one argument."""
        if self.vjps is not None:
            rule = self.vjps[index]
            assert rule is not None
            return rule
        assert self.vjp is not None
        return partial(self.vjp, index=index)

    @cached_property
    def has_passive_arguments(self) -> bool:
        """Whether some arguments have no derivative."""
        if self.vjps is not None:
            return None in self.vjps
        return self.vjp is None or self.differentiable_arguments < _ANY_NUMBER

    @cached_property
    def uses(self) -> tuple[str, ...] | None:
        """What the rules read of ``y`` and of each argument: "value", "shape" or "none".

        Read off the rules' byte code, so that a declaration cannot contradict its rules. ``None``
        for rules that take any number of arguments and read them all.
        """
        return None if self.vjps is None else uses_of(self.vjps)

    @cached_property
    def needs_values(self) -> Any:
        """For each argument, whether an entry needs its value; of any length if variadic."""
        if self.uses is None:
            flags = [use == "value" for use in self.saves]
            return _Endless((*flags[1:], flags[-1]))
        return tuple(use == "value" for use in self.uses[1:])

    @cached_property
    def saves_result(self) -> bool:
        """Whether an entry needs the value of its result."""
        return (self.saves if self.uses is None else self.uses)[0] == "value"

    @cached_property
    def save(self) -> Callable[[Any, Any], tuple[Any, ...]]:
        """``save(y, args)`` returns what the rules need: values, stand-ins, and None."""
        return _saver(self.uses) if self.uses is not None else _variadic_saver(self.saves)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> Any:
        if primitives.get(self.name) is not self:
            raise TypeError(f"{self.name} is a user's operation, which cannot be pickled")
        return (_registered, (self.name,))

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the primitive to arrays and tensors (see ``tape.array.application.bind``)."""
        return functions["bind"](self, *args, **params)


def _registered(name: str) -> Primitive:
    """Return a primitive from its pickle."""
    found: Primitive | None = primitives.find(name)
    if found is None:
        raise LookupError(f"there is no primitive named {name!r} in this version of tapegrad")
    return found


class _Endless:
    """An iterable of flags whose last one repeats."""

    __slots__ = ("flags",)

    def __init__(self, flags: tuple[bool, ...]) -> None:
        self.flags = flags

    def __iter__(self) -> Iterator[bool]:
        return chain(self.flags, repeat(self.flags[-1]))


def _variadic_saver(saves: tuple[str, ...]) -> Callable[[Any, Any], tuple[Any, ...]]:
    pick = {"value": lambda v: v, "shape": shaped, "none": lambda v: None}
    first, *rest = (pick[use] for use in (*saves, saves[-1]))

    def save(y: Any, args: Any) -> tuple[Any, ...]:
        return (first(y), *(p(a) for p, a in zip(chain(rest, repeat(rest[-1])), args)))

    return save


@cache
def _saver(uses: tuple[str, ...]) -> Callable[[Any, Any], tuple[Any, ...]]:
    """Make the function that picks residuals: it runs at every recorded operation."""
    texts = {"value": "{}", "shape": "shaped({})", "none": "None"}
    names = ["y", *(f"args[{i}]" for i in range(len(uses) - 1))]
    parts = [texts[use].format(name) for use, name in zip(uses, names)]
    return eval(f"lambda y, args: ({', '.join(parts)},)", {"shaped": shaped})  # type: ignore[no-any-return]


def shaped(value: Any) -> Shaped:
    """Return what a rule gets in place of a value of which it reads only shape and dtype."""
    if type(value) is np.ndarray:
        return Shaped(value.shape, value.dtype)
    return Shaped(np.shape(value), getattr(value, "dtype", np.dtype(type(value))))


def implements(*names: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as what tensors do for the NumPy functions `names`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            functions[name] = function
        return function

    return register
