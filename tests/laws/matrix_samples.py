"""Valid arguments for the primitives of linear algebra; see ``samples``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _array(rng: Any, shape: tuple[int, ...], low: float = -2.0, high: float = 2.0) -> Any:
    return np.asarray(rng.uniform(low, high, shape))


def _regular(rng: Any, shape: tuple[int, ...]) -> Any:
    """Matrices of full rank, square ones far from singular."""
    return _array(rng, shape, -0.5, 0.5) + 2 * np.eye(*shape[-2:])


def _apart(rng: Any, shape: tuple[int, ...]) -> Any:
    """Matrices whose eigenvalues and singular values are apart."""
    return _array(rng, shape, -0.2, 0.2) + np.eye(*shape[-2:]) * np.arange(1.0, shape[-1] + 1)


def add_to(add: Callable[..., None]) -> None:
    """Add the samples by ``add(name, sample)``."""
    stacks = ((2, 2), (3, 3), (1, 1), (2, 2, 2), (0, 2, 2), (2, 1, 3, 3))
    for _s in stacks:
        for _name in ("inv", "det", "logabsdet", "det_sign", "cofactor", "cholesky"):
            add(_name, lambda rng, s=_s: ((_regular(rng, s),), {}))
        for _name in ("eig_packed", "eigh_packed", "svd_thin"):
            add(_name, lambda rng, s=_s: ((_apart(rng, s),), {}))
        add("undetermined", lambda rng, s=_s: (
            (_array(rng, s), np.zeros((*s[:-2], 1, 1), bool)), {}
        ))  # fmt: skip
    add("eigh_packed", lambda rng: ((_apart(rng, (2, 3, 3)),), {"uplo": "U"}))
    for _s in ((3, 2), (2, 2), (2, 3, 1), (1, 1)):
        add("qr_packed", lambda rng, s=_s: ((_regular(rng, s),), {}))
    for _s in ((3, 2), (2, 2), (2, 3), (2, 3, 2)):
        add("pinv", lambda rng, s=_s: ((_regular(rng, s),), {"rcond": 1e-15}))
        add("matrix_rank", lambda rng, s=_s: ((_regular(rng, s),), {"tol": 0.1}))
        add("svd_thin", lambda rng, s=_s: ((_apart(rng, s),), {}))
    for _s, _columns in (((3, 2), 1), ((2, 2), 2), ((2, 3), 2)):
        add("lstsq", lambda rng, s=_s, k=_columns: (
            (_regular(rng, s), _array(rng, (s[0], k))), {"rcond": None}
        ))  # fmt: skip
    for _s, _t in (
        ((2, 2), (2, 1)), ((3, 3), (3, 2)), ((2, 2, 2), (2, 3)), ((2, 2), (2, 2, 1)),
        ((2, 1, 2, 2), (3, 2, 2)), ((0, 2, 2), (2, 1)),
    ):  # fmt: skip
        add("solve", lambda rng, s=_s, t=_t: ((_regular(rng, s), _array(rng, t)), {}))
