"""The sunspot cycle as an oscillator whose differential equation is fitted to a century of counts.

    python examples/ode_fit.py --picture sunspots.png

The Sun's magnetic field turns over every eleven years, and the number of spots goes with its square.
The field is modelled as a van der Pol oscillator, x'' = -w^2 x - m (x^2 / k^2 - 1) x', which swings by
itself: m says how quickly its swing comes back to a size that k sets. The five unknowns (w, m, k, and
where the oscillator was in 1900) are those with the least squares of x(t)^2 minus the yearly counts,
which statsmodels ships.

The equation is integrated by the method of Runge and Kutta in plain loops. ``tg.jacfwd`` differentiates
through them, and SciPy's ``least_squares`` is handed the compiled residuals and their jacobian.
"""

import argparse
from typing import Any

import numpy as np
from scipy.optimize import least_squares

import tapegrad as tg

FIRST, KNOWN, LAST = 1900, 1996, 2008
STEPS_A_YEAR = 5
START = np.array([np.log(2 * np.pi / 22), np.log(0.2), np.log(7.0), 1.0, 3.0])


def sunspots() -> tuple[Any, Any]:
    """Return years, and the mean number of sunspots in each."""
    from statsmodels.datasets import sunspots

    data = sunspots.load_pandas().data
    data = data[(data.YEAR >= FIRST) & (data.YEAR <= LAST)]
    return data.YEAR.to_numpy(), data.SUNACTIVITY.to_numpy()


def slope(state: Any, w: Any, m: Any, k: Any) -> Any:
    """Return the right side of the equation, as a system of first order."""
    x, v = state
    return np.array([v, -(w**2) * x - m * (x**2 / k**2 - 1) * v])


def field(p: Any, years: int) -> Any:
    """Return x at the beginning of each year; `p` has the logs of w, m, k, and the first state."""
    w, m, k = np.exp(p[:3])
    h = 1 / STEPS_A_YEAR
    state = p[3:]
    found = np.empty(years)
    for year in range(years):
        found[year] = state[0]
        for _ in range(STEPS_A_YEAR):
            a = slope(state, w, m, k)
            b = slope(state + h / 2 * a, w, m, k)
            c = slope(state + h / 2 * b, w, m, k)
            d = slope(state + h * c, w, m, k)
            state = state + h / 6 * (a + 2 * b + 2 * c + d)
    return found


def residuals(p: Any, counts: Any) -> Any:
    """Return how much the model has too many spots in each year."""
    return field(p, len(counts)) ** 2 - counts


def fit(counts: Any, start: Any = START) -> tuple[Any, Any]:
    """Return what SciPy found, and standard errors of the unknowns."""
    found = least_squares(tg.jit(residuals), start, tg.jit(tg.jacfwd(residuals)), args=(counts,))
    variance = 2 * found.cost / (len(counts) - len(start))
    return found, np.sqrt(variance * np.diag(np.linalg.inv(found.jac.T @ found.jac)))


def draw(path: str, years: Any, counts: Any, p: Any) -> None:
    """Save a picture of counts and model."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    axes.plot(years, counts, ".", color="0.4", label="counted")
    axes.plot(years, field(p, len(years)) ** 2, color="tab:blue", label="oscillator")
    axes.axvspan(KNOWN + 0.5, LAST + 0.5, color="0.92", label="not used by the fit")
    axes.set(xlabel="year", ylabel="sunspots", xlim=(FIRST - 1, LAST + 1), ylim=(-5, 230))
    axes.legend(loc="upper left", ncols=3)
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Fit the equation, print what was found, and draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    years, counts = sunspots()
    used = years <= KNOWN
    found, errors = fit(counts[used])
    period = np.pi / np.exp(found.x[0])
    explained = 1 - 2 * found.cost / np.sum((counts[used] - counts[used].mean()) ** 2)
    miss = np.sqrt(np.mean(residuals(found.x, counts)[~used] ** 2))
    print(
        f"pi / w = {period:.2f} +- {period * errors[0]:.2f} years, m = {np.exp(found.x[1]):.3f}, "
        f"k = {np.exp(found.x[2]):.2f} after {found.nfev} calls"
    )
    print(f"{explained:.0%} of the variance explained")
    print(f"the years after {KNOWN} are missed by {miss:.0f} spots (root mean square)")
    if chosen.picture:
        draw(chosen.picture, years, counts, found.x)
    return {"x": found.x, "errors": errors, "explained": explained, "miss": miss}


if __name__ == "__main__":
    main()
