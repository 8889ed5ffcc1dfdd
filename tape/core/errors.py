"""The exceptions of tapegrad; each says what happened, where, and what to do."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = [
    "Abandoned",
    "InvalidBackprop",
    "InvalidGradient",
    "LeakedTensorError",
    "MyGradException",
    "NonScalarOutputError",
    "Noted",
    "PatternError",
    "TapegradError",
    "TracedArrayError",
    "refused",
]

#: In a thread that a transformed function began: what is `Noted` there, which ends the thread alone.
refused: ContextVar[list[BaseException] | None] = ContextVar("refused", default=None)


class TapegradError(Exception):
    """Base class of the exceptions that only tapegrad raises."""


#: The documented name of the base class.
MyGradException = TapegradError


class InvalidBackprop(TapegradError):
    """A gradient was asked of a graph that has been cleared in part.

    Examples
    --------
    Two results share an intermediate tensor, and the first ``backward`` clears it::

        y = x * 2
        a, b = y + 1, y * 3
        a.backward()
        b.backward()        # InvalidBackprop: do (a + b).backward(), or recompute y for b
    """


class InvalidGradient(TapegradError):
    """A user's ``Operation.backward_var`` returned something that is no gradient."""


class Noted(BaseException):
    """What must reach a transformation, though it be raised in a thread that its function began."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        noted = refused.get()
        if noted is not None:
            noted.append(self)


class TracedArrayError(Noted, TapegradError, TypeError):
    """A traced value would be turned into a plain array and lose its derivative.

    Examples
    --------
    ::

        def f(x):
            out = np.zeros(3)
            out[0] = x[0]          # TracedArrayError: out is a plain ndarray
            return out.sum()

    Make the target a tensor of the same trace: ``out = tg.zeros(3, dtype=float)`` or
    ``out = np.zeros_like(x)``.
    """


class LeakedTensorError(TapegradError, RuntimeError):
    """A traced tensor was used after the transformation that made it had ended.

    Examples
    --------
    ::

        kept = []
        tg.grad(lambda x: kept.append(x) or x ** 2)(1.0)
        kept[0] * 2               # LeakedTensorError: return it through has_aux=True instead
    """


class NonScalarOutputError(TapegradError, TypeError):
    """``grad`` was given a function whose result is not a scalar.

    Examples
    --------
    ::

        tg.grad(np.sin)(np.ones(3))   # NonScalarOutputError: the output has shape (3,)

    Use ``tg.vjp`` with a cotangent of the output's shape, ``tg.jacobian`` for all derivatives, or
    sum the result inside the function.
    """


class PatternError(TapegradError, ValueError):
    """A sparse derivative is wrong, because its pattern is.

    Examples
    --------
    An operation was declared as one that works element by element, and does not::

        roll_p = Primitive("my_roll", lambda x: np.roll(x, 1), (...), family="elementwise")
        tg.sparse_jacobian(f, check=True)(x)    # PatternError: declare `dependence`, or no family
    """


class Abandoned(BaseException):
    """What the recording of a function ends with if it may not stand for the function.

    It is no `Exception`: the user's handlers are not meant for it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
