"""Sparse derivatives: patterns of jacobians and hessians, and sparse matrices from few vectors.

A matrix has a row for each element of the results and a column for each element of the arguments, those
of nests one after the other. A hessian is the jacobian of a gradient, whose graph knows what is
linear: no derivative of it depends on the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.as_is import AsIs
from tapegrad.tape.core.cotangents import cast
from tapegrad.tape.core.errors import PatternError
from tapegrad.tape.core.later import later
from tapegrad.tape.core.patterns import compressed_rows
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.core.types import P
from tapegrad.tape.transforms.arguments import Argnums, Choice
from tapegrad.tape.transforms.compression import FlatTrace, Graph, Scheme, scheme_of
from tapegrad.tape.transforms.derivatives import grad
from tapegrad.tape.transforms.fields import check_real_arguments, real_results
from tapegrad.tape.transforms.jacobians import check_chunk
from tapegrad.tape.transforms.linear import transposed
from tapegrad.tape.transforms.pullbacks import Pullback, pull_from, push_through
from tapegrad.tape.transforms.transformed import spelled, transformed
from tapegrad.tape.transforms.values import dtype_of, floats_only, shape_of
from tapegrad.tape.transforms.vectorisation import map_rows

__all__ = ["CompressedRows", "sparse_hessian", "sparse_jacobian", "sparsity"]


class CompressedRows(NamedTuple):
    """A sparse matrix by its rows, as SciPy's ``csr_array`` holds it.

    Row i has the elements ``data[indptr[i]:indptr[i + 1]]``, in the columns
    ``indices[indptr[i]:indptr[i + 1]]``, which ascend.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.sparse_jacobian(np.square, triple=True)(np.array([1.0, 2.0])).data
    array([2., 4.])
    """

    data: Any
    indices: Any
    indptr: Any
    shape: tuple[int, int]


def sparsity(
    function: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    order: int = 1,
    triple: bool = False,
    adapt: bool = True,
) -> Callable[..., Any]:
    """Return a function that gives the sparsity pattern of the jacobian, or hessian, of `function`.

    Parameters
    ----------
    function : callable
        Returns an array, or a nest of arrays; a scalar for ``order=2``.
    argnums : int or sequence of int
        By which positional arguments to differentiate; the columns are those of all, one after the
        other.
    has_aux : bool
        Whether `function` returns ``(result, aux)``; then ``(pattern, aux)`` is returned.
    order : {1, 2}
        Whether the jacobian is meant, or the hessian.
    triple : bool
        As for :func:`sparse_jacobian`.
    adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        Its result is a sparse matrix of booleans: False are the elements that are zero whatever the
        values are, as long as the function takes the same branches and has the same integer indices.

    Notes
    -----
    The function is run once, and its pattern is read off what it did. Where an operation says nothing
    else of itself, all its results are taken to depend on all its arguments. An element of the pattern
    may happen to be zero: what ``np.where`` has not chosen, say.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> pattern = tg.sparsity(np.diff, triple=True)(np.ones(4))
    >>> pattern.indices, pattern.indptr
    (array([0, 1, 1, 2, 2, 3], dtype=int32), array([0, 2, 4, 6], dtype=int32))
    """
    if order not in (1, 2):
        raise ValueError(f"sparsity: order must be 1 (jacobian) or 2 (hessian), not {order!r}")
    what = "sparsity"
    options = {"argnums": argnums, "has_aux": has_aux, "order": order, "triple": triple}
    made = transformed(sparsity, function, **options, adapt=adapt)
    choice, check = Choice(what, argnums), real_results(floats_only(what, function), what, function)
    first = _differentiated(function, order == 2, argnums, has_aux, adapt)

    def run(partial: Callable[..., Any], primals: tuple[Any, ...]) -> tuple[Any, Any]:
        check_real_arguments(what, function, primals)
        _, pullback, aux = pull_from(partial, primals, has_aux, what, check, kind=FlatTrace)
        graph = Graph(pullback)
        if order == 2:
            scheme = scheme_of(graph, symmetric=True)
            indices, indptr = scheme.indices, scheme.indptr
        else:
            indices, indptr = compressed_rows(graph.patterns(graph.inputs))
        shape = len(indptr) - 1, sum(node.size for node in graph.inputs)
        return CompressedRows(np.ones(len(indices), bool), indices, indptr, shape), aux

    @made
    def pattern_of(*args: Any, **kwargs: Any) -> Any:
        rows, aux = choice.run(run, first, args, kwargs)
        pattern = _delivered(rows, triple, what)
        return (pattern, aux) if has_aux else pattern

    return pattern_of


def sparse_jacobian(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    triple: bool = False,
    compiled: bool = False,
    check: bool = False,
    chunk: int | None = None,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the jacobian of `function` as a sparse matrix.

    Rows that share no column are computed together, by one pullback; or columns that share no row, by
    one pushforward; whichever are fewer.

    Parameters
    ----------
    function : callable
        Returns an array, or a nest of arrays.
    argnums : int or sequence of int
        By which positional arguments to differentiate; the columns are those of all, one after the
        other.
    has_aux : bool
        Whether `function` returns ``(result, aux)``; then ``(jacobian, aux)`` is returned.
    triple : bool
        Whether to return :class:`CompressedRows`, as without SciPy, and not SciPy's ``csr_array``.
        Inside other transformations there is nothing else, since SciPy's matrices hold no traced values.
    compiled : bool
        Whether to compile the evaluation, as :func:`tapegrad.jit` does.
    check : bool
        Whether to compare, at each call, the product of the matrix and a random vector with a
        pushforward. It costs about one evaluation of the function more.
    chunk : int, optional
        How many of the vectors to compute at a time. Fewer need less memory and more time.
    adapt : bool
        As for :func:`tapegrad.grad`.

    Returns
    -------
    callable
        Its result has a row for each element of the results, and a column for each element of the
        arguments; those of nests one after the other, in the order of ``tree_leaves``.

    Raises
    ------
    PatternError
        With `check`, if the matrix is wrong: an operation has declared less than it depends on.

    See Also
    --------
    sparsity : the pattern alone.
    sparse_hessian : second derivatives.
    jacobian : as an array.

    Notes
    -----
    The pattern is found at the first call, and again where the function takes another branch, has
    other integer indices or is given other shapes. Elements that arguments give to several places of
    what is computed (``x[1:] - x[:-1]``, ``table[index]``) count there as elements of their own, which
    often needs fewer vectors than either rows or columns of the jacobian.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> jacobian = tg.sparse_jacobian(lambda x: x[1:] * x[:-1], triple=True)
    >>> data, indices, indptr, shape = jacobian(np.array([1.0, 2.0, 3.0]))
    >>> data, indices, indptr, shape
    (array([2., 1., 3., 2.]), array([0, 1, 1, 2], dtype=int32), array([0, 2, 4], dtype=int32), (2, 3))
    """
    options: dict[str, Any] = {
        "argnums": argnums, "has_aux": has_aux, "triple": triple, "compiled": compiled,
        "check": check, "chunk": chunk, "adapt": adapt,
    }  # fmt: skip
    return _sparse(sparse_jacobian, function, False, **options)


def sparse_hessian(
    function: Callable[P, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    triple: bool = False,
    compiled: bool = False,
    check: bool = False,
    chunk: int | None = None,
    adapt: bool = True,
) -> Callable[P, Any]:
    """Return a function that gives the second derivatives of `function` as a sparse matrix.

    It is symmetric, and each pair of elements is computed once: by a star colouring, where rows with
    many elements cost no more than one product of the hessian and a vector each.

    Parameters
    ----------
    function : callable
        Returns a scalar.
    argnums, has_aux, triple, compiled, check, chunk, adapt
        As for :func:`sparse_jacobian`.

    Returns
    -------
    callable
        Its result has a row and a column for each element of the arguments.

    Raises
    ------
    PatternError
        As for :func:`sparse_jacobian`.

    See Also
    --------
    hessian : as an array, or a nest of arrays.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> hessian = tg.sparse_hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2), triple=True)
    >>> hessian(np.array([1.0, 2.0, 3.0])).data
    array([4., 2., 2., 6., 4., 4.])
    """
    options: dict[str, Any] = {
        "argnums": argnums, "has_aux": has_aux, "triple": triple, "compiled": compiled,
        "check": check, "chunk": chunk, "adapt": adapt,
    }  # fmt: skip
    return _sparse(sparse_hessian, function, True, **options)


def _differentiated(
    function: Any, symmetric: bool, argnums: Argnums, has_aux: bool, adapt: bool
) -> Callable[..., Any]:
    """Return the function of which the jacobian is meant: for a hessian, the gradient."""
    if symmetric:
        return grad(function, argnums, has_aux, adapt=adapt)
    return function if adapt else AsIs(function)


def _sparse(
    make: Callable[..., Any], function: Any, symmetric: bool, **options: Any
) -> Callable[..., Any]:
    """Return what ``make(function, **options)`` is."""
    made = transformed(make, function, **options)
    what, has_aux, chunk = make.__name__, options["has_aux"], options["chunk"]
    argnums = options["argnums"]
    choice = Choice(what, argnums)
    floats = real_results(floats_only(what, function), what, function)
    first = _differentiated(function, symmetric, argnums, has_aux, options["adapt"])
    check_chunk(what, chunk)
    schemes: list[Scheme] = []

    def run(partial: Callable[..., Any], primals: tuple[Any, ...]) -> tuple[Any, Any]:
        check_real_arguments(what, function, primals)
        _, pullback, aux = pull_from(partial, primals, has_aux, what, floats, kind=FlatTrace)
        scheme = _scheme_for(Graph(pullback), schemes, symmetric)
        return _evaluated(scheme, pullback, chunk), aux

    def test(partial: Callable[..., Any], primals: tuple[Any, ...]) -> Any:
        leaves, structure = flatten(primals)
        random = np.random.default_rng(0)
        along = [np.asarray(random.uniform(-1, 1, shape_of(v)), dtype_of(v)) for v in leaves]
        tangents = unflatten(structure, along)
        _, pushed, _ = push_through(partial, primals, tangents, has_aux, what)
        return along, flatten(pushed)[0]

    if options["compiled"]:
        inner = {**options, "triple": True, "compiled": False, "check": False}
        whole = later.jit(make(function, **inner))
    else:
        whole = None

    @made
    def matrix_of(*args: Any, **kwargs: Any) -> Any:
        if whole is not None:
            out = whole(*args, **kwargs)
            rows, aux = out if has_aux else (out, None)
        else:
            rows, aux = choice.run(run, first, args, kwargs)
        if options["check"]:
            along, pushed = choice.run(test, first, args, kwargs)
            _compare(rows, along, pushed, f"{what}({spelled(function)})")
        matrix = _delivered(rows, options["triple"], what)
        return (matrix, aux) if has_aux else matrix

    return matrix_of


# How it is computed -------------------------------------------------------------------------------

#: For so many ways through a function its schemes are kept.
_MOST_SCHEMES = 8


def _scheme_for(graph: Graph, schemes: list[Scheme], symmetric: bool) -> Scheme:
    """Return the scheme for a graph: one that is known, or a new one."""
    for known in list(schemes):
        if known.fits(graph):
            return known
    made = scheme_of(graph, symmetric=symmetric)
    schemes[:] = [made, *schemes][:_MOST_SCHEMES]
    return made


def _evaluated(scheme: Scheme, pullback: Pullback, chunk: int | None) -> CompressedRows:
    """Return the matrix by the vectors of a scheme."""
    graph = Graph(pullback)
    leaves = [np.zeros(s, d) for s, d in zip(graph.shapes, pullback.dtypes())]
    structure = pullback.structure
    if scheme.way == "columns":
        linear = transposed(pullback, leaves, structure)
        into = [np.zeros(node.shape, node.dtype) for node in graph.inputs]
        apply: Any = lambda *tangents: flatten(linear(_tuple_of(pullback, tangents))[0])[0]  # noqa: E731
    else:
        if scheme.way == "cut":
            pullback = pullback.up_to(graph.named(scheme.ends))
        into = leaves
        apply = lambda *cotangents: flatten(pullback(unflatten(structure, cotangents)))[0]  # noqa: E731
    dtype = np.result_type(*(node.dtype for node in graph.inputs))
    data = _picked(_images(scheme, into, apply, chunk), scheme.places)
    return CompressedRows(cast(data, dtype), scheme.indices, scheme.indptr, scheme.shape)


def _tuple_of(pullback: Pullback, leaves: Any) -> Any:
    return unflatten(pullback.structure_in, leaves)


def _images(scheme: Scheme, into: list[Any], apply: Any, chunk: int | None) -> list[Any]:
    """Return what becomes of the vectors, one below the other, for each leaf of the other side."""
    step = max(1, min(chunk or scheme.number, scheme.number))
    parts = []
    for start in range(0, scheme.number, step):
        stop = min(start + step, scheme.number)
        vectors, first = [], 0
        for leaf in into:
            own = scheme.colours[first : first + leaf.size]
            vector = own == np.arange(start, stop)[:, None]
            vectors.append(vector.astype(leaf.dtype).reshape(stop - start, *leaf.shape))
            first += leaf.size
        if stop - start == 1:
            images = apply(*(vector[0] for vector in vectors))
            parts.append([np.reshape(image, (1, -1)) for image in images])
        else:
            images = map_rows(apply, vectors)
            parts.append([np.reshape(image, (stop - start, -1)) for image in images])
    return [np.concatenate(part) if len(part) > 1 else part[0] for part in zip(*parts)]


def _picked(images: list[Any], places: list[Any]) -> Any:
    """Return the elements that stand at places of the compressed matrix, of which `images` are parts."""
    if not images or not len(places[0]):
        return np.zeros(len(places[0]))
    whole = images[0] if len(images) == 1 else np.concatenate(images, axis=1)
    flat = np.reshape(whole, (math.prod(shape_of(whole)),))
    data: Any = None
    for part in places:
        found = flat[np.maximum(part, 0)]
        if part.min() < 0:
            found = np.where(part < 0, np.zeros((), dtype_of(flat)), found)
        data = found if data is None else data + found
    return data


def _compare(rows: CompressedRows, along: list[Any], pushed: list[Any], what: str) -> None:
    """Raise unless the product of a matrix and a vector is the pushforward of the vector."""
    if isinstance(rows.data, Tensor) or any(isinstance(p, Tensor) for p in pushed):
        raise TypeError(f"{what}: check=True compares numbers, and cannot be used on traced values")
    vector = np.concatenate([np.ravel(v) for v in along])
    expected = np.concatenate([np.ravel(p) for p in pushed])
    terms = rows.data * vector[rows.indices]
    at = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    product, size = (np.bincount(at, t, rows.shape[0]) for t in (terms, np.abs(terms)))
    eps = float(np.finfo(rows.data.dtype).eps)
    least = (
        1e3 * eps * max(1.0, np.max(np.abs(rows.data), initial=0.0))
    )  # differences of large terms
    with np.errstate(invalid="ignore"):
        wrong = np.abs(product - expected) > least + math.sqrt(eps) * (size + np.abs(expected))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise PatternError(
            f"{what}: the pattern is wrong. Row {i} of the matrix, times a random vector, is "
            f"{product[i]:.6g}, and the directional derivative is {expected[i]:.6g}. Some operation in "
            "the function depends on more than it has declared (its slot `dependence`), or the function "
            "gives other results when it is run again"
        )


def _delivered(rows: CompressedRows, triple: bool, what: str) -> Any:
    """Return SciPy's matrix, unless there is none or it is not wanted."""
    if triple or find_spec("scipy") is None:
        return rows
    if isinstance(rows.data, Tensor):
        raise TypeError(
            f"{what}: inside another transformation the elements are traced values, which SciPy's "
            f"matrices cannot hold. Pass triple=True, for (data, indices, indptr, shape); to compile "
            f"the evaluation, {what}(f, compiled=True)"
        )
    from scipy import sparse  # an extra

    return sparse.csr_array((rows.data, rows.indices.copy(), rows.indptr.copy()), rows.shape)
