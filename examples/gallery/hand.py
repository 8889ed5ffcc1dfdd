"""An articulated hand: how far measured points are from the skin, by 26 angles and distances.

Five fingers of four bones hang on the wrist. The first bone of a finger turns about two axes, the next
two about one; the last is rigid. The skin follows several bones, each with a weight.
"""

from typing import Any

import numpy as np

FINGERS, BONES = 5, 4


#: For each axis: what stays, and what is multiplied by cosine and by sine.
PLANES = [np.diag(d) for d in ([0.0, 1, 1, 0], [1.0, 0, 1, 0], [1.0, 1, 0, 0])]
STAYS = [np.eye(4) - plane for plane in PLANES]
QUARTERS = [np.zeros((4, 4)) for _ in range(3)]
for _quarter, (_i, _j) in zip(QUARTERS, [(1, 2), (2, 0), (0, 1)]):
    _quarter[_i, _j], _quarter[_j, _i] = -1.0, 1.0
#: What takes a shift to the last column of a matrix.
LAST = np.array([0.0, 0, 0, 1])


def turn(angle: Any, axis: int) -> Any:
    """Return the rotation about a coordinate axis as a 4x4 matrix."""
    return STAYS[axis] + np.cos(angle) * PLANES[axis] + np.sin(angle) * QUARTERS[axis]


def wrist(pose: Any) -> Any:
    """Return the place of the whole hand: three angles and three distances."""
    rotation = turn(pose[0], 0) @ turn(pose[1], 1) @ turn(pose[2], 2)
    shift = np.concatenate([pose[3:6], np.zeros(1)])
    return rotation + np.outer(shift, LAST)


def skeleton(pose: Any, bones: Any) -> Any:
    """Return the transformations of all bones, wrist first; `bones` places each in the one before."""
    root = wrist(pose)
    places = [root]
    for finger in range(FINGERS):
        angles = pose[6 + 4 * finger : 10 + 4 * finger]
        place = root
        for bone in range(BONES):
            place = place @ bones[finger * BONES + bone]
            if bone == 0:
                place = place @ turn(angles[0], 0) @ turn(angles[1], 2)
            elif bone < BONES - 1:
                place = place @ turn(angles[1 + bone], 0)
            places.append(place)
    return np.stack(places)


def residuals(pose: Any, bones: Any, skin: Any, weights: Any, measured: Any) -> Any:
    """Return the distances, coordinate by coordinate, of the skin's vertices from measured points.

    `skin` is (bones, 4, n): where each vertex is as its bones see it.
    """
    seen = np.matmul(skeleton(pose, bones), skin)
    vertices = np.sum(seen * weights[:, None, :], axis=0)
    return measured - vertices[:3].T


def data(n: int) -> tuple[Any, ...]:
    """Return a pose, bones, skin, weights, and points near the skin."""
    rng = np.random.default_rng(0)
    count = FINGERS * BONES
    bones = np.tile(np.eye(4), (count, 1, 1))
    bones[:, :3, 3] = rng.uniform(0.5, 1.0, (count, 3))
    skin = np.ones((count + 1, 4, n))
    skin[:, :3] = rng.normal(size=(count + 1, 3, n))
    weights = rng.uniform(size=(count + 1, n)) ** 4
    pose = 0.3 * rng.normal(size=6 + 4 * FINGERS)
    return pose, bones, skin, weights / weights.sum(axis=0), rng.normal(size=(n, 3))
