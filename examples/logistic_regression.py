"""Does a new way of teaching help? Logistic regression, with the standard errors that derivatives give.

    python examples/logistic_regression.py --picture teaching.png

Of 32 students it is known whether their grade in economics improved, how good their grades and a test
were before, and whether they were taught by a new method. The log-odds of an improvement are modelled as
a sum of these, with four coefficients (Spector and Mazzeo, 1980; the data are shipped by statsmodels,
and are a classic of Greene's "Econometric Analysis").

The log-likelihood is five lines of NumPy. ``tg.grad`` and ``tg.hessian`` are all that Newton's method
needs; the hessian at the end gives the standard errors. What the new method adds to the probability on
average is a function of the coefficients; its gradient gives its standard error (the "delta method").
"""

import argparse
from typing import Any

import numpy as np

import tapegrad as tg

NAMES = ("grades", "test", "new method", "constant")


def students() -> tuple[Any, Any]:
    """Return one row for each student, with a one at the end, and whether the grade improved."""
    from statsmodels.datasets import spector

    data = spector.load_pandas()
    X = data.exog.to_numpy(float)
    return np.column_stack([X, np.ones(len(X))]), data.endog.to_numpy(float)


def probability(w: Any, X: Any) -> Any:
    """Return the probability of an improvement."""
    return 1 / (1 + np.exp(-(X @ w)))


def loss(w: Any, X: Any, y: Any) -> Any:
    """Return minus the log-likelihood."""
    odds = X @ w
    return np.sum(np.logaddexp(0, odds) - y * odds)


def gain(w: Any, X: Any) -> Any:
    """Return what the new method adds to the probability, in the mean over all students."""
    with_it, without = X.copy(), X.copy()
    with_it[:, 2], without[:, 2] = 1, 0
    return np.mean(probability(w, with_it) - probability(w, without))


@tg.jit
def newton(w: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """Return the coefficients after a step of Newton's method, and the gradient before it."""
    slope = tg.grad(loss)(w, X, y)
    return w - np.linalg.solve(tg.hessian(loss)(w, X, y), slope), slope


def fit(X: Any, y: Any) -> tuple[Any, Any]:
    """Return coefficients and their covariances."""
    w = np.zeros(X.shape[1])
    slope = np.inf
    while np.max(np.abs(slope)) > 1e-8:
        w, slope = newton(w, X, y)
    return w, np.linalg.inv(tg.hessian(loss)(w, X, y))


def draw(path: str, X: Any, y: Any, w: Any, covariance: Any) -> None:
    """Save a picture: probabilities by grades, with and without the new method."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    grades = np.linspace(2, 4, 100)
    for new, colour, name in ((0.0, "tab:blue", "as before"), (1.0, "tab:orange", "new method")):
        rows = np.column_stack(
            [grades, np.full(100, X[:, 1].mean()), np.full(100, new), np.ones(100)]
        )
        # Bounds of the log-odds, which are linear in the coefficients.
        width = 1.96 * np.sqrt(np.sum(rows @ covariance * rows, axis=1))
        low, high = (1 / (1 + np.exp(-(rows @ w + s * width))) for s in (-1, 1))
        axes.fill_between(grades, low, high, color=colour, alpha=0.15)
        axes.plot(grades, probability(w, rows), color=colour, label=name)
        taught = X[:, 2] == new
        axes.plot(X[taught, 0], y[taught], "o", color=colour, alpha=0.5)
    axes.set(xlabel="grades before", ylabel="probability of an improvement")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0.95))
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Fit, print coefficients and the effect of the new method, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    X, y = students()
    w, covariance = fit(X, y)
    errors = np.sqrt(np.diag(covariance))
    for name, value, error in zip(NAMES, w, errors):
        print(f"{name:12} {value:8.3f} +- {error:.3f}")
    added, slope = tg.value_and_grad(gain)(w, X)
    error = np.sqrt(slope @ covariance @ slope)
    print(f"the new method adds {added:.3f} +- {error:.3f} to the probability of an improvement")
    if chosen.picture:
        draw(chosen.picture, X, y, w, covariance)
    return {"w": w, "errors": errors, "gain": added, "gain's error": error, "loss": loss(w, X, y)}


if __name__ == "__main__":
    main()
