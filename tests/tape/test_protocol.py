"""A trace needs what the protocol declares, and nothing else."""

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import Counting

import tapegrad as tg
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.appearance import Appearance
from tapegrad.tape.core.trace import Trace, new_trace

UNARY = [np.sin, np.tanh, np.negative, lambda x: x.T, lambda x: x[::-1], lambda x: x.reshape(-1)]
BINARY = [np.add, np.multiply, lambda x, y: x - 2 * y, np.maximum, lambda x, y: x / (1 + y * y)]


def run(steps: list[tuple[int, int, int]], x: Any) -> Any:
    """Run a random program: each step applies a function to results of earlier ones."""
    values = [x, x * 0.5]
    for kind, i, j in steps:
        a, b = values[i % len(values)], values[j % len(values)]
        if kind < len(UNARY):
            values.append(UNARY[kind](a))
        else:
            values.append(BINARY[kind - len(UNARY)](a.reshape(2, 3), b.reshape(2, 3)))
    out = values[-1].reshape(2, 3)
    out = out + 0.0
    out[1:, ::2] *= 3.0  # a write through a view
    return np.sum(out, axis=0)


STEPS = st.lists(
    st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9)),
    max_size=8,
)


@given(STEPS)
def test_a_trace_that_implements_the_protocol_runs_random_programs(
    steps: list[tuple[int, int, int]],
) -> None:
    x = np.linspace(-1, 2, 6).reshape(2, 3)
    with new_trace(Counting) as trace:
        out = run(steps, trace.variable(x))
        assert out.live_trace is trace
        np.testing.assert_array_equal(out.value, run(steps, x))
        assert trace.counts["sum"] == 1
        assert trace.counts["write"] == 2  # the part is written into the view, and then put back
    assert trace.closed


@given(STEPS)
def test_transformations_inside_of_it_compute_with_its_values(
    steps: list[tuple[int, int, int]],
) -> None:
    x = np.linspace(-1, 2, 6).reshape(2, 3)
    with new_trace(Counting) as trace:
        t = trace.variable(x)
        value, slope = tg.jvp(lambda t: run(steps, t), (t,), (np.ones((2, 3)),))
        expected = tg.jvp(lambda t: run(steps, t), (x,), (np.ones((2, 3)),))
        np.testing.assert_array_equal(value.value, expected[0])
        slope = slope.value if isinstance(slope, Tensor) else slope
        np.testing.assert_array_equal(slope, expected[1])


def test_a_trace_without_one_of_the_abstract_methods_cannot_be_made() -> None:
    assert Trace.__abstractmethods__ == {
        "process",
        "variable",
        "detach",
        "is_constant",
        "backward",
        "clear",
    }
    for name in Trace.__abstractmethods__:
        kind = type("Partial", (Counting,), {name: getattr(Trace, name)})
        with pytest.raises(TypeError, match=name):
            kind(1)


def test_traces_add_no_public_methods_of_the_interpreter_but_those_of_staging() -> None:
    def public(kind: type) -> set[str]:
        return {n for n, m in vars(kind).items() if n[0] != "_" and inspect.isfunction(m)}

    from tapegrad.tape.array.imperative import ImperativeTrace
    from tapegrad.tape.transforms.batching import BatchTrace
    from tapegrad.tape.transforms.forward_mode import JVPTrace
    from tapegrad.tape.transforms.reverse_mode import ReverseTrace

    for kind in (ReverseTrace, JVPTrace, BatchTrace):
        assert public(kind) <= public(Trace), kind
    assert ImperativeTrace.appearance_of is Appearance


def test_the_defaults_of_the_protocol_are_those_of_a_trace_without_a_graph() -> None:
    with new_trace(Counting) as trace:
        t = trace.variable(np.ones(3))
        assert t.grad is None
        with pytest.raises(TypeError, match="only counts"):
            t.backward()
        t.clear_graph()
        assert trace.counts == {}
        assert int(np.sum(t)) == 3
        with pytest.raises(tg.TracedArrayError, match=r"float\(\)"):
            float(np.sum(t))
        with pytest.raises(tg.TracedArrayError, match="traced by counting"):
            np.asarray(t)
    with pytest.raises(tg.LeakedTensorError, match="counting"):
        np.sin(t)


def test_a_number_that_stands_for_an_array_is_written_into_and_others_are_replaced() -> None:
    with new_trace(Counting) as trace:
        number, array = trace.variable(1.0), trace.variable(np.array(1.0))
        trace.appearance.present(number, 1.0)
        trace.appearance.present(array, np.array(1.0))
        a, b = number, array
        a += 1
        b += 1
        assert a is not number and b is array
        assert number.value == 1 and array.value == 2
