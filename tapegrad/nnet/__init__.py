"""Neural networks."""

from tapegrad.nnet import util

__all__ = ["util"]
