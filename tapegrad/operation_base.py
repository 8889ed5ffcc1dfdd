"""The base class of users' own operations.

>>> from tapegrad.operation_base import Operation, SkipGradient
>>> Operation.can_return_view
False
"""

from tapegrad.tape import Operation, SkipGradient

__all__ = ["Operation", "SkipGradient"]
