"""Nests: containers and objects that hold arrays, taken apart and put together again.

Tuples, lists and dicts are nests, and so are the kinds that :mod:`tapegrad.tape.core.kinds` describes:
named tuples, other kinds of dicts, dataclasses, and what users register. Everything else is a leaf, but
for None, which holds nothing.

>>> leaves, structure = tree_flatten({"w": [1.0, 2.0], "b": None})
>>> leaves, structure
([1.0, 2.0], TreeStructure({'w': [*, *], 'b': None}))
>>> tree_unflatten(structure, [3.0, 4.0])
{'w': [3.0, 4.0], 'b': None}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tapegrad.tape.core.kinds import Kind, keys_of, kinds

__all__ = [
    "Structure",
    "TreeStructure",
    "count",
    "flatten",
    "flatten_like",
    "instances_in",
    "parts_of",
    "paths",
    "shown",
    "spread",
    "steps_of",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_structure",
    "tree_unflatten",
    "unflatten",
]

#: What a nest looks like without its leaves; hashable. A leaf is ``"*"``, None is ``"-"``, and what has
#: parts is ``(kind, aux, structures of the parts)``, where aux is what else the kind needs, as the keys
#: of a dict.
Structure = Any

Opens = Callable[[Kind, Any], "tuple[Any, Iterable[Any]] | None"]


def _open(kind: Kind, tree: Any) -> tuple[Any, Iterable[Any]] | None:
    return kind.take(tree)


def flatten(tree: Any, opens: Opens = _open) -> tuple[list[Any], Structure]:
    """Return the leaves of a nest, and its structure.

    Parameters
    ----------
    tree : nest
    opens : callable
        Takes apart what is neither tuple, list nor dict: ``opens(kind, tree)`` returns aux and parts,
        or None to leave it whole.

    Examples
    --------
    >>> flatten({"w": [1.0, 2.0], "b": 3.0})[0]
    [1.0, 2.0, 3.0]
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves, opens)


def _flatten(tree: Any, leaves: list[Any], opens: Opens) -> Structure:
    kind = type(tree)
    if kind is tuple or kind is list:
        return (kind, None, tuple([_flatten(part, leaves, opens) for part in tree]))
    if kind is dict:
        parts = tuple([_flatten(part, leaves, opens) for part in tree.values()])
        return (kind, keys_of(tree), parts)
    if tree is None:
        return "-"
    described = kinds[kind]
    if described is not None:
        taken = opens(described, tree)
        if taken is not None:
            return (kind, taken[0], tuple([_flatten(part, leaves, opens) for part in taken[1]]))
    leaves.append(tree)
    return "*"


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Put a nest together from its structure and its leaves."""
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Any) -> Any:
    if structure == "*":
        return next(leaves)
    if structure == "-":
        return None
    kind, aux, inside = structure
    parts = [_unflatten(part, leaves) for part in inside]
    if kind is list:
        return parts
    if kind is tuple:
        return tuple(parts)
    if kind is dict:
        return dict(zip(aux, parts))
    described = kinds[kind]
    assert described is not None
    return described.build(aux, parts)


def count(structure: Structure) -> int:
    """Return the number of leaves."""
    if type(structure) is str:
        return int(structure == "*")
    return sum(map(count, structure[2]))


# Structures that must fit -------------------------------------------------------------------------


def flatten_like(structure: Structure, tree: Any, what: str, *, whole: bool = False) -> list[Any]:
    """Return the leaves of a nest that must have a given structure.

    Parameters
    ----------
    structure : Structure
    tree : nest
        The keys of its dicts may come in another order.
    what : str
        How an error begins.
    whole : bool
        Whether what stands in a leaf's place may be a nest, which is taken as it is.

    Raises
    ------
    ValueError
        That says where the nest differs.
    """
    leaves: list[Any] = []
    _take_like(structure, tree, leaves, what, "", whole)
    return leaves


def _take_like(
    structure: Structure, tree: Any, leaves: list[Any], what: str, path: str, whole: bool
) -> None:
    if structure == "*" and whole:
        leaves.append(tree)
        return
    found = _parts(tree)
    if type(structure) is str:
        if found != structure:
            raise _mismatch(structure, tree, what, path)
        if structure == "*":
            leaves.append(tree)
        return
    if type(found) is str or found[0] is not structure[0]:
        raise _mismatch(structure, tree, what, path)
    kind, aux, inside = structure
    parts = list(found[2])
    if aux != found[1]:
        order = _order(kind, aux, found[1])
        if order is None:
            raise _mismatch(structure, tree, what, path)
        parts = [parts[i] for i in order]
    if len(parts) != len(inside):
        raise _mismatch(structure, tree, what, path)
    for step, child, part in zip(steps_of(structure), inside, parts):
        _take_like(child, part, leaves, what, path + step, whole)


def _order(kind: Any, wanted: Any, found: Any) -> list[int] | None:
    """Return where the parts of one dict are in another with the same keys; None if there are none."""
    if not issubclass(kind, dict):
        return None
    if kind is not dict:
        (wanted, *rest), (found, *other) = wanted, found
        if rest != other:
            return None
    places = {key: i for i, key in enumerate(zip(found, map(type, found)))}
    order = [places.get(key) for key in zip(wanted, map(type, wanted))]
    return None if len(order) != len(places) or None in order else order  # type: ignore[return-value]


def spread(prefix: Any, structure: Structure, what: str, path: str = "") -> list[Any]:
    """Return what a nest of values says of each leaf of a structure that may be deeper.

    A value in the place of a nest holds for all its leaves; None is a value like any other.

    Raises
    ------
    ValueError
        That says where the two differ.

    Examples
    --------
    >>> spread((0, {"a": None}), flatten(([1.0, 2.0], {"a": 3.0}))[1], "in_axes")
    [0, 0, None]
    """
    found = _parts(prefix)
    if type(found) is str:
        return [prefix] * count(structure)
    parts = list(found[2])
    if type(structure) is str or found[0] is not structure[0] or len(parts) != len(structure[2]):
        raise _mismatch(structure, prefix, what, path)
    if found[1] != structure[1]:
        order = _order(structure[0], structure[1], found[1])
        if order is None:
            raise _mismatch(structure, prefix, what, path)
        parts = [parts[i] for i in order]
    return [
        value
        for step, part, child in zip(steps_of(structure), parts, structure[2])
        for value in spread(part, child, what, path + step)
    ]


def _parts(tree: Any) -> Structure:
    """Take a nest apart by one level: as `_flatten`, with parts in the place of structures."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return (kind, None, tree)
    if kind is dict:
        return (kind, keys_of(tree), tuple(tree.values()))
    if tree is None:
        return "-"
    described = kinds[kind]
    taken = None if described is None else described.take(tree)
    return "*" if taken is None else (kind, *taken)


def parts_of(tree: Any) -> Sequence[Any]:
    """Return the parts of a nest; none if it is a leaf."""
    found = _parts(tree)
    return () if type(found) is str else list(found[2])


def instances_in(tree: Any) -> Iterable[Any]:
    """Yield the instances in a nest that are nests themselves; no tuples, lists and dicts.

    Examples
    --------
    >>> from collections import OrderedDict
    >>> list(instances_in([1.0, {"a": OrderedDict(b=2.0)}]))
    [OrderedDict([('b', 2.0)])]
    """
    kind = type(tree)
    if kind in (tuple, list):
        parts: Iterable[Any] = tree
    elif kind is dict:
        parts = tree.values()
    else:
        found = "-" if tree is None or kinds[kind] is None else _parts(tree)
        if type(found) is str:
            return
        yield tree
        parts = found[2]
    for part in parts:
        yield from instances_in(part)


def _mismatch(structure: Structure, tree: Any, what: str, path: str) -> ValueError:
    found = _parts(tree)
    got = shown(found if type(found) is str else (*found[:2], ("*",) * len(list(found[2]))))
    if type(structure) is not str:
        structure = (*structure[:2], ("*",) * len(structure[2]))
    where = f"at {path}, " if path else ""
    wanted, got = (_named(text) for text in (shown(structure), got))
    return ValueError(f"{what}: {where}the structure should be {wanted}, and is {got}")


def _named(text: str) -> str:
    return {"*": "a leaf (an array or number)"}.get(text, text)


def steps_of(structure: Structure) -> Sequence[str]:
    """Return how each part of a nest is reached: ``[0]``, ``['w']``, ``.w``."""
    kind, aux, inside = structure
    if kind is dict:
        return [f"[{key!r}]" for key in aux]
    described = None if kind in (tuple, list) else kinds[kind]
    return [f"[{i}]" for i in range(len(inside))] if described is None else described.steps(aux)


def paths(structure: Structure, path: str = "") -> list[str]:
    """Return how each leaf is reached.

    Examples
    --------
    >>> paths(flatten(({"w": 1.0}, [2.0]))[1])
    ["[0]['w']", '[1][0]']
    """
    if type(structure) is str:
        return [path] if structure == "*" else []
    pairs = zip(steps_of(structure), structure[2])
    return [leaf for step, child in pairs for leaf in paths(child, path + step)]


def shown(structure: Structure) -> str:
    """Return a structure as text.

    Examples
    --------
    >>> shown(flatten({"w": (1.0,), "b": None})[1])
    "{'w': (*,), 'b': None}"
    """
    if type(structure) is str:
        return "None" if structure == "-" else structure
    kind, aux, inside = structure
    parts = [shown(part) for part in inside]
    if kind is list:
        return f"[{', '.join(parts)}]"
    if kind is tuple:
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
    if kind is dict:
        return f"{{{', '.join(f'{key!r}: {part}' for key, part in zip(aux, parts))}}}"
    described = kinds[kind]
    assert described is not None
    steps = described.steps(aux)
    if issubclass(kind, dict):
        inside = ", ".join(f"{step[1:-1]}: {part}" for step, part in zip(steps, parts))
        return f"{kind.__name__}({{{inside}}})"
    named = [f"{s[1:]}={part}" if s[0] == "." else part for s, part in zip(steps, parts)]
    return f"{kind.__name__}({', '.join(named)})"


# The documented face ------------------------------------------------------------------------------


class TreeStructure:
    """What a nest looks like without its leaves; what :func:`tree_structure` returns.

    Two of them are equal if their nests have the same kinds, keys in the same order, and sizes.

    Attributes
    ----------
    num_leaves : int

    Examples
    --------
    >>> tree_structure([1.0, (2.0, None)]) == tree_structure([5, (6, None)])
    True
    >>> tree_structure({1: 2.0}) == tree_structure({True: 2.0})
    False
    """

    __slots__ = ("_structure",)

    def __init__(self, structure: Structure) -> None:
        self._structure = structure

    @property
    def num_leaves(self) -> int:
        """The number of leaves."""
        return count(self._structure)

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """Put a nest together; see :func:`tree_unflatten`."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"tree_unflatten: the structure {shown(self._structure)} has {self.num_leaves} "
                f"leaves, and {len(leaves)} were given"
            )
        return unflatten(self._structure, leaves)

    def __eq__(self, other: object) -> bool:
        if type(other) is not TreeStructure:
            return NotImplemented
        return bool(self._structure == other._structure)

    def __hash__(self) -> int:
        return hash(self._structure)

    def __repr__(self) -> str:
        return f"TreeStructure({shown(self._structure)})"

    def __reduce__(self) -> Any:
        return (TreeStructure, (self._structure,))


def tree_flatten(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], TreeStructure]:
    """Return the leaves of a nest as a list, and its structure.

    Parameters
    ----------
    tree : nest
        Of tuples, lists, dicts, named tuples, dataclasses, and kinds that were registered.
    is_leaf : callable, optional
        Whether to take a part as it is: it is asked of every part, outermost first.

    Returns
    -------
    leaves : list
    structure : Structure
        Knows how to put leaves together again.

    See Also
    --------
    tree_unflatten : the way back.
    register_pytree_node : makes instances of a class nests.

    Examples
    --------
    >>> tree_flatten({"w": [1.0, 2.0], "b": 3.0})
    ([1.0, 2.0, 3.0], TreeStructure({'w': [*, *], 'b': *}))
    """
    leaves: list[Any] = []
    if is_leaf is None:
        return leaves, TreeStructure(_flatten(tree, leaves, _open))
    return leaves, TreeStructure(_flatten_until(tree, leaves, is_leaf))


def _flatten_until(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool]) -> Structure:
    found = "*" if is_leaf(tree) else _parts(tree)
    if type(found) is str:
        if found == "*":
            leaves.append(tree)
        return found
    return (*found[:2], tuple([_flatten_until(part, leaves, is_leaf) for part in found[2]]))


def tree_unflatten(structure: TreeStructure, leaves: Iterable[Any]) -> Any:
    """Put a nest together from its structure and its leaves.

    Parameters
    ----------
    structure : Structure
        As returned by :func:`tree_structure`.
    leaves : iterable

    Returns
    -------
    nest

    Raises
    ------
    ValueError
        If the number of leaves is another.

    Examples
    --------
    >>> tree_unflatten(tree_structure([0, (0, 0)]), [1.0, 2.0, 3.0])
    [1.0, (2.0, 3.0)]
    """
    if type(structure) is not TreeStructure:
        raise TypeError(
            "tree_unflatten takes a structure, as tree_structure returns it, and the leaves; the "
            f"first is of type {type(structure).__name__}"
        )
    return structure.unflatten(leaves)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """Return the leaves of a nest as a list.

    Parameters
    ----------
    tree : nest
    is_leaf : callable, optional
        Whether to take a part of the nest as it is.

    Returns
    -------
    list

    Examples
    --------
    >>> tree_leaves({"w": [1.0, 2.0], "b": None})
    [1.0, 2.0]
    """
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeStructure:
    """Return the structure of a nest.

    Parameters
    ----------
    tree : nest
    is_leaf : callable, optional
        Whether to take a part of the nest as it is.

    Returns
    -------
    Structure
        Compares with others, and puts leaves together.

    Examples
    --------
    >>> tree_structure({"w": [1.0, 2.0], "b": None})
    TreeStructure({'w': [*, *], 'b': None})
    """
    return tree_flatten(tree, is_leaf)[1]


def tree_map(
    function: Callable[..., Any],
    tree: Any,
    *others: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """Apply a function to the leaves of one or several nests.

    Parameters
    ----------
    function : callable
        Takes one leaf of the first nest, and what stands in its place in each other.
    tree, *others
        Nests of one structure. Where the first has a leaf, the others may have nests.
    is_leaf : callable, optional
        Whether to take a part of the first nest as it is.

    Returns
    -------
    nest
        Of the structure of `tree`, with what the function returned.

    Raises
    ------
    ValueError
        If the structures differ.

    Examples
    --------
    >>> tree_map(lambda w, g: w - 0.1 * g, {"w": 1.0}, {"w": 5.0})
    {'w': 0.5}
    """
    leaves, structure = tree_flatten(tree, is_leaf)
    raw = structure._structure
    columns = [flatten_like(raw, other, "tree_map", whole=True) for other in others]
    return unflatten(raw, [function(*row) for row in zip(leaves, *columns)])
