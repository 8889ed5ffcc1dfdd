"""Bundle adjustment: where cameras and points are, from where points were seen in pictures.

An observation has a camera (rotation, centre, focal length, principal point and two coefficients of
radial distortion: 11 parameters), a point (3) and a weight (1). Its residuals are the weighted distance
of the point's projection from where it was seen, and one that keeps the weight near one.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def rotated(rotation: Any, x: Any) -> Any:
    """Rodrigues' formula for vectors along which to rotate by their length, row by row."""
    angle = np.sqrt(np.sum(rotation * rotation, axis=1, keepdims=True))
    axis = rotation / angle
    along = np.sum(axis * x, axis=1, keepdims=True) * (1 - np.cos(angle))
    return x * np.cos(angle) + np.cross(axis, x) * np.sin(angle) + axis * along


def seen_in(cameras: Any, points: Any) -> Any:
    """Project points to the pictures of cameras, row by row."""
    place = rotated(cameras[:, :3], points - cameras[:, 3:6])
    plane = place[:, :2] / place[:, 2:]
    square = np.sum(plane * plane, axis=1, keepdims=True)
    bent = plane * (1 + cameras[:, 9:10] * square + cameras[:, 10:11] * square * square)
    return bent * cameras[:, 6:7] + cameras[:, 7:9]


def residuals(
    cameras: Any, points: Any, weights: Any, by: Any, which: Any, features: Any
) -> tuple[Any, Any]:
    """Residuals of observations: the camera `by` saw the point `which` at `features`."""
    distance = seen_in(cameras[by], points[which]) - features
    return weights[:, None] * distance, 1 - weights * weights


def data(cameras: int, points: int, observations: int) -> tuple[Any, ...]:
    """Return arguments of `residuals`, drawn at random."""
    rng = np.random.default_rng(0)
    c = rng.normal(size=(cameras, 11)) * 0.1
    c[:, 5] -= 5
    c[:, 6] += 1
    return (
        c,
        rng.normal(size=(points, 3)),
        rng.uniform(0.5, 1, observations),
        rng.integers(0, cameras, observations),
        rng.integers(0, points, observations),
        rng.normal(size=(observations, 2)),
    )
