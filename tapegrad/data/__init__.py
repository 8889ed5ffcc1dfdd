"""Data that ship with the package: small, real, and free to use.

>>> images, labels = load_digits()
>>> images.shape, labels.shape
((1797, 64), (1797,))
"""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_digits"]


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Load the UCI handwritten digits: 1,797 grey images of 8x8 pixels.

    Returns
    -------
    images : ndarray of uint8, shape (1797, 64)
        One image a row, row-major, values from 0 (background) to 16.
    labels : ndarray of uint8, shape (1797,)
        The digit that each image shows.

    Notes
    -----
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, DOI 10.24432/C50P49, test part. Licence: CC BY 4.0.
    """
    with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as archive:
        # pixel by pixel, neighbours in the file are alike, and it is smaller
        return np.ascontiguousarray(archive["pixels"].T), archive["labels"]
