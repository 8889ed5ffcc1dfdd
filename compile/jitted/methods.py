"""Methods that are jitted: bound, as functions are, to the instance through which they are reached."""

from __future__ import annotations

from typing import Any

__all__ = ["JitMethod"]


class JitMethod:
    """A jitted method of an instance: the jitted function, with the instance as its first argument."""

    __slots__ = ("__func__", "__self__", "__weakref__")

    def __init__(self, jitted: Any, instance: Any) -> None:
        self.__func__ = jitted
        self.__self__ = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Do `Jit.explain` for a call of the method."""
        return self.__func__.explain(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    def profile(self, *args: Any, **kwargs: Any) -> Any:
        """Do `Jit.profile` for a call of the method."""
        return self.__func__.profile(self.__self__, *args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """Do `Jit.lower` for a call of the method; what is compiled takes the instance, too."""
        return self.__func__.lower(self.__self__, *args, **kwargs)

    def warm_up(self, *args: Any, **kwargs: Any) -> None:
        """Do `Jit.warm_up` for a call of the method."""
        self.__func__.warm_up(self.__self__, *args, **kwargs)

    def stats(self) -> Any:
        """Return the counts of the function, for all instances together."""
        return self.__func__.stats()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, JitMethod) and self.__func__ is other.__func__
        return same and self.__self__ is other.__self__  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __repr__(self) -> str:
        return f"<bound method {self.__func__!r} of {self.__self__!r}>"
