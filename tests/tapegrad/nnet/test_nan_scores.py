"""Scores that are not numbers are refused where their values are known."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nnet import losses

X = np.log(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2]]))
X[1, 2] = np.nan
LABELS = np.array([0, 2, 1])
LOSSES = {
    "focal_loss": lambda x: losses.focal_loss(x, LABELS),
    "softmax_focal_loss": lambda x: losses.softmax_focal_loss(x, LABELS),
    "margin_ranking_loss": lambda x: losses.margin_ranking_loss(x, x * 0, 1, margin=1.0),
    "multiclass_hinge": lambda x: losses.multiclass_hinge(x, LABELS),
    "negative_log_likelihood": lambda x: losses.negative_log_likelihood(x, LABELS),
    "softmax_crossentropy": lambda x: losses.softmax_crossentropy(x, LABELS),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", LOSSES)
def test_scores_that_are_nan_are_refused_with_their_place(name):
    loss = LOSSES[name]
    for use in (loss, lambda x: loss(tg.tensor(x)), tg.grad(lambda x: np.sum(loss(x)))):
        with pytest.raises(ValueError, match=rf"{name}: the scores hold a nan, at \[1, 2\]"):
            use(X)


@pytest.mark.parametrize("name", ["softmax_crossentropy", "negative_log_likelihood"])
def test_compiled_and_batched_code_propagates_them(name):
    loss = LOSSES[name]
    assert np.isnan(tg.jit(loss)(X))
    assert np.isnan(tg.vmap(loss)(X[None])).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinite_scores_are_no_error():
    x = np.array([[np.inf, 0.0], [0.0, -np.inf]])
    assert np.isnan(losses.softmax_crossentropy(x, [0, 0]).item())
