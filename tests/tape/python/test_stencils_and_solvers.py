"""Programs of NPBench and PolyBench, which write into plain arrays, differentiate as they are."""

import functools

import numpy as np
import pytest
import stencils_and_solvers as programs

import tapegrad as tg


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


def _well_conditioned(n):
    return normal(n, n) + 4.0 * np.eye(n)


#: The program, its arguments, and which of them it writes; what it returns counts, too.
CASES = {
    "gemm": (programs.gemm, (1.5, 1.2, normal(3, 4), normal(3, 2), normal(2, 4)), (2,)),
    "trmm": (programs.trmm, (1.5, normal(4, 4), normal(4, 3)), (2,)),
    "jacobi_1d": (functools.partial(programs.jacobi_1d, 3), (normal(8), normal(8)), (0, 1)),
    "jacobi_2d": (functools.partial(programs.jacobi_2d, 2), (normal(5, 6), normal(5, 6)), (0, 1)),
    "heat_3d": (
        functools.partial(programs.heat_3d, 2), (normal(4, 5, 4), normal(4, 5, 4)), (0, 1),
    ),
    "fdtd_2d": (
        programs.fdtd_2d, (normal(4, 5), normal(4, 5), normal(5, 4).T, normal(3)), (0, 1, 2),
    ),
    "adi": (functools.partial(programs.adi, 3), (normal(5, 5),), (0,)),
    "gramschmidt": (programs.gramschmidt, (normal(5, 3),), (0,)),
    "ludcmp": (programs.ludcmp, (_well_conditioned(4), normal(4)), (0,)),
    "conv2d": (programs.conv2d, (normal(2, 5, 4, 3), normal(2, 2, 3, 2), normal(2)), ()),
    "vadv": (
        programs.vadv,
        (normal(3, 2, 4), normal(3, 2, 4), normal(4, 2, 4), normal(3, 2, 4), normal(3, 2, 4)),
        (0,),
    ),
}  # fmt: skip

every_program = pytest.mark.parametrize("name", CASES)


def loss_of(name):
    """Return the sum of the squares of what a program writes and returns, and its arguments."""
    program, args, written = CASES[name]

    def loss(*args):
        returned = program(*args)
        if returned is None:
            returned = ()
        elif not isinstance(returned, tuple):
            returned = (returned,)
        return sum(np.sum(a * a) for a in (*returned, *(args[i] for i in written)))

    return loss, args


def copies(args):
    return [np.array(a) for a in args]


def value_at(loss, args):
    """Run the plain program on copies of its arguments."""
    return loss(*copies(args))


def differences(loss, args, wanted):
    """Central differences of the plain program by the arguments that are wanted."""
    found = []
    for n in wanted:
        slope = np.zeros_like(np.asarray(args[n]))
        for i in np.ndindex(slope.shape):
            low, high = copies(args), copies(args)
            low[n][i] -= 1e-5
            high[n][i] += 1e-5
            slope[i] = (value_at(loss, high) - value_at(loss, low)) / 2e-5
        found.append(slope)
    return found


def assert_close(actual, desired, rtol=1e-7):
    for a, b in zip(actual, desired, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.max(np.abs(b), initial=0.0))


@every_program
def test_gradients_by_all_arguments_are_those_of_differences(name):
    loss, args = loss_of(name)
    before, everything = copies(args), tuple(range(len(args)))
    value, gradients = tg.value_and_grad(loss, argnums=everything)(*args)
    np.testing.assert_allclose(value, value_at(loss, args), rtol=1e-14)
    assert_close(gradients, differences(loss, args, everything))
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)  # the caller's arrays are as they were


@every_program
def test_arguments_that_are_not_differentiated_may_be_written_into(name):
    loss, args = loss_of(name)
    before = copies(args)
    for n in range(len(args)):
        gradient = tg.grad(loss, argnums=n)(*args)
        assert_close([gradient], differences(loss, args, [n]))
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


@every_program
def test_a_pushforward_is_the_gradient_along_a_direction(name):
    loss, args = loss_of(name)
    args = copies(args)
    directions = [np.cos(np.arange(a.size)).reshape(a.shape) for a in args]
    gradients = tg.grad(loss, argnums=tuple(range(len(args))))(*args)
    value, tangent = tg.jvp(loss, args, directions)
    np.testing.assert_allclose(value, value_at(loss, args), rtol=1e-14)
    along = sum(np.sum(g * d) for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(tangent, along, rtol=1e-10)


@every_program
def test_second_derivatives_are_those_of_differences_of_gradients(name):
    loss, args = loss_of(name)
    args = copies(args)
    everything = tuple(range(len(args)))
    gradient = tg.grad(loss, argnums=everything)
    directions = [np.sin(1.0 + np.arange(a.size)).reshape(a.shape) for a in args]
    _, tangents = tg.jvp(gradient, args, directions)
    high = gradient(*(a + 1e-5 * d for a, d in zip(args, directions, strict=True)))
    low = gradient(*(a - 1e-5 * d for a, d in zip(args, directions, strict=True)))
    desired = [(h - w) / 2e-5 for h, w in zip(high, low, strict=True)]
    assert_close(tangents, desired, rtol=1e-6)


@every_program
def test_a_batch_of_programs_is_the_programs_one_by_one(name):
    loss, args = loss_of(name)
    batches = [np.stack([np.asarray(a), 1.1 * np.asarray(a) + 0.1]) for a in args]
    everything = tuple(range(len(args)))
    for f in (loss, tg.grad(loss, argnums=everything)):
        together = tg.vmap(f)(*batches)
        apart = [f(*(b[i].copy() for b in batches)) for i in range(2)]
        if f is loss:
            together, apart = (together,), [(a,) for a in apart]
        assert_close(together, [np.stack(parts) for parts in zip(*apart, strict=True)], rtol=1e-12)
    for b, a in zip(batches, args, strict=True):
        np.testing.assert_array_equal(b[0], a)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.deep) if n == "vadv" else n for n in CASES],  # 10 s
)
def test_compiled_gradients_are_those_of_the_eager_run(name):
    loss, args = loss_of(name)
    gradient = tg.grad(loss, argnums=tuple(range(len(args))))
    compiled = tg.jit(gradient)
    for scale in (1.0, 1.0, 1.1):
        scaled = [scale * np.asarray(a) for a in args]
        assert_close(compiled(*scaled), gradient(*scaled), rtol=1e-10)
    assert compiled.stats().eager_calls == 0
