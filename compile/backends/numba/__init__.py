"""The back end on Numba: text, loops, threads, vector mathematics."""

from functools import cache

__all__ = ["OLDEST", "problems", "usable"]

#: Older versions abort on some processors when they compile ``max`` and ``min``.
OLDEST = (0, 62)

#: Why Numba cannot be used; empty until an import has failed.
problems: list[str] = []


@cache
def usable() -> bool:
    """Import Numba, and return whether it is there and new enough; if not, `problems` says why."""
    try:
        import numba
    except Exception as error:  # NumPy may be too new for it, a library may be missing, ...
        problems.append(f"numba cannot be imported ({error})")
    else:
        if numba.version_info[:2] < OLDEST:
            problems.append(f"numba {numba.__version__} is too old: it takes 0.62 or newer")
    return not problems
