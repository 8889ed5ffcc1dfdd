"""The flow of the Nile as a level that drifts, by the likelihood that a Kalman filter computes.

    python examples/kalman_filter.py --picture nile.png

Each year's flow at Aswan is a level plus noise, and the level takes a random step from year to year.
How large noise and steps are is not known. The filter goes through the years, says what it expects of
the next one and how surely, and corrects itself; how likely all flows are is the product of these
densities. The two variances that make it largest are found by Newton's method in a trust region.

The filter is the plain loop of the textbooks. Its first and second derivatives come from
``tg.value_and_grad`` and ``tg.hessian``, compiled, and the second ones give standard errors, too. The
data, which statsmodels ships, are those of Durbin and Koopman, "Time Series Analysis by State Space
Methods", who find 15,099 and 1,469.
"""

import argparse
from typing import Any

import numpy as np
from scipy.optimize import minimize

import tapegrad as tg


def nile() -> tuple[Any, Any]:
    """Return years, and the flow in each, in 10^8 cubic metres."""
    from statsmodels.datasets import nile

    data = nile.load_pandas().data
    return data.year.to_numpy(), data.volume.to_numpy()


def filtered(logs: Any, flows: Any) -> tuple[Any, Any, Any]:
    """Return levels and their variances after each year, and the log-likelihood of all but the first.

    `logs` are the logs of the variances of noise and steps. Of the level before the first year nothing
    is known.
    """
    noise, step = np.exp(logs)
    level, variance = flows[0], noise
    levels, variances = [level], [variance]
    likelihood = 0.0
    for flow in flows[1:]:
        variance = variance + step
        spread = variance + noise
        surprise = flow - level
        likelihood -= 0.5 * (np.log(2 * np.pi * spread) + surprise**2 / spread)
        gain = variance / spread
        level = level + gain * surprise
        variance = (1 - gain) * variance
        levels.append(level)
        variances.append(variance)
    return np.array(levels), np.array(variances), likelihood


def loss(logs: Any, flows: Any) -> Any:
    """Return minus the log-likelihood."""
    return -filtered(logs, flows)[2]


def fit(flows: Any, start: Any) -> tuple[Any, Any]:
    """Return what SciPy found, and the standard errors of the logs."""
    hessian = tg.jit(tg.hessian(loss))
    found = minimize(
        tg.jit(tg.value_and_grad(loss)), start, args=(flows,), jac=True, hess=hessian,
        method="trust-exact", options={"gtol": 1e-6},
    )  # fmt: skip
    return found, np.sqrt(np.diag(np.linalg.inv(hessian(found.x, flows))))


def draw(path: str, years: Any, flows: Any, logs: Any) -> None:
    """Save a picture of flows and level."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    levels, variances, _ = filtered(logs, flows)
    width = 1.96 * np.sqrt(variances)
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    axes.plot(years, flows, ".", color="0.4", label="measured")
    axes.plot(years, levels, color="tab:blue", label="level, from the years until then")
    axes.fill_between(
        years, levels - width, levels + width, color="tab:blue", alpha=0.2, label="95 %"
    )
    axes.set(xlabel="year", ylabel="flow ($10^8$ m$^3$)", ylim=(400, 1500))
    axes.legend(loc="upper right", ncols=3)
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Fit the variances, print them, and draw the level."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    years, flows = nile()
    found, errors = fit(flows, np.log([flows.var(), flows.var()]))
    for name, log, error in zip(("noise", "steps"), found.x, errors):
        low, high = np.exp(log - 1.96 * error), np.exp(log + 1.96 * error)
        print(f"variance of {name}  {np.exp(log):8.1f}  (95 %: {low:.0f} to {high:.0f})")
    print(f"log-likelihood {-found.fun:.3f}, after {found.nit} steps")
    if chosen.picture:
        draw(chosen.picture, years, flows, found.x)
    return {"x": found.x, "errors": errors, "likelihood": -found.fun}


if __name__ == "__main__":
    main()
