"""Users' operations under the transformations, alone and in stacks."""

import numpy as np
import pytest

import tapegrad as tg

X = np.array([0.3, -0.7, 1.9])


class Scaled(tg.Operation):
    """sin(x) * y, with a gradient by x that is ten times what it should be."""

    def __call__(self, x, y):
        self.variables = (x, y)
        return np.sin(x.data) * y.data

    def backward_var(self, grad, index, **kwargs):
        x, y = self.variables
        return 10 * grad * np.cos(x.data) * y.data if index == 0 else grad * np.sin(x.data)


def loss(x):
    return np.sum(tg.execute_op(Scaled, x, x * x) * x)


WANTED = 10 * np.cos(X) * X**3 + 3 * X**2 * np.sin(X)

STACKS = {
    "grad": tg.grad(loss),
    "jvp": lambda x: np.stack([tg.jvp(loss, (x,), (e,))[1] for e in np.eye(3)]),
    "jacfwd": tg.jacfwd(loss),
    "linearize": lambda x: np.stack([tg.linearize(loss, x)[1](e) for e in np.eye(3)]),
    "jit of grad": tg.jit(tg.grad(loss)),
    "grad of jit": tg.grad(tg.jit(loss)),
    "cond": tg.grad(lambda x: tg.cond(np.sum(x) > 0, loss, lambda x: 0 * loss(x), x)),
    "checkpoint": tg.grad(tg.checkpoint(loss)),
    "jit of checkpoint": tg.jit(tg.grad(tg.checkpoint(loss))),
    "gradient of a batch": tg.grad(
        lambda x: np.sum(tg.vmap(lambda x: tg.execute_op(Scaled, x, x * x) * x)(x))
    ),
    "batch of gradients": tg.vmap(tg.grad(lambda x: tg.execute_op(Scaled, x, x * x) * x)),
    "jit of a batch": tg.jit(tg.vmap(tg.grad(lambda x: tg.execute_op(Scaled, x, x * x) * x))),
}


@pytest.mark.filterwarnings("ignore:jit")
@pytest.mark.parametrize("stack", STACKS)
def test_stacks(stack):
    for _ in range(2):
        np.testing.assert_allclose(STACKS[stack](X), WANTED)


def test_imperative_tensors_and_tapes():
    t = tg.tensor(X)
    loss(t).backward()
    np.testing.assert_allclose(t.grad, WANTED)
    t = tg.tensor(X)
    with tg.Tape() as tape:
        y = loss(t)
    np.testing.assert_allclose(tape.gradient(y, [t])[0], WANTED)
    _, pulled = tape.program([t], [y]).reverse()(X, np.array(1.0))
    np.testing.assert_allclose(pulled, WANTED)


def test_a_second_derivative_is_refused():
    with pytest.raises(TypeError, match="cannot be differentiated again"):
        tg.grad(lambda x: np.sum(tg.grad(loss)(x)))(X)


def test_nans_of_an_operation_are_found():
    class Log(tg.Operation):
        def __call__(self, x):
            self.variables = (x,)
            return np.log(x.data)

    refused = pytest.raises(FloatingPointError, match="operation")
    with refused, np.errstate(all="ignore"), tg.debug_nans():
        tg.grad(lambda x: tg.execute_op(Log, x))(0.0)
