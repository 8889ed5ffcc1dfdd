"""Loss functions.

Labels are class numbers. Where their values are known they are checked; labels that a
transformation traces are checked by their shape and dtype only.

>>> from tapegrad.nnet.losses import multiclass_hinge
>>> multiclass_hinge([[1.0, 3.0]], [0])
Tensor(3.)
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from tapegrad.nnet.activations import logsoftmax
from tapegrad.ops.declare.ufunc import as_tensor, flagged
from tapegrad.ops.layers.crossentropy import crossentropy_p, of_class
from tapegrad.tape import Tensor
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = [
    "focal_loss", "margin_ranking_loss", "multiclass_hinge", "negative_log_likelihood",
    "softmax_crossentropy", "softmax_focal_loss",
]  # fmt: skip


def _scores(x: Array, name: str, function: str) -> Any:
    x = as_tensor(x)
    if x.ndim != 2:
        raise ValueError(
            f"{function}: `{name}` must have two axes, one row per datum and one column per class; "
            f"it has shape {x.shape}"
        )
    return x


def _labels(y: Array, x: Array, name: str, function: str) -> Any:
    """Check class numbers against scores; return them as an array, or as a traced tensor."""
    y = as_tensor(y)
    if y.dtype.kind not in "iu":
        raise TypeError(f"{function}: `{name}` must hold integers, not {y.dtype}")
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"{function}: `{name}` must have one label per datum: shape ({x.shape[0]},), "
            f"not {y.shape}"
        )
    if y.live_trace.level:
        return y
    y = y.data
    if y.size and (y.min() < 0 or y.max() >= x.shape[1]):
        bad = int(y[(y < 0) | (y >= x.shape[1])][0])
        raise ValueError(
            f"{function}: `{name}` holds the label {bad}; with {x.shape[1]} classes, labels go "
            f"from 0 to {x.shape[1] - 1}"
        )
    return y


def _known(a: Array) -> Any:
    """The array of values, or None if a transformation keeps them unknown."""
    while isinstance(a, Tensor):
        a = a.live_trace.appearance.peek(a)
    return a


def _no_nan(loss: Any, *scores: Any, function: str) -> None:
    """Refuse scores that are not numbers, which have made the loss none."""
    value = _known(loss)
    if value is None or not np.isnan(value).any():
        return
    for x in map(_known, scores):
        if np.isnan(x).any():
            place = ", ".join(str(int(i[0])) for i in np.nonzero(np.isnan(x)))
            raise ValueError(f"{function}: the scores hold a nan, at [{place}]")


def _real(value: Any, name: str, function: str) -> Any:
    if isinstance(value, Real):
        return value
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiub":
        return value
    raise TypeError(f"{function}: `{name}` must be a real number, not {value!r}")


def _non_negative(value: Any, name: str, function: str) -> Any:
    value = _real(value, name, function)
    if not value >= 0:
        raise ValueError(f"{function}: `{name}` must be a non-negative number, not {value}")
    return value


def _focal(log_p: Any, rest: Any, alpha: Any, gamma: Array, function: str) -> Any:
    """``-alpha * rest ** gamma * log_p``, where the limit of vanishing `rest` is finite."""
    alpha, gamma = _real(alpha, "alpha", function), _non_negative(gamma, "gamma", function)
    loss = 0 - log_p  # not -log_p, which would be -0.0 for what is certain
    if gamma == 0:
        return alpha * loss
    none = rest < 0 if gamma == 1 else rest <= 0  # of the first power alone the slope counts at 0
    factor = np.where(none, 0.0, np.where(none, 1.0, rest) ** gamma)
    return alpha * (factor * loss)


def focal_loss(
    class_probs: Any,
    targets: Any,
    *,
    alpha: float = 1,
    gamma: float = 0,
    constant: bool | None = None,
) -> Tensor:
    """Focal loss of each datum: ``-alpha * (1 - p) ** gamma * log(p)`` for its class's p.

    Parameters
    ----------
    class_probs : array_like, shape (N, C)
        Probabilities of the classes.
    targets : array_like of int, shape (N,)
        The right classes.
    alpha : float
        Weight.
    gamma : float
        How much data that are classified well count less; 0 gives the cross-entropy.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape (N,)
        Its gradient is finite at p = 1 for every `gamma`.

    Raises
    ------
    TypeError
        If `targets` are not integers.
    ValueError
        For wrong shapes, labels out of range, a negative `gamma`, or scores that are nan.

    Examples
    --------
    >>> from tapegrad.nnet.losses import focal_loss
    >>> focal_loss([[0.5, 0.5], [0.0, 1.0]], [0, 1], gamma=1)
    Tensor([0.34657359, 0.        ])
    """
    x = _scores(class_probs, "class_probs", "focal_loss")
    p = of_class(x, _labels(targets, x, "targets", "focal_loss"))
    loss = _focal(np.log(p), 1 - p, alpha, gamma, "focal_loss")
    _no_nan(loss, x, function="focal_loss")
    return flagged(loss, constant)  # type: ignore[no-any-return]


def softmax_focal_loss(
    scores: Any, targets: Any, *, alpha: float = 1, gamma: float = 0, constant: bool | None = None
) -> Tensor:
    """Focal loss of each datum, from scores to which softmax is applied.

    Parameters
    ----------
    scores : array_like, shape (N, C)
        Scores of the classes, of any size.
    targets : array_like of int, shape (N,)
        The right classes.
    alpha : float
        Weight.
    gamma : float
        How much data that are classified well count less.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape (N,)

    Raises
    ------
    TypeError
        If `targets` are not integers.
    ValueError
        For wrong shapes, labels out of range, a negative `gamma`, or scores that are nan.

    Examples
    --------
    >>> from tapegrad.nnet.losses import softmax_focal_loss
    >>> softmax_focal_loss([[0.0, 0.0], [0.0, 1e6]], [0, 0], gamma=1)
    Tensor([3.4657359e-01, 1.0000000e+06])
    """
    x = _scores(scores, "scores", "softmax_focal_loss")
    log_p = of_class(logsoftmax(x), _labels(targets, x, "targets", "softmax_focal_loss"))
    loss = _focal(log_p, -np.expm1(log_p), alpha, gamma, "softmax_focal_loss")
    _no_nan(loss, x, function="softmax_focal_loss")
    return flagged(loss, constant)  # type: ignore[no-any-return]


def margin_ranking_loss(
    x1: ArrayLike, x2: ArrayLike, y: ArrayLike, margin: float, *, constant: bool | None = None
) -> Tensor:
    """Mean of ``max(0, margin - y * (x1 - x2))``.

    Parameters
    ----------
    x1, x2 : array_like, shape (N,) or (N, D)
        Scores or descriptors to compare.
    y : int or array_like of shape (N,)
        1 if the first should be greater, -1 if the second should.
    margin : float
        By how much, at least.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape ()
        Where a comparison is met exactly, its gradient is 0.

    Raises
    ------
    TypeError
        If `margin` is not a real number.
    ValueError
        For a negative `margin`, wrong shapes, or scores that are nan.

    Examples
    --------
    >>> from tapegrad.nnet.losses import margin_ranking_loss
    >>> margin_ranking_loss([1.0, 2.0], [2.0, 2.0], 1, margin=0.5)
    Tensor(1.)
    """
    margin = _non_negative(margin, "margin", "margin_ranking_loss")
    x1, x2, y = as_tensor(x1), as_tensor(x2), as_tensor(y)
    if x1.ndim not in (1, 2):
        raise ValueError(
            f"margin_ranking_loss: `x1` must have shape (N,) or (N, D), not {x1.shape}"
        )
    if x1.shape != x2.shape:
        raise ValueError(
            f"margin_ranking_loss: `x1` and `x2` must have the same shape, not {x1.shape} and "
            f"{x2.shape}"
        )
    if y.ndim and y.shape != x1.shape[:1]:
        raise ValueError(
            f"margin_ranking_loss: `y` must be a number or have shape ({x1.shape[0]},), "
            f"not {y.shape}"
        )
    if y.dtype.kind != "f" and (dtype := np.result_type(x1.dtype, x2.dtype)).kind == "f":
        y = y.astype(dtype, constant=True)  # integers would widen float32
    if y.ndim and x1.ndim == 2:
        y = np.expand_dims(y, 1)
    loss = np.maximum(margin - y * (x1 - x2), 0)
    _no_nan(loss, x1, x2, function="margin_ranking_loss")
    return flagged(np.mean(loss), constant)  # type: ignore[no-any-return]


def multiclass_hinge(
    x: ArrayLike, y_true: Any, hinge: float = 1.0, *, constant: bool | None = None
) -> Tensor:
    """Mean over the data of how far wrong classes come within `hinge` of the right one.

    Parameters
    ----------
    x : array_like, shape (N, K)
        Scores of the classes.
    y_true : array_like of int, shape (N,)
        The right classes.
    hinge : float
        The distance from which a wrong class does not count.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape ()

    Raises
    ------
    TypeError
        If `y_true` are not integers.
    ValueError
        For wrong shapes, labels out of range, or scores that are nan.

    Examples
    --------
    >>> from tapegrad.nnet.losses import multiclass_hinge
    >>> multiclass_hinge([[3.0, 2.5, 0.0]], [0])
    Tensor(0.5)
    """
    x = _scores(x, "x", "multiclass_hinge")
    hinge = _real(hinge, "hinge", "multiclass_hinge")
    y = _labels(y_true, x, "y_true", "multiclass_hinge")
    right = np.expand_dims(y, 1) == np.arange(x.shape[1])
    over = np.maximum(x - (np.expand_dims(of_class(x, y), 1) - hinge), 0)
    total = np.sum(np.where(right, 0.0, over))
    _no_nan(total, x, function="multiclass_hinge")
    return flagged(total / x.shape[0], constant)  # type: ignore[no-any-return]


def negative_log_likelihood(
    x: ArrayLike, y_true: Any, *, weights: ArrayLike = None, constant: bool | None = None
) -> Tensor:
    """Mean over the data of minus the log-probability of the right class.

    Parameters
    ----------
    x : array_like, shape (N, C)
        Logarithms of the classes' probabilities.
    y_true : array_like of int, shape (N,)
        The right classes.
    weights : array_like, shape (C,), optional
        Weights of the classes. The sum is divided by N all the same.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape ()

    Raises
    ------
    TypeError
        If `y_true` are not integers.
    ValueError
        For wrong shapes, labels out of range, or scores that are nan.

    Examples
    --------
    >>> from tapegrad.nnet.losses import negative_log_likelihood
    >>> negative_log_likelihood([[-4.6, -4.6, -0.02]], [0], weights=[2, 1, 1])
    Tensor(9.2)
    """
    x = _scores(x, "x", "negative_log_likelihood")
    y = _labels(y_true, x, "y_true", "negative_log_likelihood")
    picked = of_class(x, y)
    if weights is not None:
        weights = as_tensor(weights)
        if weights.shape != x.shape[1:]:
            raise ValueError(
                f"negative_log_likelihood: `weights` must have one number per class: shape "
                f"({x.shape[1]},), not {weights.shape}"
            )
        picked = weights[y] * picked
    _no_nan(picked, x, function="negative_log_likelihood")
    return flagged(0 - np.mean(picked), constant)  # type: ignore[no-any-return]


def softmax_crossentropy(x: ArrayLike, y_true: Any, *, constant: bool | None = None) -> Tensor:
    """Mean over the data of the cross-entropy of softmax and the right classes.

    Parameters
    ----------
    x : array_like, shape (N, C)
        Scores of the classes, of any size.
    y_true : array_like of int, shape (N,)
        The right classes.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape ()

    Raises
    ------
    TypeError
        If `y_true` are not integers.
    ValueError
        For wrong shapes, labels out of range, or scores that are nan.

    Examples
    --------
    >>> from tapegrad.nnet.losses import softmax_crossentropy
    >>> softmax_crossentropy([[2.0, 2.0, 2.0], [0.0, 0.0, 1e6]], [0, 2])
    Tensor(0.54930614)
    """
    x = _scores(x, "x", "softmax_crossentropy")
    y = _labels(y_true, x, "y_true", "softmax_crossentropy")
    loss = apply(crossentropy_p, (x, y))
    _no_nan(loss, x, function="softmax_crossentropy")
    return flagged(np.mean(loss), constant)  # type: ignore[no-any-return]
