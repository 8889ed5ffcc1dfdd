"""The programs in ``examples/`` run, and find what is known of their data."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def needs(*packages):
    """Skip a test if one of the packages is not installed."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"needs {', '.join(absent)}")


@pytest.fixture
def picture(tmp_path):
    """Give the arguments that ask for a picture, and see that it was made if matplotlib is there."""
    path = tmp_path / "picture.png"
    yield ["--picture", str(path)]
    assert path.exists() == (importlib.util.find_spec("matplotlib") is not None)
    assert not path.exists() or path.read_bytes().startswith(b"\x89PNG")


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_test():
    tested = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'load("{path.stem}")' in tested


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_says_what_it_models_and_how_it_is_run(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    title, command, *words = text.split("\n\n")
    assert "\n" not in title and title.endswith(".")
    assert command.startswith(f"    python examples/{path.name} ") and "--picture" in command
    assert len(" ".join(words).split()) > 40


def test_a_convolutional_network_trains_compiled_as_it_does_eagerly(capsys, picture):
    runs = load("digits_convolution").main(["--steps", "30", *picture])
    eager, compiled = runs["as it is"], runs["compiled"]
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-6)
    assert compiled[2] == eager[2]
    assert np.mean(compiled[0][-5:]) < 0.6 * np.mean(compiled[0][:5])
    assert "held out" in capsys.readouterr().out


def test_a_blurred_sheet_is_sharpened_compiled_as_it_is_eagerly(capsys, picture):
    runs = load("deblurring").main(["--steps", "80", *picture])
    eager, compiled = runs["as it is"], runs["compiled"]
    np.testing.assert_allclose(compiled["errors"], eager["errors"], rtol=1e-6)
    assert compiled["left"] < 0.7
    assert "sharpened" in capsys.readouterr().out


@needs("scipy")
def test_scipy_fits_nested_parameters_compiled_as_it_does_eagerly(capsys, picture):
    runs = load("digits_minimize").main(["--steps", "25", *picture])
    (eager, right, *_), (compiled, *_) = runs["as it is"], runs["compiled"]
    np.testing.assert_allclose(compiled.fun, eager.fun, rtol=1e-3)
    assert compiled.fun < 0.6 and right > 0.85
    assert "held out" in capsys.readouterr().out


def test_a_fit_that_goes_on_from_a_checkpoint_ends_as_one_that_was_not_interrupted(
    capsys, tmp_path, picture
):
    example = load("digits_fit")
    path = str(tmp_path / "run.npz")
    example.main(["--epochs", "9", "--checkpoint", path])
    again = example.main(["--epochs", "18", "--checkpoint", path])
    whole = example.main(["--epochs", "18", *picture])
    np.testing.assert_array_equal(again.history.loss, whole.history.loss)
    for name in ("hidden", "scores"):
        np.testing.assert_array_equal(again.params[name]["w"], whole.params[name]["w"])
    assert whole.recordings == 2 and whole.history.validation["accuracy"][-1] > 0.94
    assert "18 epochs, stopped by 'epochs'" in capsys.readouterr().out


def test_a_recurrent_network_knows_more_with_each_row(capsys, picture):
    run = load("gru").main(["--epochs", "8", *picture])
    accuracy = run["accuracy"]
    assert accuracy[-1] > 0.88
    assert np.all(np.diff(accuracy[:5]) > 0) and accuracy[0] < 0.5
    assert "right after each row" in capsys.readouterr().out


@needs("scipy", "statsmodels")
def test_a_gaussian_process_has_the_density_of_a_normal_distribution_and_predicts(capsys, picture):
    stats = pytest.importorskip("scipy.stats")
    example = load("gaussian_process")
    run = example.main(["--every", "6", "--steps", "60", *picture])
    found, p = run["found"], run["p"]
    t, y = (values[::6] for values in example.carbon_dioxide())
    known = t < example.KNOWN_UNTIL
    values = y[known] - y[known].mean()
    spread = example.covariance(p, t[known], t[known])
    spread += p["noise"]["size"] ** 2 * np.eye(known.sum())
    density = stats.multivariate_normal(np.zeros(known.sum()), spread).logpdf(values)
    np.testing.assert_allclose(-found.fun, density, rtol=1e-6)
    assert np.max(np.abs(found.jac)) < 0.1 and -found.fun > -60
    assert np.sqrt(np.mean(run["error"] ** 2)) < 3
    assert "log-likelihood" in capsys.readouterr().out


@needs("scipy", "statsmodels")
def test_a_kalman_filter_finds_the_variances_of_the_textbook(capsys, picture):
    example = load("kalman_filter")
    run = example.main(picture)
    np.testing.assert_allclose(np.exp(run["x"]), [15099, 1469.1], rtol=1e-4)
    # If nothing is known of the first level, all that the flows tell lies in their differences.
    flows = example.nile()[1]
    noise, step = np.exp(run["x"])
    n = len(flows) - 1
    spread = (2 * noise + step) * np.eye(n) - noise * (np.eye(n, k=1) + np.eye(n, k=-1))
    steps = np.diff(flows)
    density = -0.5 * (steps @ np.linalg.solve(spread, steps) + np.linalg.slogdet(spread)[1])
    np.testing.assert_allclose(run["likelihood"], density - 0.5 * n * np.log(2 * np.pi), rtol=1e-9)
    assert "variance of noise" in capsys.readouterr().out


@needs("statsmodels")
def test_a_logistic_regression_has_the_errors_and_effects_of_statsmodels(capsys, picture):
    example = load("logistic_regression")
    run = example.main(picture)
    X, y = example.students()
    reference = pytest.importorskip("statsmodels.api").Logit(y, X).fit(disp=False, tol=1e-12)
    np.testing.assert_allclose(run["w"], reference.params, rtol=1e-6)
    np.testing.assert_allclose(run["errors"], reference.bse, rtol=1e-6)
    np.testing.assert_allclose(run["loss"], -reference.llf, rtol=1e-9)
    effects = reference.get_margeff(dummy=True)
    np.testing.assert_allclose(run["gain"], effects.margeff[2], rtol=1e-5)
    np.testing.assert_allclose(run["gain's error"], effects.margeff_se[2], rtol=1e-5)
    assert "the new method adds 0.358" in capsys.readouterr().out


@needs("scipy", "statsmodels")
def test_an_oscillator_has_the_period_of_the_sunspots(capsys, picture):
    example = load("ode_fit")
    run = example.main(picture)
    x, counts = run["x"], example.sunspots()[1]
    w, m, k = np.exp(x[:3])
    exact = pytest.importorskip("scipy.integrate").solve_ivp(
        lambda t, s: [s[1], -(w**2) * s[0] - m * (s[0] ** 2 / k**2 - 1) * s[1]],
        (0, len(counts)), x[3:], rtol=1e-10, atol=1e-10, t_eval=np.arange(len(counts)),
    )  # fmt: skip
    np.testing.assert_allclose(example.field(x, len(counts)), exact.y[0], atol=1e-3)
    used = example.sunspots()[0] <= example.KNOWN
    error = np.sum(example.residuals(x, counts[used]) ** 2)
    for direction in np.eye(5) * run["errors"]:
        for sign in (-0.1, 0.1):
            assert np.sum(example.residuals(x + sign * direction, counts[used]) ** 2) > error
    assert 10 < np.pi / w < 11 and run["explained"] > 0.8
    assert "years" in capsys.readouterr().out


@needs("scipy", "matplotlib")
def test_a_surface_is_that_of_dense_least_squares_and_better_with_the_weights_found(
    capsys, picture
):
    example = load("sparse_least_squares")
    run = example.main(["--every", "12", *picture])
    logs, missed = run["found"].x, run["missed"]
    assert run["found"].fun < missed(np.zeros(3))
    slope = [(missed(logs + step) - missed(logs - step)) / 2e-4 for step in 1e-4 * np.eye(3)]
    np.testing.assert_allclose(run["found"].jac, slope, rtol=1e-3, atol=1e-3)
    true = example.terrain(12)
    places = np.random.default_rng(0).choice(true.size, int(0.1 * true.size), replace=False)
    rows = [np.eye(true.size)[places]]
    rows += [np.exp(log / 2) * D.toarray() for log, D in zip(logs, example.bends(*true.shape))]
    right = np.zeros(sum(len(part) for part in rows))
    right[: len(places)] = true.ravel()[places]
    dense = np.linalg.lstsq(np.concatenate(rows), right)[0]
    np.testing.assert_allclose(run["surface"], dense, rtol=1e-6)
    assert "set aside" in capsys.readouterr().out
