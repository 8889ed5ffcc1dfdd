"""Loops under jit that change what other names, views and objects show, too."""

import functools

import numpy as np
import pytest
from agreeing import check

N = 100

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


class Box:
    pass


@program
def with_alias_iadd(x):
    a = np.zeros(3)
    b = a
    for _i in range(N):
        a += x[0]
    return np.sum(a) + np.sum(b) * x[1]


@program
def with_alias_in_list_iadd(x):
    a = np.zeros(3)
    b = [a]
    for _i in range(N):
        a += x[:3]
    return np.sum(a) + np.sum(b[0]) * x[1]


@program
def with_alias_traced_iadd(x):
    a = x * 1.0
    b = a
    for _i in range(N):
        a *= 0.99
    return np.sum(b) * x[1]


@program
def with_alias_view_traced_iadd(x):
    a = x * 1.0
    b = a[1:3]
    for _i in range(N):
        a *= 0.99
    return np.sum(b) * x[1]


@program
def with_view_written_base_read(x):
    a = x * 1.0
    b = a[1:3]
    for _i in range(N):
        b *= 0.99
        b += a[0]
    return np.sum(a) * x[1]


@program
def with_list_item_alias(x):
    xs = [x[0], x[1]]
    m = xs
    for _i in range(N):
        xs[0] = xs[0] * 0.9 + xs[1]
    return m[0]


@program
def with_list_rebound(x):
    xs = [x[0], x[1]]
    m = xs
    for _i in range(N):
        xs = [xs[0] * 0.9 + xs[1], xs[1]]
    return m[0] + xs[0]


@program
def with_dict_items(x):
    d = {"a": x[0]}
    it = d.items()
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[2]
    return sum((v for k, v in it))


@program
def with_dict_values_inside(x):
    d = {"a": x[0]}
    vs = d.values()
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[2]
        t = t + sum(vs)
    return t


@program
def with_vars_in(x):
    o = Box()
    o.a = x[0]
    d = vars(o)
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + o.a
    return t


@program
def with_vars_in2(x):
    o = Box()
    o.a = x[0]
    d = o.__dict__
    t = 0.0
    for _i in range(N):
        o.a = o.a * 0.9 + x[1]
        t = t + d["a"]
    return t


@program
def with_len_alias(x):
    xs = [x[0]]
    ys = xs
    t = 0.0
    for i in range(N):
        xs.append(x[i % 6])
        t = t + len(ys) * x[1]
    return t


@program
def with_iter_of_list_before(x):
    xs = []
    it = iter(xs)
    for i in range(N):
        xs.append(x[i % 6] * i)
    return sum(it)


@program
def with_closure_list(x):
    xs = []

    def f():
        return len(xs)

    t = 0.0
    for i in range(N):
        xs.append(x[i % 6] * i)
        t = t + f() * x[0]
    return t


@program
def with_array_iter(x):
    w = np.zeros(N)
    it = iter(w)
    t = 0.0
    for i in range(N):
        w[i] = x[i % 6]
        t = t + next(it)
    return t


@program
def with_flat_in(x):
    w = np.zeros(N)
    f = w.flat
    t = 0.0
    for i in range(N):
        w[i] = x[i % 6]
        t = t + f[i]
    return t


@program
def with_flat_store(x):
    w = np.zeros(N)
    f = w.flat
    for i in range(N):
        f[i] = x[i % 6]
    return np.sum(w * w)


@program
def with_rng_vec(x):
    rng = np.random.default_rng(3)
    t = 0.0
    for _i in range(N):
        t = t + np.sum(x * rng.standard_normal(6))
    return t


@program
def with_randomstate(x):
    rng = np.random.RandomState(3)
    t = 0.0
    for _i in range(N):
        t = t + np.sum(x * rng.randn(6))
    return t


@program
def with_rng_method(x):
    rng = np.random.default_rng(3)
    f = rng.normal
    t = 0.0
    for _i in range(N):
        t = t + np.sum(x * f())
    return t


@program
def with_rng_helper(x):
    rng = np.random.default_rng(3)
    t = 0.0

    def noise():
        return rng.normal()

    for _i in range(N):
        t = t + np.sum(x * noise())
    return t


@program
def with_sorted_key_list(x):
    xs = list(x)

    def key(v):
        o = []
        for i in range(N):
            o.append(v * (i * 7 % 5))
        return o

    return sorted(xs, key=key, reverse=True)[0] * 2


@program
def with_apply_nested(x):

    def g(v):
        o = []
        for i in range(N):
            o.append(v * i)
        return o

    def h(v):
        return g(v)

    return np.sum(np.apply_along_axis(h, 0, np.stack([x, x])[:1].T.ravel()[:1]))


@program
def with_reduce(x):

    def g(v):
        o = []
        for i in range(N):
            o.append(v * i)
        return o

    r = functools.reduce(lambda s, v: s + g(v), [x[0], x[1]], [])
    return r[5] + sum(r)


@program
def with_iter(x):

    class V:
        def __init__(s, v):
            s.v = v

        def __iter__(s):
            o = []
            for i in range(N):
                o.append(s.v * i)
            return iter(o)

        def __len__(s):
            return N

    return sum(V(x[0])) + np.sum(np.array(list(V(x[1]))))


@program
def with_partial_map(x):
    from functools import partial

    def g(k, v):
        o = []
        for i in range(N):
            o.append(v * i * k)
        return o

    return sum(sum(z) for z in map(partial(g, 2.0), [x[0], x[1]]))


@program
def with_vectorize(x):
    f = np.vectorize(lambda v: (lambda o: [o.append(v * i) for i in range(N)] and o[-1])([]))
    return np.sum(f(x))


@program
def with_max_key(x):

    def g(v):
        o = []
        for i in range(N):
            o.append(v * i)
        return o

    return max([x[0], x[1]], key=g) + min(map(g, x[:2]))[7]


@program
def with_alias_carried(x):
    u = x * 1.0
    v = u
    w = u
    for _i in range(N):
        u, v = (v * 0.9, u + 1)
    return np.sum(u + v * w)


@program
def with_alias_rebinds(x):
    u = np.zeros(6)
    v = u
    for _i in range(N):
        u[:] = v * 0.9 + x
        v = u
    return np.sum(u * v)


@program
def with_two_arrays(x):
    u = np.zeros(6)
    v = np.zeros(6)
    for _i in range(N):
        u[:] = v * 0.9 + x
        v[:] = u
    return np.sum(u * v)


@program
def with_written_carried_alias(x):
    u = np.zeros(6)
    v = u.copy()
    for _i in range(N):
        v = u
        u = v * 0.5 + x
        v[0] = 1.0
    return np.sum(u * v)


@program
def with_dict_arr(x):
    u = np.zeros(6)
    g = {"u": u}
    for _i in range(N):
        g["u"][:] = g["u"] * 0.9 + x
    return np.sum(u)


@program
def with_attr_arr(x):
    u = np.zeros(6)
    o = Box()
    o.u = u
    for _i in range(N):
        o.u[:] = o.u * 0.9 + x
    return np.sum(u)


@program
def with_rows(x):
    u = np.zeros((2, 6))
    r0, r1 = u
    for _i in range(N):
        r0[:] = r1 * 0.9 + x
        r1[:] = r0 * 0.5
    return np.sum(u[0] * u[1])


@program
def with_setitem_dunder_in_loop(x):
    un = np.zeros(6)
    for _i in range(N):
        un.__setitem__(slice(1, 4), un[1:4] * 0.5 + x[1:4])
    return np.sum(un * x)


@program
def with_setitem_class_dunder_in_loop(x):
    un = np.zeros(6)
    for _i in range(N):
        np.ndarray.__setitem__(un, 2, un[2] * 0.5 + x[1])
    return np.sum(un * x)


@program
def with_dict_in_list(x):
    d = {"a": x[0]}
    c = [d]
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + c[0]["a"]
    return t


@program
def with_dict_in_attr(x):
    d = {"a": x[0]}
    o = Box()
    o.d = d
    t = 0.0
    for _i in range(N):
        d["a"] = d["a"] * 0.9 + x[1]
        t = t + o.d["a"]
    return t


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_those_of_the_program(function):
    check(function)
