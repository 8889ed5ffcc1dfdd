"""``make_tape``, ``eval_shape``, ``ShapeDtypeStruct``."""

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 2.0, 3.0])


def f(p, x, n=2):
    return {"y": np.tanh(p["w"] @ x) * n, "s": np.sum(x)}


def test_a_tape_is_a_program_of_what_a_function_does():
    program = tg.make_tape(f)({"w": np.ones((3, 3))}, X)
    assert type(program) is tg.Program
    program.verify()
    w = np.arange(9.0).reshape(3, 3)
    y, total = program(w, X)
    np.testing.assert_allclose(y, np.tanh(w @ X) * 2)
    assert total == 6.0
    assert "np.tanh" in str(program)


def test_python_numbers_are_inputs_and_stay_weak():
    program = tg.make_tape(lambda x, c: x * c)(X.astype(np.float32), 2.0)
    assert len(program.inputs) == 2
    (out,) = program(X.astype(np.float32), 5.0)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, 5 * X)


def test_transformed_and_compiled_functions():
    for function in (tg.grad(lambda x: np.sum(x**3)), tg.jit(tg.grad(lambda x: np.sum(x**3)))):
        (out,) = tg.make_tape(function)(X)(X + 1)
        np.testing.assert_allclose(out, 3 * (X + 1) ** 2)
    (out,) = tg.make_tape(tg.vmap(lambda x: x * x))(X)(X)
    np.testing.assert_allclose(out, X * X)


def test_tensors_from_outside_are_further_inputs():
    w = tg.tensor(2.0)
    program = tg.make_tape(lambda x: x * w)(X)
    assert [node.shape for node in program.inputs] == [(3,), ()]
    with pytest.raises(TypeError, match=r"make_tape\(<lambda>\): .* asks for a value"):
        tg.make_tape(lambda x: x if x > 0 else -x)(1.0)
    assert repr(tg.make_tape(np.sin)) == "<make_tape(sin)>"


def test_shapes_without_values():
    struct = tg.ShapeDtypeStruct
    out = tg.eval_shape(f, {"w": struct((4, 3), np.float32)}, struct((3,), np.float32), n=3)
    assert out == {"y": struct((4,), np.float32), "s": struct((), np.float32)}
    assert tg.eval_shape(np.sin, 1.0) == struct((), float)
    assert tg.eval_shape(lambda x: (x > 0, [2]), X) == (struct((3,), bool), [struct((), int)])
    assert tg.eval_shape(tg.jacobian(np.sin), X) == struct((3, 3), float)
    with pytest.raises(ValueError, match="matmul"):
        tg.eval_shape(np.matmul, struct((2, 3), float), struct((2, 3), float))
    with pytest.raises(TypeError, match="eval_shape"):
        tg.eval_shape(lambda x: float(x) if x > 0 else x, 1.0)


def test_a_struct_is_a_value():
    a = tg.ShapeDtypeStruct([2, 3], "f4")
    assert a == tg.ShapeDtypeStruct((2, 3), np.float32) != tg.ShapeDtypeStruct((2,), np.float32)
    assert hash(a) == hash(tg.ShapeDtypeStruct((2, 3), np.float32))
    assert (a.ndim, a.size, a.shape, a.dtype) == (2, 6, (2, 3), np.dtype("f4"))
    assert tg.tree_leaves({"a": a}) == [a]


def test_a_shape_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match="the shape must be a sequence of ints, not 3"):
        tg.ShapeDtypeStruct(3, float)
