"""Plain arrays that arrays are stored into which traced values were stored into before."""

import numpy as np
import pytest
from agreeing import check

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


@program
def by_store_promoted_into_plain(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.empty(6)
    un[:] = u
    return np.sum(un * x)


@program
def into_an_empty_slice(x):
    u = np.ones(6)
    u[4:2] += x[0]
    u[3:3] *= x[1]
    u[6:] = x[2]
    v = u[2:2]
    v += x[3]
    u[:0].fill(x[4])
    np.add(u[:0], x[5], out=u[:0])
    u[np.zeros(6, bool)] = x[0]
    return np.sum(u * x)


@program
def into_an_empty_array(x):
    u = np.ones((3, 0))
    u += x[0]
    return np.sum(u) + np.sum(x * x)


@program
def by_store_slice_of_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.empty(6)
    un[1:] = u[:-1]
    un[0] = 1
    return np.sum(un * x)


@program
def by_copyto_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.empty(6)
    np.copyto(un, u)
    return np.sum(un * x)


@program
def by_iadd_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.ones(6)
    un += u
    return np.sum(un * x)


@program
def by_out_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.ones(6)
    np.add(un, u, out=un)
    return np.sum(un * x)


@program
def by_rows_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.ones((2, 6))
    un[0] = u
    un[1] = u[::-1]
    return np.sum(un * x)


@program
def by_setitem(x):
    un = np.zeros(6)
    un.__setitem__(slice(None), x * x)
    return np.sum(un * x)


@program
def by_setitem___promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.zeros(6)
    un.__setitem__(slice(None), u)
    return np.sum(un * x)


@program
def by_put_fill_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.zeros(6)
    un.put([0, 1], u[:2])
    un.fill(u[0])
    return np.sum(un * x)


@program
def by_flat_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.zeros(6)
    un.flat[:] = u
    return np.sum(un * x)


@program
def by_ndarray___setitem___promoted(x):
    u = np.zeros(6)
    u[:] = x
    un = np.zeros(6)
    np.ndarray.__setitem__(un, slice(None), u)
    return np.sum(un * x)


@program
def by_broadcast_readonly(x):
    b = np.broadcast_to(x[0] * 2, (6,))
    try:
        b[0] = 3.0
    except ValueError:
        return np.sum(b * x)
    return np.sum(x) * 0


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_those_of_the_program(function):
    check(function)
