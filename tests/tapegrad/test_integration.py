"""``odeint`` against closed forms and SciPy."""

import numpy as np
import pytest

import tapegrad as tg

T = np.array([0.0, 0.3, 1.0, 2.5])


def decay(y, t, rate):
    return -rate * y


def decayed(y0, t, rate):
    return y0 * np.exp(-rate * (t - t[0]))


def solved(y0, t, rate):
    return tg.odeint(decay, y0, t, rate, rtol=1e-10, atol=1e-10)


TRANSFORMS = {
    "value": lambda f: f,
    "reverse": lambda f: tg.jacrev(f, (0, 1, 2)),
    "forward": lambda f: tg.jacfwd(f, (0, 1, 2)),
    "forward over reverse": lambda f: tg.jacfwd(tg.jacrev(f, (0, 1, 2)), 2),
    "batch": lambda f: (
        lambda y, t, r: tg.vmap(f, (0, None, 0))(np.stack([y, 2 * y]), t, np.stack([r, 3 * r]))
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_decay_and_its_derivatives(transform):
    make = TRANSFORMS[transform]
    for rate in (0.7, 0.8):
        wanted = tg.tree_leaves(make(decayed)(2.0, T, rate))
        for got, w in zip(tg.tree_leaves(make(solved)(2.0, T, rate)), wanted, strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-5, atol=1e-7)


def test_compiled_it_takes_the_same_steps():
    def last(y0, rate):
        return tg.odeint(decay, y0, np.array([0.0, 0.3]), rate, rtol=1e-2, atol=1e-2)[-1]

    gradient = tg.grad(last, (0, 1))
    for compiled in (tg.jit(gradient, strict=True), tg.grad(tg.jit(last, strict=True), (0, 1))):
        for rate in (0.7, 8.0, 0.71):
            np.testing.assert_allclose(compiled(2.0, rate), gradient(2.0, rate), rtol=1e-10)


def test_imperative_tensors():
    y0, t, rate = tg.tensor(2.0), tg.tensor(T), tg.tensor(0.7)
    np.sum(solved(y0, t, rate)).backward()
    wanted = tg.grad(lambda *a: np.sum(decayed(*a)), (0, 1, 2))(2.0, T, 0.7)
    for tensor, w in zip((y0, t, rate), wanted):
        np.testing.assert_allclose(tensor.grad, w, rtol=1e-5, atol=1e-7)


def test_nests_and_backwards_in_time():
    def oscillator(y, t, omega):
        return {"x": y["v"], "v": -(omega**2) * y["x"]}

    for t in (T, -T):
        out = tg.odeint(oscillator, {"x": np.ones(2), "v": 0.0 * np.ones(2)}, t, 3.0)
        assert out["x"].shape == (4, 2)
        np.testing.assert_allclose(out["x"][:, 0], np.cos(3 * t), atol=1e-6)
        np.testing.assert_allclose(out["v"][:, 1], -3 * np.sin(3 * t), atol=1e-6)
        slope = tg.grad(
            lambda w: tg.odeint(oscillator, {"x": 1.0, "v": 0.0}, t, w)["x"][-1]  # noqa: B023
        )(3.0)
        np.testing.assert_allclose(slope, -t[-1] * np.sin(3 * t[-1]), rtol=1e-5)


def test_time_dependent_equations_and_equal_times():
    t = np.array([0.0, 0.0, 1.0, 1.0, 2.0])
    out = tg.odeint(lambda y, t: np.cos(t), 0.0, t)
    np.testing.assert_allclose(out, np.sin(t), atol=1e-7)
    assert tg.odeint(lambda y, t: y, np.ones(3), np.array([1.0])).shape == (1, 3)


def test_functions_that_use_math_and_fill_buffers():
    def pendulum(y, t):
        out = np.zeros(2)
        out[0], out[1] = y[1], -np.sin(y[0])
        return out

    def flat(y, t):
        return np.stack([y[1], -np.sin(y[0])])

    def last(f):
        return lambda y: np.sum(tg.odeint(f, y, T)[-1])

    y = np.array([1.0, 0.5])
    np.testing.assert_allclose(tg.grad(last(pendulum))(y), tg.grad(last(flat))(y))


def test_what_the_function_reads_from_outside():
    slope = tg.grad(lambda a: tg.odeint(lambda y, t: -a * y, 1.0, T)[-1])(0.7)
    np.testing.assert_allclose(slope, -2.5 * np.exp(-0.7 * 2.5), rtol=1e-6)


def test_float32_stays_float32():
    out = tg.odeint(decay, np.ones(2, np.float32), T, 0.5, rtol=1e-4, atol=1e-4)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[:, 0], np.exp(-0.5 * T), rtol=1e-3)


def test_it_agrees_with_scipy():
    integrate = pytest.importorskip("scipy.integrate")

    def hunters(y, t, p):
        prey, hunter = y
        return np.stack([p[0] * prey - p[1] * prey * hunter, p[2] * prey * hunter - p[3] * hunter])

    p, y0, t = np.array([1.1, 0.4, 0.1, 0.4]), np.array([10.0, 5.0]), np.linspace(0, 5, 4)

    def by_scipy(p):
        found = integrate.solve_ivp(
            lambda t, y: hunters(y, t, p), (t[0], t[-1]), y0, "DOP853", t, rtol=1e-12, atol=1e-12
        )
        return found.y.T

    def ours(p):
        return tg.odeint(hunters, y0, t, p, rtol=1e-9, atol=1e-9)

    np.testing.assert_allclose(ours(p), by_scipy(p), rtol=1e-6)
    jacobian = tg.jacfwd(ours)(p)
    for i, e in enumerate(1e-5 * np.eye(4)):
        slope = (by_scipy(p + e) - by_scipy(p - e)) / 2e-5
        np.testing.assert_allclose(jacobian[..., i], slope, rtol=1e-4, atol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="increasing or in decreasing"):
        tg.odeint(decay, 1.0, np.array([0.0, 1.0, 0.5]), 1.0)
    with pytest.raises(ValueError, match="a sequence of times"):
        tg.odeint(decay, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="must return what y0 is"):
        tg.odeint(lambda y, t: np.ones(3), np.ones(2), T)
    with pytest.raises(RuntimeError, match="more than mxstep=3 steps"):
        tg.odeint(decay, 1.0, T, 1.0, mxstep=3)
    with pytest.raises(RuntimeError, match="too short"), np.errstate(all="ignore"):
        tg.odeint(lambda y, t: y * y, 1.0, np.array([0.0, 2.0]))
    with pytest.raises(TypeError, match="func must be a function"):
        tg.odeint(3, 1.0, T)
