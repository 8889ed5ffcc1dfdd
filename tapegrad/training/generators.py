"""The state of NumPy's random generators as plain numbers, which JSON holds."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["generator_of", "restore_generator", "state_of"]


def generator_of(seed: Any, what: str) -> np.random.Generator:
    """Return the generator that is meant by a seed, or by itself."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise TypeError(
            f"{what}: the seed must be an integer that is not negative, or a "
            f"numpy.random.Generator, not {seed!r}"
        )
    return np.random.default_rng(int(seed))


def state_of(generator: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator in numbers, texts, lists and dicts.

    Examples
    --------
    >>> import numpy as np
    >>> rng, other = np.random.default_rng(1), np.random.default_rng(2)
    >>> restore_generator(other, state_of(rng), "here")
    >>> other.random() == rng.random()
    True
    """
    return _plain(generator.bit_generator.state)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if set(value) == {"array", "dtype"}:
        return np.array(value["array"], value["dtype"])
    return {key: _arrays(part) for key, part in value.items()}


def restore_generator(generator: np.random.Generator, state: dict[str, Any], what: str) -> None:
    """Give a generator a state that :func:`state_of` returned.

    Raises
    ------
    ValueError
        If it is of another kind.
    """
    own = generator.bit_generator.state["bit_generator"]
    if state.get("bit_generator") != own:
        raise ValueError(
            f"{what} holds the state of a {state.get('bit_generator')}, and the generator of this "
            f"run is a {own}"
        )
    generator.bit_generator.state = _arrays(state)
