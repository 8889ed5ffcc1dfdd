"""Phases of eigenvectors and singular vectors of complex matrices.

A matrix determines its vectors up to factors of magnitude 1, and LAPACK chooses these by keeping
one element of each vector real: of eigenvectors in general the largest, of those of Hermitian
matrices the first (they are found by a tridiagonal matrix that is real; with the upper triangle, the
last), of pairs of singular vectors the first of that of the shorter side. Rules look whether it is
real, and not 0, in what LAPACK has returned; if not, nothing is known of the phase, and what asks for
it gets nan.

A rule has vectors turn by no phase (``v^H dv`` is real), and then turns them back by the angle that
makes the element real again. Where only values are asked for they are left as they are
(`phases=False`): so second derivatives of values need no phases.

>>> import numpy as np
>>> import tapegrad as tg
>>> a = np.array([[2.0, 1.0j], [-1.0j, 2.0]])
>>> tangent = tg.jvp(lambda a: np.linalg.eigh(a)[1], (a,), (np.array([[0.0, 1.0], [1.0, 0.0]]),))[1]
>>> np.abs(tangent).round(4)
array([[0.    , 0.    ],
       [0.7071, 0.7071]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.types import Array

__all__ = ["angle_asked", "angle_found", "is_kept"]


#: What of a cotangent may be the rounding of other rules, in units of a rounding of each element.
_ROUNDING = 256


def is_kept(row: Array, size: int) -> Any:
    """Whether elements, one for each vector, are real and not 0, as far as rounding lets us know."""
    floor = 4 * size * float(np.finfo(row.dtype).eps)
    return np.logical_and(np.abs(np.imag(row)) <= floor, np.abs(np.real(row)) > floor)


def angle_asked(turning: Array, row: Array, kept: Array, moved: Array, size: int) -> Any:
    """Return what the cotangent of a vector's phase is for the element that stays real.

    Parameters
    ----------
    turning : array
        For each vector, the cotangent of its phase.
    row : array
        The elements that stay real.
    kept : array
        Whether they do, as far as it is known.
    moved : array
        The greatest number that `turning` was made of, for each matrix.
    size : int
        Of a matrix.
    """
    eps = _ROUNDING * size * float(np.finfo(row.dtype).eps)
    unknown = np.where(np.abs(turning) <= eps * np.maximum(moved, 1.0), 0.0, np.nan)
    return np.where(kept, turning / np.where(kept, np.real(row), 1.0), unknown)


def angle_found(row: Array, moving: Array, kept: Array, moves: Array) -> Any:
    """Return the angle by which vectors turn; nan if that is not known, and the matrix moves.

    Parameters
    ----------
    row : array
        The elements that stay real.
    moving : array
        Their tangents, if vectors turned by no phase.
    kept : array
        Whether they stay real, as far as it is known.
    moves : array
        Whether the matrix moves.
    """
    unknown = np.where(moves, np.nan, 0.0)
    return np.where(kept, np.imag(moving) / np.where(kept, np.real(row), 1.0), unknown)
