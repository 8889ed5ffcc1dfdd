"""Carbon dioxide over Mauna Loa as a Gaussian process whose hyperparameters SciPy finds.

    python examples/gaussian_process.py --picture co2.png

The monthly concentration of carbon dioxide since 1958 is modelled as a sum of four random functions: a
slow trend, a wave that repeats every year and changes its form slowly, irregularities of some years, and
noise. How large, long and regular they are is said by eight numbers. Those are chosen under which the
measurements are most likely ("marginal likelihood"; C. Rasmussen and C. Williams, "Gaussian Processes
for Machine Learning", 2006, chapter 5). The last ten years are kept back, and predicted.

The likelihood is the NumPy of the textbooks, with SciPy's ``cho_solve``: gradients go through Cholesky's
decomposition. ``tg.ravel_pytree`` makes a vector of the named numbers, and ``scipy.optimize.minimize``
gets value and gradient from one compiled function. statsmodels ships the data.
"""

import argparse
from typing import Any

import numpy as np
from scipy.linalg import cho_solve
from scipy.optimize import minimize

import tapegrad as tg

KNOWN_UNTIL = 1992.0
START = {
    "trend": {"size": 50.0, "years": 50.0},
    "wave": {"size": 2.0, "years": 100.0, "smooth": 1.0},
    "irregular": {"size": 1.0, "years": 1.0},
    "noise": {"size": 0.2},
}


def carbon_dioxide() -> tuple[Any, Any]:
    """Return times in years, and monthly means in parts per million."""
    from statsmodels.datasets import co2

    weeks = co2.load_pandas().data["co2"].dropna()
    months = weeks.groupby([weeks.index.year, weeks.index.month]).mean()
    year, month = np.array(months.index.to_list()).T
    return year + (month - 0.5) / 12, months.to_numpy()


def covariance(p: Any, s: Any, t: Any) -> Any:
    """Return how much the values at times `s` and `t` vary together, without noise of single values."""
    d = s[:, None] - t
    q = p["trend"]
    trend = q["size"] ** 2 * np.exp(-0.5 * (d / q["years"]) ** 2)
    q = p["wave"]
    form = 2 * (np.sin(np.pi * d) / q["smooth"]) ** 2
    wave = q["size"] ** 2 * np.exp(-0.5 * (d / q["years"]) ** 2 - form)
    q = p["irregular"]
    return trend + wave + q["size"] ** 2 * np.exp(-np.abs(d) / q["years"])


def factor(p: Any, t: Any) -> Any:
    """Return Cholesky's factor of the covariance of what is measured."""
    return np.linalg.cholesky(covariance(p, t, t) + p["noise"]["size"] ** 2 * np.eye(len(t)))


def surprise(p: Any, t: Any, y: Any) -> Any:
    """Return minus the log of the density of all measurements."""
    root = factor(p, t)
    fit = 0.5 * y @ cho_solve((root, True), y)
    return fit + np.sum(np.log(np.diag(root))) + 0.5 * len(y) * np.log(2 * np.pi)


def learn(t: Any, y: Any, steps: int) -> tuple[Any, Any]:
    """Return hyperparameters, and what SciPy says of the search over their logs."""
    logs, unravel = tg.ravel_pytree(tg.tree_map(np.log, START))

    @tg.jit
    @tg.value_and_grad
    def objective(logs: Any) -> Any:
        return surprise(tg.tree_map(np.exp, unravel(logs)), t, y)

    found = minimize(objective, logs, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return tg.tree_map(np.exp, unravel(found.x)), found


def predict(p: Any, t: Any, y: Any, new: Any) -> tuple[Any, Any]:
    """Return mean and standard deviation of measurements at new times."""
    root = factor(p, t)
    cross = covariance(p, new, t)
    prior = np.diag(covariance(p, new, new)) + p["noise"]["size"] ** 2
    variance = prior - np.sum(cross * cho_solve((root, True), cross.T).T, axis=1)
    return cross @ cho_solve((root, True), y), np.sqrt(variance)


def draw(path: str, t: Any, y: Any, new: Any, mean: Any, deviation: Any) -> None:
    """Save a picture of measurements and prediction."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    axes.plot(t, y, color="0.4", lw=1, label="measured")
    axes.plot(new, mean, color="tab:blue", lw=1, label=f"predicted in {KNOWN_UNTIL:.0f}")
    low, high = mean - 1.96 * deviation, mean + 1.96 * deviation
    axes.fill_between(new, low, high, color="tab:blue", alpha=0.25, label="95 %")
    axes.set(xlabel="year", ylabel="carbon dioxide (ppm)", xlim=(t[0], new[-1]))
    axes.legend(loc="upper left")
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Learn the hyperparameters, print them and how good the prediction is, and draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--every", type=int, default=1, help="use each n-th month only")
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    t, y = carbon_dioxide()
    t, y = t[:: chosen.every], y[:: chosen.every]
    known = t < KNOWN_UNTIL
    middle = y[known].mean()
    p, found = learn(t[known], y[known] - middle, chosen.steps)
    new = np.arange(KNOWN_UNTIL, 2012, 1 / 12)
    mean, deviation = predict(p, t[known], y[known] - middle, t[~known])
    error = y[~known] - middle - mean
    inside = np.mean(np.abs(error) < 1.96 * deviation)
    for name, numbers in p.items():
        print(f"{name:9}", "  ".join(f"{key} {value:.3g}" for key, value in numbers.items()))
    print(f"log-likelihood {-found.fun:.2f} after {found.nfev} calls")
    print(
        f"{np.sum(~known)} months later than {KNOWN_UNTIL:.0f}: off by "
        f"{np.sqrt(np.mean(error**2)):.2f} ppm (root mean square), {inside:.0%} within the 95 % bounds"
    )
    if chosen.picture:
        mean, deviation = predict(p, t[known], y[known] - middle, new)
        draw(chosen.picture, t, y, new, mean + middle, deviation)
    return {"p": p, "found": found, "error": error, "inside": inside}


if __name__ == "__main__":
    main()
