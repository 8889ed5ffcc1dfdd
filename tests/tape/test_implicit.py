"""``custom_root``, ``custom_linear_solve``, ``fixed_point``: derivatives of what solvers find."""

import functools

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(3)
A = RNG.normal(size=(2, 2)) + 3 * np.eye(2)
B = RNG.normal(size=2)


def matrix_of(g, n):
    """The matrix of a linear function of vectors."""
    return np.stack([np.asarray(g(e)) for e in np.eye(n)], axis=-1)


def dense(g, y):
    return np.linalg.solve(matrix_of(g, y.size), y)


def bisected(f, guess):
    low, high = 0.0, 100.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if float(f(np.array(middle))) > 0 else (middle, high)
    return middle


def cube_root(a):
    return tg.custom_root(lambda x: x**3 - a, 1.0, bisected, lambda g, y: y / g(1.0))


def cramer(a, b):
    above = np.stack([a[1, 1] * b[0] - a[0, 1] * b[1], a[0, 0] * b[1] - a[1, 0] * b[0]])
    return above / (a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0])


def solved(a, b):
    return tg.custom_linear_solve(
        lambda v: a @ v,
        b,
        lambda matvec, y: np.linalg.solve(a, y),
        lambda vecmat, y: np.linalg.solve(a.T, y),
    )


def by_iteration(a, b):
    return tg.fixed_point(lambda p, x: x - 0.2 * (p[0] @ x - p[1]), (a, b), np.zeros(2))


def by_root(a, b):
    return tg.custom_root(lambda x: a @ x - b, np.zeros(2), lambda f, x: -dense(
        lambda v: f(v) - f(0 * v), f(0 * x)
    ), dense)  # fmt: skip


TRANSFORMS = {
    "value": lambda f: f,
    "jit": lambda f: tg.jit(f, strict=True),
    "reverse": lambda f: tg.jacrev(f, (0, 1)),
    "forward": lambda f: tg.jacfwd(f, (0, 1)),
    "jit of reverse": lambda f: tg.jit(tg.jacrev(f, (0, 1)), strict=True),
    "jit of forward": lambda f: tg.jit(tg.jacfwd(f, (0, 1)), strict=True),
    "reverse of jit": lambda f: tg.jacrev(tg.jit(f), (0, 1)),
    "forward over reverse": lambda f: tg.jacfwd(tg.jacrev(f, (0, 1)), (0, 1)),
    "reverse over forward": lambda f: tg.jacrev(tg.jacfwd(f, (0, 1)), (0, 1)),
    "reverse over reverse": lambda f: tg.jit(tg.jacrev(tg.jacrev(f, (0, 1)))),
    "batch": lambda f: lambda a, b: tg.vmap(f, (0, None))(np.stack([a, 2 * a]), b),
    "batch of both": lambda f: lambda a, b: tg.vmap(f)(np.stack([a, 2 * a]), np.stack([b, -b])),
    "batch of jacobians": lambda f: (
        lambda a, b: tg.vmap(tg.jacrev(f, (0, 1)), (None, 0))(a, np.stack([b, -b]))
    ),
    "gradient of batches": lambda f: tg.grad(
        lambda a, b: np.sum(
            tg.vmap(tg.vmap(f, (None, 0)), (0, None))(np.stack([a, 2 * a]), np.stack([b, 3 * b]))
            ** 2
        ),
        (0, 1),
    ),
    "jit of batches": lambda f: tg.jit(
        lambda a, b: tg.vmap(tg.jacfwd(f), (0, None))(np.stack([a, 2 * a]), b)
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("solver", [solved, by_iteration, by_root])
def test_solutions_of_linear_equations(solver, transform):
    make = TRANSFORMS[transform]
    wanted = tg.tree_leaves(make(cramer)(A, B))
    function = make(solver)
    for _ in range(2):
        for got, w in zip(tg.tree_leaves(function(A, B)), wanted, strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-7, atol=1e-9)


def test_third_derivatives_and_imperative_tensors():
    third = tg.grad(tg.grad(tg.grad(cube_root)))
    np.testing.assert_allclose(third(8.0), 10 / 27 * 8.0 ** (-8 / 3), rtol=1e-9)
    t = tg.tensor(8.0)
    y = cube_root(t)
    y.backward()
    np.testing.assert_allclose([y.item(), t.grad], [2.0, 1 / 12])
    t, b = tg.tensor(A), tg.tensor(B)
    np.sum(solved(t, b) ** 2).backward()
    wanted = tg.grad(lambda a, b: np.sum(cramer(a, b) ** 2), (0, 1))(A, B)
    np.testing.assert_allclose(t.grad, wanted[0])
    np.testing.assert_allclose(b.grad, wanted[1])


def test_compiled_the_solver_runs_at_each_call():
    gradient = tg.jit(tg.grad(cube_root), strict=True)
    for a in (8.0, 27.0, 64.0):
        np.testing.assert_allclose(gradient(a), a ** (-2 / 3) / 3)
    assert gradient.stats().traces <= 2


def test_on_a_tape_and_in_branches():
    t = tg.tensor(8.0)
    with tg.Tape() as tape:
        y = cube_root(t)
    np.testing.assert_allclose(tape.gradient(y, [t])[0], 1 / 12)
    program = tape.program([t], [y])
    value, slope = program.reverse()(27.0, np.array(1.0))
    np.testing.assert_allclose([value, slope], [3.0, 1 / 27])

    def chosen(a):
        return tg.cond(a > 0, cube_root, lambda a: -cube_root(-a), a)

    gradient = tg.jit(tg.grad(chosen), strict=True)
    for a in (8.0, -8.0):
        np.testing.assert_allclose(gradient(a), 1 / 12)
        np.testing.assert_allclose(tg.grad(chosen)(a), 1 / 12)
    np.testing.assert_allclose(tg.vmap(tg.grad(chosen))(np.array([8.0, -8.0])), [1 / 12] * 2)
    checkpointed = tg.checkpoint(lambda a: cube_root(a) ** 2)
    np.testing.assert_allclose(tg.grad(checkpointed)(8.0), 2 * 2 / 12)


def test_nests():
    def solution(a, b):
        def matvec(v):
            return {"x": a * v["x"] + v["y"][0], "y": [v["y"][0] * 2 + v["x"]]}

        def solve(function, right):
            flat, back = np.array([right["x"], right["y"][0]]), lambda v: {"x": v[0], "y": [v[1]]}
            of = lambda v: (lambda out: np.array([out["x"], out["y"][0]]))(function(back(v)))
            return back(dense(of, flat))

        out = tg.custom_linear_solve(matvec, {"x": b, "y": [1.0]}, solve, solve)
        return out["x"] * out["y"][0]

    def wanted(a, b):
        out = cramer(np.stack([np.stack([a, 1.0]), np.array([1.0, 2.0])]), np.stack([b, 1.0]))
        return out[0] * out[1]

    for make in (lambda f: tg.grad(f, (0, 1)), lambda f: tg.jit(tg.grad(f, (0, 1)))):
        np.testing.assert_allclose(make(solution)(3.0, 5.0), make(wanted)(3.0, 5.0))


def test_a_symmetric_matrix_needs_one_solver_and_others_two_in_reverse_mode():
    symmetric = A + A.T

    def solution(b, **how):
        return np.sum(
            tg.custom_linear_solve(
                lambda v: symmetric @ v, b, lambda _, y: np.linalg.solve(symmetric, y), **how
            )
        )

    wanted = np.linalg.solve(symmetric, np.ones(2))
    np.testing.assert_allclose(tg.grad(lambda b: solution(b, symmetric=True))(B), wanted)
    np.testing.assert_allclose(tg.jacfwd(solution)(B), wanted)
    with pytest.raises(TypeError, match="give it transpose_solve, or symmetric=True"):
        tg.grad(solution)(B)


def test_an_equation_that_asks_for_values():
    def root(a):
        def f(x):
            return x**3 - a if float(x) > 0 else x - 10.0

        return tg.custom_root(f, 1.0, bisected, lambda g, y: y / g(1.0))

    np.testing.assert_allclose(tg.grad(root)(8.0), 1 / 12)
    np.testing.assert_allclose(tg.grad(tg.grad(root))(8.0), -2 / 9 * 8 ** (-5 / 3))
    np.testing.assert_allclose(tg.vmap(tg.grad(root))(np.array([8.0, 27.0])), [1 / 12, 1 / 27])


def test_a_solution_inside_of_an_equation():
    def root(a):  # x * cbrt(x) = a, of which the cube root is found by a solver, too
        return tg.custom_root(
            lambda x: x * cube_root(x) - a, 1.0, bisected, lambda g, y: y / g(1.0)
        )

    a, power = 5.0, 0.75
    np.testing.assert_allclose(root(a), a**power)
    np.testing.assert_allclose(tg.grad(root)(a), power * a ** (power - 1))
    np.testing.assert_allclose(tg.jacfwd(root)(a), power * a ** (power - 1))
    np.testing.assert_allclose(tg.jit(tg.grad(root))(a), power * a ** (power - 1))
    second = power * (power - 1) * a ** (power - 2)
    np.testing.assert_allclose(tg.grad(tg.grad(root))(a), second, rtol=1e-6)


def test_errors():
    with pytest.raises(TypeError, match="custom_root: solve must be a function"):
        tg.custom_root(np.sin, 1.0, 3, 4)
    with pytest.raises(ValueError, match="structure and shapes of its argument"):
        tg.custom_root(lambda x: np.ones(3), 1.0, bisected, dense)
    with pytest.raises(ValueError, match="a solution must be as what it started from"):
        tg.custom_root(lambda x: x - 1, 1.0, lambda f, x: np.ones(2), dense)
    with pytest.raises(ValueError, match="a solution must be as what it started from"):
        tg.custom_root(lambda x: x - 1, 1.0, lambda f, x: (1.0, 2.0), dense)
    with pytest.raises(RuntimeError, match="does not converge"):
        tg.fixed_point(lambda a, x: 2 * x + a, 1.0, 1.0, max_steps=50)

    class Holder:
        pass

    holder = Holder()

    def hidden(a):
        holder.a = a
        return tg.custom_root(
            lambda x: x - a, 1.0, lambda f, x: holder.a * 1.0, lambda g, y: y / g(1.0)
        )

    with pytest.raises(TypeError, match="a solver returned a traced value"):
        tg.grad(hidden)(1.0)


# SciPy's solvers ---------------------------------------------------------------------------------------


def test_brentq():
    optimize = pytest.importorskip("scipy.optimize")

    def kepler(m, e):
        solve = lambda f, guess: optimize.brentq(f, 0.0, 7.0)
        return tg.custom_root(lambda x: x - e * np.sin(x) - m, m, solve, lambda g, y: y / g(1.0))

    x = kepler(1.0, 0.3)
    slopes = np.array([1.0, np.sin(x)]) / (1 - 0.3 * np.cos(x))
    np.testing.assert_allclose(tg.grad(kepler, (0, 1))(1.0, 0.3), slopes)
    np.testing.assert_allclose(tg.jit(tg.grad(kepler, (0, 1)))(1.0, 0.3), slopes)
    second = -0.3 * np.sin(x) / (1 - 0.3 * np.cos(x)) ** 3
    np.testing.assert_allclose(tg.grad(tg.grad(kepler))(1.0, 0.3), second)
    many = tg.vmap(tg.grad(kepler), (0, None))(np.array([1.0, 2.0]), 0.3)
    np.testing.assert_allclose(many, [slopes[0], tg.grad(kepler)(2.0, 0.3)])


def test_root():
    optimize = pytest.importorskip("scipy.optimize")

    def crossing(a):
        f = lambda x: np.stack([x[0] ** 2 + x[1] ** 2 - a, x[0] - x[1]])
        return tg.custom_root(f, np.ones(2), lambda f, x: optimize.root(f, x, tol=1e-12).x, dense)

    wanted = 1 / np.sqrt(8 * 3.0)
    np.testing.assert_allclose(tg.jacrev(crossing)(3.0), [wanted] * 2, rtol=1e-7)
    np.testing.assert_allclose(tg.jit(tg.jacfwd(crossing))(3.0), [wanted] * 2, rtol=1e-7)
    second = tg.jacfwd(tg.jacrev(crossing))(3.0)
    np.testing.assert_allclose(second, [-(24.0**-1.5) * 4] * 2, rtol=1e-6)


def test_minimize():
    optimize = pytest.importorskip("scipy.optimize")
    data, target = RNG.normal(size=(8, 2)), RNG.normal(size=8)

    def loss(x, ridge):
        return np.sum((data @ x - target) ** 2) + ridge * np.sum(x * x)

    def minimum(ridge):
        def solve(_, x):
            return optimize.minimize(tg.value_and_grad(loss), x, (ridge,), jac=True, tol=1e-12).x

        return tg.custom_root(lambda x: tg.grad(loss)(x, ridge), np.zeros(2), solve, dense)

    system = data.T @ data + 0.5 * np.eye(2)
    x = np.linalg.solve(system, data.T @ target)
    wanted = -np.linalg.solve(system, x)
    np.testing.assert_allclose(minimum(0.5), x, rtol=1e-6)
    np.testing.assert_allclose(tg.jacrev(minimum)(0.5), wanted, rtol=1e-5)
    np.testing.assert_allclose(tg.jit(tg.jacfwd(minimum))(0.5), wanted, rtol=1e-5)


def test_quad():
    integrate = pytest.importorskip("scipy.integrate")

    @functools.partial(tg.custom_vjp, nondiff_argnums=0)
    def integral(f, a, b, p):
        return integrate.quad(f, a, b, (p,))[0]

    def bwd(f, residuals, g):
        a, b, p = residuals
        return -g * f(a, p), g * f(b, p), g * integral(tg.grad(f, 1), a, b, p)

    integral.defvjp(lambda f, a, b, p: (integral(f, a, b, p), (a, b, p)), bwd)

    def area(a, b, p):
        return integral(lambda x, p: np.exp(-p * x), a, b, p)

    def wanted(a, b, p):
        return (np.exp(-p * a) - np.exp(-p * b)) / p

    for make in (
        lambda f: tg.grad(f, (0, 1, 2)),
        lambda f: tg.grad(tg.grad(f, 2), (0, 1, 2)),
        lambda f: lambda *x: tg.jvp(tg.grad(f, 2), x, (1.0, 1.0, 1.0)),
        lambda f: lambda a, b, p: tg.vmap(tg.grad(f), (0, None, None))(np.array([a, 0.1]), b, p),
    ):
        np.testing.assert_allclose(make(area)(0.3, 2.0, 0.7), make(wanted)(0.3, 2.0, 0.7))
    with pytest.warns(RuntimeWarning, match="without compiling"):
        got = tg.jit(tg.grad(area, 2))(0.3, 2.0, 0.7)
    np.testing.assert_allclose(got, tg.grad(wanted, 2)(0.3, 2.0, 0.7))


def test_spsolve():
    sparse = pytest.importorskip("scipy.sparse")
    linalg = pytest.importorskip("scipy.sparse.linalg")
    rows, cols = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 2])

    def spsolve(data, b):
        def matvec(v):
            out = np.zeros(3)
            np.add.at(out, rows, data * v[cols])
            return out

        def solve(_, y):
            return linalg.spsolve(sparse.csc_matrix((data, (rows, cols))), y)

        def transpose_solve(_, y):
            return linalg.spsolve(sparse.csc_matrix((data, (cols, rows))), y)

        return tg.custom_linear_solve(matvec, b, solve, transpose_solve)

    data, b = np.array([2.0, 1.0, 3.0, -1.0, 4.0]), np.array([1.0, 2.0, 3.0])
    full = sparse.csc_matrix((data, (rows, cols))).toarray()
    x = np.linalg.solve(full, b)
    y = np.linalg.solve(full.T, np.ones(3))
    for make in (tg.grad, lambda f, n: tg.jit(tg.grad(f, n))):
        by_data, by_b = make(lambda data, b: np.sum(spsolve(data, b)), (0, 1))(data, b)
        np.testing.assert_allclose(by_data, -y[rows] * x[cols])
        np.testing.assert_allclose(by_b, y)
    hessian = tg.hessian(lambda data: np.sum(spsolve(data, b)))(data)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    step = np.array([1e-5, 0, 0, 0, 0])
    slope = tg.grad(lambda data: np.sum(spsolve(data, b)))
    np.testing.assert_allclose(
        hessian[0], (slope(data + step) - slope(data - step)) / 2e-5, rtol=1e-6
    )
