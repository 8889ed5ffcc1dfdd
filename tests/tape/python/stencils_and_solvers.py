"""Numerical programs of the benchmark lists NPBench and PolyBench, as NumPy users write them.

Each is written from its mathematical description. They write into their arguments, or into arrays that
they make with ``np.zeros`` and ``np.empty``, and know nothing of tapegrad.
"""

import numpy as np


def gemm(alpha, beta, C, A, B):
    """C = alpha A B + beta C."""
    C *= beta
    C += alpha * (A @ B)


def trmm(alpha, A, B):
    """B = alpha A^T B, where A is lower triangular with ones on its diagonal."""
    for i in range(B.shape[0]):
        for j in range(B.shape[1]):
            B[i, j] += np.dot(A[i + 1 :, i], B[i + 1 :, j])
    B *= alpha


def jacobi_1d(steps, A, B):
    """Means of three neighbours, from A to B and back."""
    for _ in range(steps):
        B[1:-1] = (A[:-2] + A[1:-1] + A[2:]) / 3.0
        A[1:-1] = (B[:-2] + B[1:-1] + B[2:]) / 3.0


def jacobi_2d(steps, A, B):
    """Means of five neighbours, from A to B and back."""
    for _ in range(steps):
        B[1:-1, 1:-1] = 0.2 * (
            A[1:-1, 1:-1] + A[1:-1, :-2] + A[1:-1, 2:] + A[2:, 1:-1] + A[:-2, 1:-1]
        )
        A[1:-1, 1:-1] = 0.2 * (
            B[1:-1, 1:-1] + B[1:-1, :-2] + B[1:-1, 2:] + B[2:, 1:-1] + B[:-2, 1:-1]
        )


def heat_3d(steps, A, B):
    """Explicit steps of the heat equation in a box, from A to B and back."""
    inside = (slice(1, -1),) * 3
    for _ in range(steps):
        for old, new in ((A, B), (B, A)):
            new[inside] = old[inside]
            for axis in range(3):
                before, after = list(inside), list(inside)
                before[axis], after[axis] = slice(None, -2), slice(2, None)
                new[inside] += 0.125 * (old[tuple(before)] - 2.0 * old[inside] + old[tuple(after)])


def fdtd_2d(ex, ey, hz, source):
    """Maxwell's equations in the plane by finite differences in time, driven from one edge."""
    for strength in source:
        ey[0, :] = strength
        ey[1:, :] -= 0.5 * (hz[1:, :] - hz[:-1, :])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])


def adi(steps, u):
    """The heat equation in a square by alternating directions, each implicit along one axis.

    A sweep eliminates from one end (with the factors p and q) and substitutes back from the other.
    """
    n = u.shape[0]
    v, p, q = np.zeros_like(u), np.zeros((n, n)), np.empty((n, n))
    dx, dt = 1.0 / n, 1.0 / steps
    mul1, mul2 = 2.0 * dt / dx**2, dt / dx**2
    a, b = -mul1 / 2.0, 1.0 + mul1
    d, e = -mul2 / 2.0, 1.0 + mul2
    for _ in range(steps):
        # Columns are implicit.
        v[0, 1:-1] = 1.0
        p[1:-1, 0] = 0.0
        q[1:-1, 0] = v[0, 1:-1]
        for j in range(1, n - 1):
            p[1:-1, j] = -a / (a * p[1:-1, j - 1] + b)
            q[1:-1, j] = (
                -d * u[j, :-2] + (1.0 + 2.0 * d) * u[j, 1:-1] - d * u[j, 2:] - a * q[1:-1, j - 1]
            ) / (a * p[1:-1, j - 1] + b)
        v[-1, 1:-1] = 1.0
        for j in range(n - 2, 0, -1):
            v[j, 1:-1] = p[1:-1, j] * v[j + 1, 1:-1] + q[1:-1, j]
        # Rows are implicit.
        u[1:-1, 0] = 1.0
        p[1:-1, 0] = 0.0
        q[1:-1, 0] = u[1:-1, 0]
        for j in range(1, n - 1):
            p[1:-1, j] = -d / (d * p[1:-1, j - 1] + e)
            q[1:-1, j] = (
                -a * v[:-2, j] + (1.0 + 2.0 * a) * v[1:-1, j] - a * v[2:, j] - d * q[1:-1, j - 1]
            ) / (d * p[1:-1, j - 1] + e)
        u[1:-1, -1] = 1.0
        for j in range(n - 2, 0, -1):
            u[1:-1, j] = p[1:-1, j] * u[1:-1, j + 1] + q[1:-1, j]


def gramschmidt(A):
    """A = Q R with orthonormal columns of Q, by the modified Gram-Schmidt process; A is used up."""
    Q, R = np.zeros_like(A), np.zeros((A.shape[1], A.shape[1]), dtype=A.dtype)
    for k in range(A.shape[1]):
        R[k, k] = np.sqrt(np.dot(A[:, k], A[:, k]))
        Q[:, k] = A[:, k] / R[k, k]
        for j in range(k + 1, A.shape[1]):
            R[k, j] = np.dot(Q[:, k], A[:, j])
            A[:, j] -= Q[:, k] * R[k, j]
    return Q, R


def ludcmp(A, b):
    """Solve A x = b: LU decomposition of A in place, then two substitutions."""
    n = len(b)
    x, y = np.zeros_like(b), np.zeros_like(b)
    for i in range(n):
        for j in range(i):
            A[i, j] -= A[i, :j] @ A[:j, j]
            A[i, j] /= A[j, j]
        for j in range(i, n):
            A[i, j] -= A[i, :i] @ A[:i, j]
    for i in range(n):
        y[i] = b[i] - A[i, :i] @ y[:i]
    for i in range(n - 1, -1, -1):
        x[i] = (y[i] - A[i, i + 1 :] @ x[i + 1 :]) / A[i, i]
    return x, y


def conv2d(images, weights, bias):
    """Correlate images (n, height, width, channels) with weights (k, k, channels, outputs)."""
    k = weights.shape[0]
    n, height, width, _ = images.shape
    output = np.empty((n, height - k + 1, width - k + 1, weights.shape[3]), dtype=np.float64)
    for i in range(output.shape[1]):
        for j in range(output.shape[2]):
            patch = images[:, i : i + k, j : j + k, :, np.newaxis]
            output[:, i, j, :] = np.sum(patch * weights, axis=(1, 2, 3))
    return output + bias


def vadv(tendency, u_stage, wcon, u_pos, utens):
    """Vertical advection of a weather model: a tridiagonal system in each column of air.

    All arrays are (I, J, K) but `wcon`, the vertical wind, which is (I + 1, J, K). The result is
    written into `tendency`.
    """
    i, j, k = tendency.shape
    dtr, minus, plus = 3.0 / 20.0, 0.5 * (1.0 - 0.2), 0.5 * (1.0 + 0.2)
    ccol, dcol = np.ndarray((i, j, k)), np.ndarray((i, j, k))
    column = np.ndarray((i, j))

    def wind(level):
        return 0.25 * (wcon[1:, :, level] + wcon[:-1, :, level])

    # Eliminate from the ground upwards.
    for level in range(k):
        correction = np.zeros((i, j))
        upper, lower = np.zeros((i, j)), np.zeros((i, j))
        if level < k - 1:
            upper = wind(level + 1) * plus
            correction -= (
                wind(level + 1) * minus * (u_stage[:, :, level + 1] - u_stage[:, :, level])
            )
        if level > 0:
            lower = -wind(level) * plus
            correction += wind(level) * minus * (u_stage[:, :, level - 1] - u_stage[:, :, level])
        diagonal = dtr - lower - upper
        ccol[:, :, level] = upper
        dcol[:, :, level] = (
            dtr * u_pos[:, :, level] + utens[:, :, level] + tendency[:, :, level] + correction
        )
        if level > 0:
            diagonal = diagonal - ccol[:, :, level - 1] * lower
            dcol[:, :, level] -= dcol[:, :, level - 1] * lower
        ccol[:, :, level] /= diagonal
        dcol[:, :, level] /= diagonal

    # Substitute back.
    for level in range(k - 1, -1, -1):
        column[:] = dcol[:, :, level] - (ccol[:, :, level] * column if level < k - 1 else 0.0)
        tendency[:, :, level] = dtr * (column - u_pos[:, :, level])
