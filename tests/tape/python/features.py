"""One function for each feature of Python that images must not change; each returns what it did.

The comments ``# !`` mark lines that raise. Lines matter here: tests compare them.
"""

# ruff: noqa
# fmt: off

import collections
import contextlib
import functools
import operator

import numpy as np

FEATURES = []
scale = 2
counter = 0


def feature(function):
    FEATURES.append(function)
    return function


class Vector:
    """A class whose special methods are all written in Python."""

    log = []

    def __init__(self, *values): self.values = list(values)
    def __add__(self, other):
        if isinstance(other, Vector): return Vector(*(a + b for a, b in zip(self.values, other.values)))
        return NotImplemented
    def __radd__(self, other):
        if isinstance(other, int): return Vector(*(other + v for v in self.values))
        return NotImplemented
    def __iadd__(self, other):
        self.values = [a + b for a, b in zip(self.values, other.values)]
        return self
    def __mul__(self, k): return Vector(*(v * k for v in self.values))
    def __neg__(self): return Vector(*(-v for v in self.values))
    def __eq__(self, other): return isinstance(other, Vector) and self.values == other.values
    def __lt__(self, other): return self.values < other.values
    def __hash__(self): return hash(tuple(self.values))
    def __len__(self): return len(self.values)
    def __iter__(self): return iter(self.values)
    def __getitem__(self, k): return self.values[k]
    def __setitem__(self, k, v): self.values[k] = v
    def __delitem__(self, k): del self.values[k]
    def __contains__(self, v): return v in self.values
    def __bool__(self): return any(self.values)
    def __call__(self, x): return [v * x for v in self.values]
    def __repr__(self): return f"Vector{tuple(self.values)}"
    def __format__(self, spec): return "<" + spec + ">" + repr(self)
    def __float__(self): return float(self.values[0])
    def __int__(self): return int(self.values[0])
    def __index__(self): return self.values[0]
    def __abs__(self): return sum(abs(v) for v in self.values)
    def __round__(self, n=None): return Vector(*(round(v, n) for v in self.values))
    def __reversed__(self): return reversed(self.values)
    def __enter__(self): Vector.log.append("enter"); return self
    def __exit__(self, kind, value, trace): Vector.log.append(kind and kind.__name__); return kind is KeyError
    def __getattr__(self, name):
        if name.startswith("dyn_"): return name[4:]
        raise AttributeError(name)
    @property
    def first(self): return self.values[0]
    @first.setter
    def first(self, v): self.values[0] = v
    @first.deleter
    def first(self): del self.values[0]
    @classmethod
    def zeros(cls, n): return cls(*[0] * n)
    @staticmethod
    def twice(x): return 2 * x


@feature
def arithmetic():
    a, b = 7, 3
    x = a + b - a * b / 2 // 1 % 5 ** 2
    y = (a << b >> 1 & 12 | 3) ^ 5
    z = -a + +b + ~a
    a += 1; a -= 2; a *= 3; b **= 2; b //= 2; b %= 3; b <<= 2; b >>= 1; b |= 8; b &= 12; b ^= 1
    m = np.eye(2) @ np.ones(2)
    m @= np.eye(2)
    c = 1.5
    c /= 2
    return x, y, z, a, b, m.tolist(), c


@feature
def comparisons():
    a, b = 1, 2
    return a < b, a <= b, a == b, a != b, a > b, a >= b, a < b < 3, 0 < b < a, not a, a is b, a is not b, a in [1], a not in [1], a is None


@feature
def short_circuits():
    seen = []
    def note(v): seen.append(v); return v
    r = [note(0) or note(5), note(0) and note(6), note([]) or note({}) or note("x"), note(1) and note(2) and note(3)]
    r.append(note(1) if note(0) else note(2))
    while note(len(seen) < 14) and not note(0):
        if note(1) or note(2): continue
    return r, seen


@feature
def globals_and_nonlocals():
    global counter
    counter = 5
    counter += scale
    n = 0
    def bump(by=1, *, twice=False):
        nonlocal n
        n += by * (2 if twice else 1)
        return n
    bump(); bump(3); bump(twice=True)
    r = counter
    del counter
    try: counter
    except NameError as e: r = (r, str(e))
    counter = 0
    return r, n


@feature
def closures_deleted():
    x = 1
    def kill():
        nonlocal x
        y = x
        del x
        try: return x
        except NameError as e: return y, str(e)
    return kill()


@feature
def comprehensions():
    k = 3
    return [i * k for i in range(4) if i % 2], {i: j for i in range(2) for j in range(i + 1)}, {c for c in "abca"}, list(x + k for x in range(3)), [[y * k for y in range(x)] for x in range(3)], [*map(lambda v: v + k, [1, 2])], [(lambda: i)() for i in range(2)]


@feature
def generators():
    def count(n):
        got = []
        try:
            for i in range(n):
                x = yield i
                got.append(x)
        except ValueError as e:
            yield str(e)
        finally:
            got.append("end")
        return got
    def outer():
        r = max([(yield from count(2))], [0], key=lambda v: len(v))
        yield r
        yield from [7, 8]
        yield from (z for z in "ab")
    g = count(3)
    a = [next(g), g.send("s"), g.throw(ValueError("v"))]
    h = outer()
    b = [next(h), h.send(5), h.send(6), next(h), next(h), next(h), next(h)]
    with contextlib.suppress(StopIteration): next(h)
    g.close()
    return a, b


@feature
def calls():
    def f(a, b=2, /, c=3, *args, d, e=5, **kw): return a, b, c, args, d, e, kw
    t, k = (4, 5), {"z": 1}
    def either(c): return f(t if c else k, d=1)
    def both(c): return max(3 if c else min(2, 1), 2)
    return f(1, d=4), f(1, 2, 3, *t, d=0, **k), f(*t, d=1), f(*t, **{"d": 2}), f(1, *t, 9, d=3, e=6, y=7), max(1, *t), dict(a=1, **k), print(end=""), either(0), either(1), both(0), both(1)


@feature
def unpacking():
    (a, b), *c, d = (1, 2), 3, 4, 5
    [e, *_] = "xyz"
    x = y = [1]
    x[0], v = 7, x
    for i, (j, k) in enumerate([(1, 2), (3, 4)]): pass
    return a, b, c, d, e, x, y, v, i, j, k, [*c, *"ab"], (*c, 1), {*c, 9}, {**{"a": 1}, "b": 2}


@feature
def attributes_and_items():
    class Box: pass
    o = Box()
    o.x, o.y = 1, [1, 2, 3, 4]
    o.x += 1
    o.y[0] += 10
    o.y[1:3] = [8, 9]
    del o.y[0]
    z = o.y[1:], o.y[::-1], o.y[-1], o.y[:2]
    del o.x
    o.y[:1] += [5]
    del o.y[1:2]
    for o.i in range(3): pass
    with contextlib.nullcontext(4) as o.w: pass
    a = np.arange(6).reshape(2, 3)
    a[1, 1:] *= 2
    return z, hasattr(o, "x"), getattr(o, "q", "none"), o.y, o.i, o.w, a.tolist()


@feature
def classes_made_inside():
    n = 4
    def mark(cls): cls.marked = True; return cls
    class Meta(type):
        def __call__(cls, *a, **k):
            o = super().__call__(*a, **k)
            o.meta = 1
            return o
    @mark
    class A:
        size = n * 2
        both = [i for i in range(size)]
        def __init__(self, x): self.__hidden = x; self.x = x + self.size
        def get(self): return self.__hidden, __class__.__name__
        @property
        def p(self): return self.x
    class B(A, metaclass=Meta):
        def __new__(cls, *a, **k): return super().__new__(cls)
        def __init__(self, x): super().__init__(x + 1)
        def get(self): return (*super().get(), super().p, super(B, self).p)
    b = B(1)
    return A(1).x, b.get(), b.meta, A.marked, A.__qualname__, B.get.__qualname__, sorted(k for k in vars(A) if not k.startswith("__") or k == "__doc__")


@feature
def decorators():
    def plain(f):
        @functools.wraps(f)
        def inner(*a, **k): return f(*a, **k) + 1
        return inner
    class Count:
        def __init__(self, f): self.f, self.n = f, 0
        def __call__(self, *a): self.n += 1; return self.f(*a) + self.n
    @plain
    @Count
    def f(x): return x * 10
    @functools.lru_cache(maxsize=None)
    def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
    @functools.singledispatch
    def kind(x): return "other"
    @kind.register
    def _(x: int): return "int"
    return f(1), f(2), fib(20), kind(1), kind("")


@feature
def contexts():
    log = []
    @contextlib.contextmanager
    def manage(name):
        log.append("in " + name)
        try: yield name
        except ZeroDivisionError: log.append("zero")
        finally: log.append("out " + name)
    with manage("a") as a, manage("b"):
        log.append(a)
    with manage("c"):
        1 / 0
    def early(x):
        with manage("d"):
            with Vector(1): return x + 1
    Vector.log.clear()
    with Vector(1): raise KeyError
    try:
        with Vector(1) as v: v.values.append(2); raise ValueError
    except ValueError: pass
    return log, early(4), Vector.log[:]


@feature
def exceptions():
    log = []
    class Mine(Exception):
        def __init__(self, a, b=0): super().__init__(a); self.b = b
    class Bare(Exception):
        def __init__(self): super().__init__("bare")
    for k in range(6):
        try:
            try:
                if k == 0: raise Mine("m", b=3)
                if k == 1: raise Bare
                if k == 2: raise ValueError from KeyError("c")
                if k == 3: [][1]
                if k == 4: assert k != 4, f"it is {k}"
            except Mine as e: log.append((e.args, e.b))
            except (LookupError, AssertionError) as e: log.append((type(e).__name__, str(e))); raise
            else: log.append("fine")
            finally: log.append("finally")
        except Exception as e: log.append((type(e).__name__, str(e), repr(e.__cause__)))
    return log


@feature
def exception_groups():
    log = []
    try: raise ExceptionGroup("g", [ValueError(1), TypeError(2), KeyError(3)])
    except* ValueError as e: log.append(e.exceptions[0].args)
    except* (TypeError, KeyError) as e: log.append(len(e.exceptions))
    return log


@feature
def matching():
    Point = collections.namedtuple("Point", "x y")
    class Pair:
        __match_args__ = ("a", "b")
        def __init__(self, a, b): self.a, self.b = a, b
    def what(v):
        match v:
            case 0 | 1: return "small"
            case None: return "none"
            case str(s) if s: return "text " + s
            case [x]: return "one", x
            case Point(x=0, y=y): return "axis", y
            case [1, *rest]: return "from one", rest
            case {"k": k, **others}: return "mapping", k, others
            case Pair(1, b) | Pair(b, 1): return "pair", b
            case operator.add: return "add"
            case (a, b) as whole: return "two", whole
            case _: return "other"
    return [what(v) for v in (0, None, "t", "", [5], Point(0, 4), [1, 2, 3], {"k": 1, "z": 2}, Pair(1, 8), Pair(9, 1), Pair(2, 2), operator.add, (4, 5), 3.5)]


@feature
def formatting():
    x, w, v = 3.14159, 8, Vector(1, 2)
    return f"{x:.2f} {x!r:>{w}} {w=} {'a'!s:>3} {v} {v!r} {v:xx} {v!s:>15} {chr(228)!a}", "%s %d" % (v, 3), "{0!r} {1}".format(v, x)


@feature
def special_methods():
    v, w = Vector(1, 2), Vector(3, 4)
    r = [v + w, 1 + v, v * 2, -v, v == w, v != w, v < w, v > w, len(v), list(v), v[0], 2 in v, 9 not in v, bool(v), bool(Vector(0)), v(3)]
    v += w
    v[0] = 9
    del v[1]
    r += [v, abs(w), float(w), int(w), round(w), list(reversed(w)), [0, 1, 2, 3, 4][w], sum(w), max(w), sorted(w), tuple(w), {*w}, dict.fromkeys(w), {w: 1}[Vector(3, 4)], w.dyn_x, w.first, Vector.zeros(2), w.zeros(1), Vector.twice(4), str(w), repr(w), hash(w) == hash(Vector(3, 4))]
    w.first = 8
    a, *b = w
    del w.first
    r += [w, a, b, [*w], "yes" if Vector(0) else "no", any(w), all(w), min(w, key=lambda z: -z), list(zip(w, w)), list(map(str, w)), list(enumerate(w))]
    return [repr(x) for x in r]


@feature
def lambdas_and_c_functions():
    f = lambda x, k=2: x ** k
    words = ["bb", "a", "ccc"]
    return sorted(words, key=len), sorted(words, key=lambda s: -len(s)), max(words, key=lambda s: s), min(3, 1, key=lambda x: -x), list(map(f, [1, 2, 3])), list(filter(lambda x: x % 2, range(5))), functools.reduce(lambda a, b: a * b, [1, 2, 3]), functools.partial(f, k=3)(2), list(map(f, [1, 2], [3, 4])), list(iter(iter([1, 2, 0, 3]).__next__, 0))


@feature
def walrus_and_del():
    if (n := 3) > 2: m = n
    y = [last := i for i in range(3)]
    del m
    try: m
    except UnboundLocalError as e: return str(e), last, y


@feature
def imports():
    import os.path as p, json
    from collections import OrderedDict as O, abc
    import xml.dom
    try: from json import nothing
    except ImportError as e: s = str(e)[:30]
    return p.join("a", "b"), json.dumps([1]), O([(1, 2)]), abc.__name__, xml.dom.__name__, s


@feature
def loops():
    log = []
    for i in range(5):
        if i == 1: continue
        if i == 3: break
        log.append(i)
    else: log.append("never")
    for i in []: pass
    else: log.append("else")
    n = 0
    while True:
        n += 1
        if n > 3: break
    while n:
        n -= 1
    else: log.append("done")
    xs = [1, 2, 3]
    for x in xs:
        if x == 2: xs.remove(1)
        log.append(x)
    return log, i, n


@feature
def names_of_locals():
    a, b = 1, 2
    def inner(): return a
    return sorted(locals()), sorted(vars()), dir(), eval("a + b"), sorted(k for k in inner.__code__.co_freevars)


@feature
def annotations():
    x: int = 1
    y: str
    class C:
        z: "list[int]" = []
    def f(a: int, *b: str) -> float: return a
    o = C()
    o.k: int = 4
    return x, C.__annotations__, f.__annotations__, o.k


@feature
def asynchronous():
    import asyncio
    async def one(x): return x + 1
    async def main():
        async def many():
            for i in range(2): yield i
        r = [await one(1), [i async for i in many()]]
        async with contextlib.AsyncExitStack(): pass
        return r
    return asyncio.run(main())


@feature
def slots_and_descriptors():
    class Typed:
        def __set_name__(self, owner, name): self.name = "_" + name
        def __get__(self, o, cls): return self if o is None else getattr(o, self.name)
        def __set__(self, o, v): setattr(o, self.name, v * 2)
        def __delete__(self, o): delattr(o, self.name)
    class Lazy:
        def __init__(self, f): self.f = f
        def __get__(self, o, cls): return self.f(o)
    class S:
        __slots__ = ("_t", "u", "__dict__")
        t = Typed()
        @Lazy
        def lazy(self): return "lazy"
        @functools.cached_property
        def cached(self): return object.__repr__(self)[:4]
        def __getattribute__(self, name): return "got" if name == "special" else super().__getattribute__(name)
        def __setattr__(self, name, v): super().__setattr__(name, v)
        def __delattr__(self, name): super().__delattr__(name)
    s = S()
    s.t = 4
    s.u = 1
    r = [s.t, s.u, s.lazy, s.cached, s.cached, s.special, isinstance(S.t, Typed)]
    s.lazy = 3
    r.append(s.lazy)
    del s.t, s.u
    return r, hasattr(s, "t"), hasattr(s, "u"), hasattr(s, "nope")


@feature
def mappings_in_python():
    class M:
        def __init__(self, d): self.d = d
        def keys(self): return self.d.keys()
        def __getitem__(self, k): return self.d[k]
    class Missing(dict):
        def __missing__(self, k): return k * 2
    class Old:
        def __getitem__(self, i):
            if i > 2: raise IndexError
            return i * i
    class Steps:
        def __init__(self): self.n = 0
        def __iter__(self): return self
        def __next__(self):
            self.n += 1
            if self.n > 3: raise StopIteration
            return self.n
    def f(**k): return k
    return f(**M({"a": 1})), {**M({"b": 2})}, Missing()[4], list(Old()), [x for x in Steps()], 4 in Old(), 2 in Steps(), [*Steps()], sum(Steps()), next(Steps())
