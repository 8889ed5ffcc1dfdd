"""The programs in ``examples/`` run, and their ways of computing the same agree."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_test():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"deblurring", "digits_convolution", "digits_fit", "digits_minimize"}


def test_a_convolutional_network_trains_compiled_as_it_does_eagerly(capsys):
    runs = load("digits_convolution").main(["--steps", "30"])
    eager, compiled = runs["as it is"], runs["compiled"]
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-6)
    assert compiled[2] == eager[2]
    assert np.mean(compiled[0][-5:]) < 0.6 * np.mean(compiled[0][:5])
    assert "held out" in capsys.readouterr().out


def test_a_blurred_sheet_is_sharpened_compiled_as_it_is_eagerly(capsys):
    runs = load("deblurring").main(["--steps", "80"])
    eager, compiled = runs["as it is"], runs["compiled"]
    np.testing.assert_allclose(compiled["errors"], eager["errors"], rtol=1e-6)
    assert compiled["left"] < 0.7
    assert "sharpened" in capsys.readouterr().out


def test_scipy_fits_nested_parameters_compiled_as_it_does_eagerly(capsys):
    pytest.importorskip("scipy.optimize")
    runs = load("digits_minimize").main(["--steps", "25"])
    (eager, right, _), (compiled, _, _) = runs["as it is"], runs["compiled"]
    np.testing.assert_allclose(compiled.fun, eager.fun, rtol=1e-3)
    assert compiled.fun < 0.6 and right > 0.85
    assert "held out" in capsys.readouterr().out


def test_a_fit_that_goes_on_from_a_checkpoint_ends_as_one_that_was_not_interrupted(
    capsys, tmp_path
):
    example = load("digits_fit")
    path = str(tmp_path / "run.npz")
    example.main(["--epochs", "9", "--checkpoint", path])
    again = example.main(["--epochs", "18", "--checkpoint", path])
    whole = example.main(["--epochs", "18"])
    np.testing.assert_array_equal(again.history.loss, whole.history.loss)
    for name in ("hidden", "scores"):
        np.testing.assert_array_equal(again.params[name]["w"], whole.params[name]["w"])
    assert whole.recordings == 2 and whole.history.validation["accuracy"][-1] > 0.94
    assert "18 epochs, stopped by 'epochs'" in capsys.readouterr().out
