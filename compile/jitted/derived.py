"""Jitted functions inside traces and on imperative tensors.

A call with tensors is one primitive for each output: its value, pullback, pushforward and batch are
jitted functions derived from the user's function, so that ``grad(jit(f))`` runs compiled code both ways.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tapegrad.compile.survey.capture import SETTLED, survey
from tapegrad.compile.survey.effects import watched
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.core.trace import apply
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.transforms.derivatives import jvp, vjp

__all__ = ["call_through"]


class Call:
    """One jitted function with everything but its arrays fixed."""

    __slots__ = ("cached", "fixed", "jitted", "places", "pulled", "structure")

    def __init__(self, jitted: Any, structure: Any, leaves: list[Any], places: list[int]) -> None:
        self.jitted = jitted
        self.structure = structure
        self.places = places
        self.fixed = [None if i in places else leaf for i, leaf in enumerate(leaves)]
        self.cached: Any = None
        self.pulled: Any = None

    def key(self) -> Any:
        """Return what derived functions depend on."""
        fixed = tuple((type(f).__name__, repr(f)) for f in self.fixed)
        return (self.structure, tuple(self.places), fixed)

    def arguments(self, arrays: Any) -> Any:
        """Return the arguments of the user's function."""
        leaves = list(self.fixed)
        for i, array in zip(self.places, arrays):
            leaves[i] = array
        return unflatten(self.structure, leaves)

    def outputs(self, arrays: Any) -> list[Any]:
        """Return all leaves of the result, compiled."""
        args, kwargs = self.arguments(arrays)
        return flatten(self.jitted(*args, **kwargs))[0]

    def single(self, index: int) -> Any:
        """Return the user's function as one of arrays, with one output."""
        # Only what the user's function needs is in the closure, which jit follows.
        function, structure = self.jitted._function, self.structure
        fixed, places = tuple(self.fixed), tuple(self.places)

        def one_output(*arrays: Any) -> Any:
            leaves = list(fixed)
            for i, array in zip(places, arrays):
                leaves[i] = array
            args, kwargs = unflatten(structure, leaves)
            return flatten(function(*args, **kwargs))[0][index]

        return one_output

    def derived(self, kind: Any, make: Any) -> Any:
        """Return a jitted function derived from the user's, made once."""
        known = self.jitted.derived
        key = (kind, self.key())
        if key not in known:
            known[key] = type(self.jitted)(make(), self.jitted._strict)
        return known[key]


def call_through(jitted: Any, leaves: list[Any], structure: Any) -> Any:
    """Call a jitted function of which some arguments are tensors."""
    args, kwargs = unflatten(structure, leaves)
    if _staged(leaves):
        return jitted._function(*args, **kwargs)  # the outer jit compiles it with the rest
    places = [i for i, leaf in enumerate(leaves) if _is_array(leaf)]
    if not all(_is_array(leaf) or isinstance(leaf, SETTLED) for leaf in leaves):
        return jitted._function(*args, **kwargs)
    call = Call(jitted, structure, leaves, places)
    arrays = tuple(leaves[i] for i in places)
    values = [bottom(a) for a in arrays]
    if any(type(a) is Tensor and np.shape(v) != a.shape for a, v in zip(arrays, values)):
        # Batched: the values below have another rank; the primitive batches itself.
        return jitted._function(*args, **kwargs)
    copies = [v.copy() for v in values]
    plain_args, plain_kwargs = call.arguments(copies)
    status = _status(jitted, plain_args, plain_kwargs)
    if status == "unknown":
        return _first_call(jitted, args, kwargs, plain_args, plain_kwargs)
    if status == "eager":
        return jitted._function(*args, **kwargs)
    outs, out_structure = flatten(jitted(*plain_args, **plain_kwargs))
    changed = any(not np.array_equal(c, v, equal_nan=True) for c, v in zip(copies, values))
    if changed or not all(_is_array(o) for o in outs):
        return jitted._function(*args, **kwargs)
    call.cached = (values, outs)
    through = [apply(call_p, arrays, {"call": call, "output": k}) for k in range(len(outs))]
    call.cached = None
    return unflatten(out_structure, through)


def _status(jitted: Any, args: Any, kwargs: Any) -> str:
    leaves, structure = flatten((args, kwargs))
    status = jitted.status(leaves, structure)
    if status == "unknown" and jitted.key_of(leaves, structure) in jitted.calm:
        return "compiled"
    return status  # type: ignore[no-any-return]


def _first_call(jitted: Any, args: Any, kwargs: Any, plain_args: Any, plain_kwargs: Any) -> Any:
    """Run the function on the tensors, once, and see whether it may be run a second time.

    A later call records it on plain arrays, and runs it again for its derivatives.
    """
    captures = survey(jitted._function)
    drawn = captures.random_state()
    with watched() as effects:
        result = jitted._function(*args, **kwargs)
    if not effects.first and captures.hold() and captures.random_state() == drawn:
        jitted.calm.add(jitted.key_of(*flatten((plain_args, plain_kwargs))))
    return result


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, Tensor | np.ndarray | np.generic)


def _staged(leaves: list[Any]) -> bool:
    """Whether any value is staged, at any depth."""
    for leaf in leaves:
        while type(leaf) is Tensor:
            if isinstance(leaf._trace, StagingTrace):
                return True
            leaf = leaf.value
    return False


def bottom(value: Any) -> Any:
    """Return the array at the bottom of a stack of tensors."""
    while type(value) is Tensor:
        value = value.value
    return np.asarray(value)


def _forward(*arrays: Any, call: Call, output: int) -> Any:
    if call.cached is not None:
        values, outs = call.cached
        if all(a is b for a, b in zip(values, arrays)):
            return outs[output]
    return call.outputs([np.asarray(a) for a in arrays])[output]


def _floats(arrays: tuple[Any, ...]) -> tuple[int, ...]:
    """Return which arrays have derivatives; integers and booleans have none."""
    return tuple(i for i, a in enumerate(arrays) if a.dtype.kind == "f")


def _of_floats(function: Any, floats: tuple[int, ...], arrays: tuple[Any, ...]) -> Any:
    """Return the function as one of the chosen arrays, with the others as they are."""

    def of_floats(*chosen: Any) -> Any:
        full = list(arrays)
        for i, array in zip(floats, chosen):
            full[i] = array
        return function(*full)

    return of_floats


def _pull(function: Any, primals: list[Any], g: Any) -> Any:
    return vjp(function, *primals)[1](g)


def _pull_imperative(function: Any, primals: list[Any], g: Any) -> Any:
    """Return the cotangents that ``backward()`` of a result leaves."""
    tensors = [Tensor(primal) for primal in primals]
    out = function(*tensors)
    if type(out) is Tensor:
        out.backward(g)
    return tuple(np.zeros(t.shape, t.dtype) if t.grad is None else t.grad for t in tensors)


def _vjp(
    g: Any, y: Any, *arrays: Any, index: int, call: Call, output: int, pull: Any = _pull
) -> Any:
    floats = _floats(arrays)
    kind = (pull, output)
    if call.pulled is None or call.pulled[0] is not g or call.pulled[1] != kind:

        def make() -> Any:
            function = call.single(output)

            def pulled(g: Any, *arrays: Any) -> Any:
                return pull(_of_floats(function, floats, arrays), [arrays[i] for i in floats], g)

            return pulled

        call.pulled = (g, kind, call.derived((pull, output, floats), make)(g, *arrays))
    return call.pulled[2][floats.index(index)]


def _jvp(tangents: Any, y: Any, *arrays: Any, call: Call, output: int) -> Any:
    floats = _floats(arrays)

    def make() -> Any:
        function = call.single(output)

        def pushed(arrays: Any, tangents: Any) -> Any:
            chosen = tuple(arrays[i] for i in floats)
            return jvp(_of_floats(function, floats, arrays), chosen, tangents)[1]

        return pushed

    filled = tuple(np.zeros_like(arrays[i]) if (t := tangents[i]) is None else t for i in floats)
    return call.derived(("jvp", output, floats), make)(tuple(arrays), filled)


call_p = Primitive(
    "jit_call",
    _forward,
    vjp=_vjp,
    jvp=_jvp,
    imperative=Primitive(
        "jit_call_imperative", _forward, vjp=partial(_vjp, pull=_pull_imperative), jvp=_jvp
    ),
)
