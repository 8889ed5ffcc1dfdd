"""Functions that raise, each in its own way; what images must not change is the error and its place."""

# ruff: noqa
# fmt: off

from features import Vector, scale

FAILURES = []


def feature(function):
    FAILURES.append(function)
    return function


@feature
def error_in_call():
    def g(x):
        return x.nothing
    return [1, 2], g(
        3
    )


@feature
def error_in_operator():
    v = Vector(1)
    return (1 +
            v * 2 + "text")


@feature
def error_in_special_method():
    class Bad:
        def __bool__(self): return 1
        def __len__(self): return -1
    try: len(Bad())
    except ValueError as e: pass
    if Bad(): return 1


@feature
def error_unknown_name():
    k = scale
    return k + undefined_name


@feature
def error_wrong_arguments():
    def f(a, *, b): return a
    return f(1, 2)


@feature
def error_of_generator():
    def g():
        yield 1
        raise RuntimeError("inside")
    return list(g())


@feature
def error_in_init():
    class A:
        def __init__(self, x): self.x = 1 / x
    return A(
        0)


@feature
def error_init_returns():
    class A:
        def __init__(self): return 5
    return A()


@feature
def error_not_supported():
    class A: pass
    class B: pass
    r = []
    for f in (lambda: A() + B(), lambda: A() < B(), lambda: Vector(1) + B(), lambda: B() - 1, lambda: [1] + Vector(2), lambda: -A(), lambda: A()[0], lambda: 1 in A(), lambda: Vector(1) < 3, lambda: Vector(1) < None, lambda: None + Vector(1), lambda: None == Vector(1)):
        try: r.append(f())
        except Exception as e: r.append(f"{type(e).__name__}: {e}")
    nothing = None
    try: r.append(nothing(1))
    except TypeError as e: r.append(str(e))
    return r, A()()


@feature
def error_while_iterating():
    for x in Vector(1, 2):
        a, b = x
