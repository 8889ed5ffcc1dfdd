"""What would lose a mask or the graph without a word is refused."""

import numpy as np
import pytest

import tapegrad as tg


def test_masked_arrays_are_no_arguments_of_transformations():
    x = np.ma.masked_array([1.0, 2.0], [False, True])
    f = lambda x: np.sum(x * x)
    for use in (
        tg.grad(f),
        tg.value_and_grad(f),
        tg.vmap(f),
        lambda x: tg.jvp(f, (x,), (x,)),
        tg.tensor,
    ):
        with pytest.raises(TypeError, match="mask"):
            use(x)


def test_an_array_of_objects_is_not_made_of_a_variable():
    t = tg.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=r"tg\.vmap"):
        np.vectorize(lambda v: v * 2)(t)
    constant = tg.tensor([1.0, 2.0], constant=True)
    assert np.vectorize(lambda v: v * 2)(constant).tolist() == [2.0, 4.0]


def test_an_attribute_that_tensors_have_not_says_what_to_use():
    with pytest.raises(AttributeError, match=r"use np\.resize"):
        tg.tensor([1.0]).resize
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tg.tensor([1.0]).nothing
