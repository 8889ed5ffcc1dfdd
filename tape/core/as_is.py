"""Functions that transformations run as they are: ``adapt=False``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["AsIs"]


class AsIs:
    """A function that is run as it is, without an image.

    >>> AsIs(len)([1, 2])
    2
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)
