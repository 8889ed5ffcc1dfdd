"""Random loops of Python's: under ``jit`` they give what they give without, and leave the same names."""

from __future__ import annotations

import linecache
import math
import random
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.python import rolling

N = 24
POINTS = [np.linspace(0.1, 1, N) * 0.7, np.cos(np.arange(N)) * 0.5]
WEIGHTS = np.array([0.3, -0.2, 0.5])
NAMES = ["s", "t", "v", "k", "out", "w", "m", "z", "i"]

BEGIN = f"""\
def f(x, weights):
    s = 0.0; t = 1.0; v = x[:3] * 1.0; k = 0; out = np.zeros({N}); w = np.ones(3); m = np.zeros(({N}, 2))
    z = x.copy(); many = []; kept = []; h = [x[0], x[1]]; d = {{"a": x[:2], "b": 1.0}}; same = h
    g = [x[2], x[1], x[0]]; e = [v * 1.0]
    class Thing:
        def __init__(o): o.a = x[:3] * 1.0; o.p = np.ones(3); o.n = 0; o.u = 0.5; o._r = x[0]
        @property
        def r(o): return o._r
        @r.setter
        def r(o, value): o._r = value * 0.5
        def step(o, value):
            o.a = o.a * 0.5 + value; o.n += 1
            return o.a.sum() * 0.1
    o = Thing(); q = o; things = [Thing(), o]
"""
TESTS = ["i > 2", "i % 2 == 0", "s > 0.3", "k > 20", "s < 5", "i < 15", "t > 0.2"]
ENDS = ["s > 0.45", "i > 17", "k > 30", "s > 99"]


class Loops:
    """Writes a function with a loop; `seed` says which."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.until = self.random.random() < 0.25
        self.source = "".join(self._lines())

    def _pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def _value(self, depth: int = 0) -> str:
        choices = ["s", "t", "v.sum()", "x[0]", repr(round(self.random.uniform(-1, 1), 2))]
        if depth < 3:
            deeper = depth + 1
            choices += [
                f"x[i{self._pick('', '-1', '-2', '//2')}]",
                f"np.sin({self._value(deeper)})",
                f"({self._value(deeper)} {self._pick('+', '-', '*')} {self._value(deeper)})",
                f"out[i{self._pick('', '-1', '-2')}]",
                f"math.tanh({self._pick('t', '0.5', 's')})",
                "0.1*i", "0.01*k", "o.u", "q.a[0]", "o.p.sum()", "0.01*o.n", "o.r", "things[1].u",
                self._pick("g[-1]", "g[-2]", "g[i]", "g[-3]"), "0.01*len(g)", "e[-1][0]",
                f"{self._pick('x', 'z', 'out')}[i{self._pick('', '-1', '+1')}:i+2].sum()",
                "m[i:i+2, 0].sum()",
                f"weights[{self.random.randrange(3)}]",
                f"z[{self._pick('0', 'i', '-1', 'i-1')}]",
            ]  # fmt: skip
        return self.random.choice(choices)

    def _statement(self, depth: int = 0) -> list[str]:
        value, pick = self._value(), self._pick
        plain = [
            f"s = 0.5*np.tanh({value})", f"s = s + {value}*0.1", "t = t*0.9 + 0.01",
            f"v = np.cos(v*0.5) + {value}", f"v[{pick('0', '-1', 'i%3')}] = {value}",
            f"out[i{pick('', '', '-1')}] = {value}", f"out[i] += {value}", f"k += {pick('1', '2', 'i')}",
            f"m[i,{self.random.randrange(2)}] = {value}", "w *= 0.9", "w += x[i]*0.1",
            "z = z*0.5 + v.sum()*0.1", "z[i] = z[i-1]*0.5", f"many.append({value})",
            f"kept.append({pick('v', 'v*2', 'k', 't', 'x[i]', 'z')})",
            f"h[{pick('0', '1', 'i%2')}] = {value}", "h[0], h[1] = h[1], h[0]*0.5", "s = s + same[0]",
            f"d['a'] = d['a']*0.5 + {value}", "d['b'] += 0.5", "h.append(h.pop(0)*d['b'])",
            f"o.a = o.a*0.9 + {value}", f"q.u = q.u*0.5 + {value}*0.1", "o.n += 1", "o.p *= 0.9",
            f"o.p[{pick('0', 'i%3')}] = {value}", f"q.p += {value}", f"o.r = {value}", "o.p = v",
            f"s = s + o.step({value})", f"things[{pick('0', '1')}].step({value})",
            f"g.append(0.5*g[-1] + {value})", f"g.append(0.5*g[-2] - 0.1*g[{pick('-3', 'i')}])",
            f"e.append({pick('v', 'e[-1]*0.5 + v*0.1', 'o.a')})", "v = e[-1]", "o.a = e[-1]*0.5",
            f"out[i:i+{pick('1', '2')}] = {value}", f"m[i:i+2, 1] = {value}", "out[i-1:i+1] += v[0]",
            f"u = out[i:i+2]; out[i] = {value}; s = s + u.sum()*0.1", "z[i:i+2] = x[i:i+2]*t",
            f"u = z[i-1:i+1]; u[0] = {value}", "v[:2] = x[i:i+2]", "kept.append(x[i:i+2])",
        ]  # fmt: skip
        kind = self.random.random()
        if kind < 0.15 and depth < 2:
            lines = [f"if {self.random.choice(TESTS)}:", *self._inside(depth)]
            return lines + (["else:", *self._inside(depth)] if self.random.random() < 0.4 else [])
        if kind < 0.22 and depth < 2:
            return ["for j in range(3):", f"    s = s*0.5 + x[j]*{self._value(2)}"]
        if kind < 0.28 and not depth:
            return [f"if {self.random.choice(ENDS)}: break"]
        if kind < 0.33 and not depth:
            return [f"if {pick('i == 5', 's > 0.4', 'i < 3')}: continue"]
        return [self.random.choice(plain)]

    def _inside(self, depth: int) -> list[str]:
        return ["    " + line for line in self._statement(depth + 1)]

    def _lines(self) -> list[str]:
        last, start = N - 1, self._pick("0", "1", "2")
        body = [line for _ in range(self.random.randrange(1, 6)) for line in self._statement()]
        if self.until:
            tests = f"i < {last}", f"s < 0.6 and i < {last}", "True"
            head = ["i = 0", f"while {self._pick(*tests)}:"]
            body = ["i += 1", f"if i >= {last}: break", *body]
        else:
            head = [
                f"for i in range({self._pick(f'{start}, {N}', f'{last}, -1, -1', f'0, {N}, 2')}):"
            ]
        after = ["else:", "    s = s*2"] if not self.until and self.random.random() < 0.2 else []
        # What is one array in Python is one afterwards, too.
        after.append(self._pick("v += 1.0", "e[-1][0] = 2.0", "o.a += 1.0", "o.p *= 2.0"))
        more = "np.array(many), len(kept), o.a, q.p, o.n, o.u, o.r, things[0].a, np.array(g)"
        end = f"return {', '.join(NAMES)}, {more}, np.array(e)"
        lines = [*head, *("    " + line for line in body), *after, end]
        return [BEGIN, *("    " + line + "\n" for line in lines)]

    def function(self) -> Any:
        name = f"<loops {hash(self.source)}>"
        linecache.cache[name] = len(self.source), None, self.source.splitlines(True), name
        space: dict[str, Any] = {"np": np, "math": math}
        exec(compile(self.source, name, "exec"), space)
        return space["f"]


def outcome(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return type(error)


def check(seed: int) -> None:
    loops = Loops(seed)
    function = loops.function()

    def loss(x: Any, weights: Any) -> Any:
        return sum(np.sum(part) * 0.1 for part in function(x, weights))

    for plain, rtol in ((function, 1e-9), (tg.grad(loss, (0, 1)), 1e-7)):
        compiled = tg.jit(plain)
        for x in (POINTS[0], POINTS[1], POINTS[0]):
            expected, got = outcome(plain, x, WEIGHTS), outcome(compiled, x, WEIGHTS)
            if type(expected) is not tuple:
                assert got is expected, loops.source
                continue
            for a, b in zip(expected, got, strict=True):
                assert type(a) is type(b), loops.source
                np.testing.assert_allclose(b, a, rtol, 1e-9, err_msg=loops.source)


@pytest.fixture(autouse=True)
def _short_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "LEAST", 8)


@pytest.mark.parametrize("seed", range(60))
def test_loops_are_pythons(seed: int) -> None:
    check(seed)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(60, 1000))
def test_many_loops_are_pythons(seed: int) -> None:
    check(seed)
