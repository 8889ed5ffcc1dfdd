"""Programs as values: calling, printing, comparing, pickling, selecting, verifying, transforming."""

import pickle
import re

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.paths import HOLE
from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.printing import run_source

X = np.array([0.5, -1.0, 2.0])


def program_of(function, *arrays):
    """The program of a function, recorded on an explicit tape."""
    tensors = [tg.tensor(a) for a in arrays]
    with tg.Tape() as tape:
        out = function(*tensors)
    return tape.program(tensors, list(out) if isinstance(out, tuple) else [out])


def norm(x, w):
    return np.sum(np.tanh(x * w) ** 2)


@pytest.fixture
def program():
    return program_of(norm, X, 2 * X)


# Calling -----------------------------------------------------------------------------------------


def test_a_program_is_a_function_of_arrays(program):
    (value,) = program(X, X)
    assert value == norm(X, X) and type(value) is np.ndarray
    assert len(program) == 4 and "4 entries, 2 inputs, 1 outputs" in repr(program)


def test_a_program_runs_on_tensors_of_every_trace(program):
    f = lambda x: program(x, X)[0]
    plain = lambda x: norm(x, X)
    np.testing.assert_allclose(tg.grad(f)(X), tg.grad(plain)(X))
    np.testing.assert_allclose(tg.hessian(f)(X), tg.hessian(plain)(X))
    np.testing.assert_allclose(tg.jvp(f, (X,), (X,))[1], tg.jvp(plain, (X,), (X,))[1])
    np.testing.assert_allclose(tg.vmap(f)(np.stack([X, -X])), [plain(X), plain(-X)])
    np.testing.assert_allclose(tg.jit(tg.grad(f), strict=True)(X), tg.grad(plain)(X))
    t = tg.tensor(X)
    f(t).backward()
    np.testing.assert_allclose(t.grad, tg.grad(plain)(X))


def test_entries_that_are_recorded_again_keep_the_users_line(program):
    again = record_program(lambda *a: program(*a), program.inputs)
    assert [str(e.where) for e in again.entries] == [str(e.where) for e in program.entries]
    pulled = program.reverse()
    assert all("test_program.py" in str(e.where) for e in pulled.entries)
    lines = {str(e.where) for e in program.entries}
    assert {str(e.where) for e in pulled.entries} == lines


def test_a_wrong_call_is_an_error(program):
    with pytest.raises(TypeError, match="takes 2 values, got 1"):
        program(X)
    with pytest.raises(ValueError, match=r"value 1 has shape \(2,\).* with shape \(3,\)"):
        program(X, X[:2])


def test_values_are_cast_to_the_dtype_of_the_recording(program):
    (value,) = program(X.astype(np.float32), [1, 2, 3])
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, norm(X, np.array([1.0, 2.0, 3.0])))


def test_python_numbers_stay_weak():
    array, factor = leaf(dtype="f4"), leaf(())
    narrow = record_program(lambda x, a: [x * a, a], [array, factor], {factor})
    out, number = narrow(X.astype("f4"), 0.1)
    assert out.dtype == np.float32 and number == 0.1 and type(number) is float
    np.testing.assert_array_equal(out, X.astype("f4") * 0.1)
    narrow.verify()
    assert narrow.reverse().outputs[0].dtype == np.float32
    assert narrow.compile()(X.astype("f4"), 0.1)[0].dtype == np.float32
    assert narrow != record_program(lambda x, a: [x * a, a], narrow.inputs)


# Parts -------------------------------------------------------------------------------------------


def test_a_tape_gives_the_part_from_some_tensors_to_others():
    x, w = tg.tensor(X), tg.tensor(2 * X)
    with tg.Tape() as tape:
        h = np.tanh(x * w)
        y = np.sum(h * h)
        np.exp(y)
    whole = tape.program()
    assert len(whole) == len(tape) and len(whole.inputs) == 2
    assert whole(X, X)[0] == np.exp(norm(X, X))
    by_x = tape.program([x], [y])
    assert len(by_x.inputs) == 1 and by_x(X)[0] == norm(X, 2 * X)
    tail = tape.program([h], [y])
    assert [e.primitive.name for e in tail.entries] == ["multiply", "sum"]
    assert tail(X)[0] == np.sum(X * X)
    assert np.array_equal(tape.program([], [h])()[0], h.data)


def test_constants_are_copies_and_outputs_may_be_inputs():
    x, w = tg.tensor(X), tg.tensor(2 * X)
    with tg.Tape() as tape:
        y = x * w
    program = tape.program([x], [y, x, w])
    y.clear_graph()  # which unlocks what it needed
    w.data[:] = 0
    product, same, constant = program(X)
    np.testing.assert_array_equal(product, X * (2 * X))
    np.testing.assert_array_equal(same, X)
    np.testing.assert_array_equal(constant, 2 * X)


def test_a_constant_result_stays_one():
    x = tg.tensor(X)
    with tg.Tape() as tape:
        y = np.sum(tg.sin(x, constant=True) * x)
    (slope,) = tape.gradient(y, [x])
    np.testing.assert_array_equal(slope, np.sin(X))
    program = tape.program([x], [y])
    np.testing.assert_array_equal(program.reverse()(X, np.array(1.0))[1], slope)
    np.testing.assert_array_equal(tape.compile([x], [y], gradient=True)(X)[1][0], slope)


def test_select_keeps_what_outputs_need(program):
    inner = program.entries[1]
    part = program.select([inner])
    assert len(part) == 2 and part.inputs == program.inputs
    np.testing.assert_array_equal(part(X, X)[0], np.tanh(X * X))


# Text --------------------------------------------------------------------------------------------


def test_numbers_are_printed_with_their_types():
    program = program_of(lambda x: x * np.float32(0.1) + np.float64("inf"), X)
    assert "np.float32(0.1" in str(program) and "np.float64('inf')" in str(program)
    np.testing.assert_array_equal(run_source(str(program), X), program(X)[0])


def test_large_constants_are_arguments():
    table = np.arange(100.0)
    program = program_of(lambda x: np.sum(x) + table, X)
    constants = {}
    source = program.source(constants)
    assert source.startswith("def tape(x0, c0=None):") and list(constants) == ["c0"]
    np.testing.assert_array_equal(run_source(source, X, **constants), np.sum(X) + table)


# Content -----------------------------------------------------------------------------------------


def test_programs_are_equal_by_content(program):
    again = program_of(norm, X, 2 * X)
    assert again == program and hash(again) == hash(program) and again is not program
    assert len({program, again}) == 1
    other = [
        program_of(lambda x, w: np.sum(np.tanh(x * w) ** 3), X, X),
        program_of(lambda x, w: np.sum(np.tanh(w * x) ** 2), X, X),
        program_of(norm, X[:2], X[:2]),
        program_of(norm, X.astype("f4"), X.astype("f4")),
        program.select([program.entries[0]]),
        program.reverse(),
    ]
    assert len({program, *other}) == 7
    assert program != "a program"


def test_constants_count_by_their_bits():
    def times(c):
        return program_of(lambda x: x * c, X)

    zeros = np.zeros(3)
    assert times(zeros) == times(zeros + 0.0) != times(-zeros)
    assert times(2.0) != times(np.float64(2.0)) and times(2.0) != times(2)
    nan = np.array([np.nan, 1, 2])
    assert times(nan) == times(nan.copy())


def test_a_pickle_is_the_program_with_lines_as_text(program):
    again = pickle.loads(pickle.dumps(program))
    assert again == program and str(again) == str(program)
    assert all(type(e.where) is str and "test_program.py:" in e.where for e in again.entries)
    np.testing.assert_array_equal(again(X, X)[0], program(X, X)[0])
    assert pickle.loads(pickle.dumps(again.reverse())) == program.reverse()


def test_a_users_operation_is_not_pickled():
    class Twice(tg.Operation):
        def __call__(self, x):
            self.variables = (x,)
            return 2 * x.data

        def backward_var(self, grad, index, **kwargs):
            return 2 * grad

    program = program_of(lambda x: tg.execute_op(Twice, x), X)
    np.testing.assert_array_equal(program(X)[0], 2 * X)
    with pytest.raises(Exception, match="pickle"):
        pickle.dumps(program)


# Transformations ---------------------------------------------------------------------------------


def test_reverse_and_forward_take_and_give_what_they_say(program):
    both = program.reverse([1])
    assert len(both.inputs) == 3 and len(both.outputs) == 2
    slope = tg.grad(norm, argnums=1)(X, X)
    np.testing.assert_allclose(both(X, X, np.array(2.0))[1], 2 * slope)
    (alone,) = program.pullback([1])(X, X, np.array(1.0))
    np.testing.assert_allclose(alone, slope)
    pushed = program.forward([1])
    assert len(pushed.inputs) == 3 and len(pushed.outputs) == 2
    np.testing.assert_allclose(pushed(X, X, X)[1], slope @ X)
    np.testing.assert_allclose(program.pushforward([1])(X, X, X)[0], slope @ X)
    assert program.reverse([1]) is both  # made once


def test_integers_have_no_derivatives():
    program = program_of(lambda x, n: (x[n], n + 1), X, np.array([0, 2]))
    both = program.reverse()
    assert len(both.inputs) == 3 and len(both.outputs) == 3
    picked, more, slope = both(X, np.array([2, 2]), np.array([1.0, 10.0]))
    np.testing.assert_array_equal(more, [3, 3])
    np.testing.assert_array_equal(picked, X[[2, 2]])
    np.testing.assert_array_equal(slope, [0, 0, 11])
    assert len(program.forward().outputs) == 3
    for mode in (program.reverse, program.forward):
        with pytest.raises(TypeError, match="input 1 is of dtype int64"):
            mode([1])


def test_what_an_output_does_not_depend_on_has_zeros():
    program = program_of(lambda x, y: (np.sum(x), +y), X, X)
    out = program.reverse()(X, X, np.array(1.0), np.zeros(3))
    np.testing.assert_array_equal(out[3], [0, 0, 0])
    constant = record_program(lambda x: [np.ones(2), 3.0], program.inputs[:1])
    np.testing.assert_array_equal(constant.reverse()(X, np.ones(2), 1.0)[2], np.zeros(3))
    np.testing.assert_array_equal(constant.forward()(X, X)[2], np.zeros(2))
    np.testing.assert_array_equal(constant.batch(2)(np.stack([X, X]))[0], np.ones((2, 2)))


def test_a_batch_may_share_inputs(program):
    some = program.batch(2, [True, False])
    assert [n.shape for n in some.inputs] == [(2, 3), (3,)]
    np.testing.assert_allclose(some(np.stack([X, -X]), X)[0], [norm(X, X), norm(-X, X)])
    with pytest.raises(ValueError, match="1 flags for 2 inputs"):
        program.batch(2, [True])


def test_a_function_that_asks_for_values_is_no_program(program):
    def asks(x, w):
        return [x if x[0] > 0 else w]

    with pytest.raises(TypeError, match="asks for a value"):
        record_program(asks, program.inputs)


def test_a_compiled_program_checks_its_arguments(program):
    compiled = program.compile()
    np.testing.assert_allclose(compiled(X, 2 * X)[0], norm(X, 2 * X), rtol=1e-14)
    np.testing.assert_allclose(compiled(X[::-1], X)[0], norm(X[::-1], X), rtol=1e-14)
    assert program.compile() is compiled
    with pytest.raises(TypeError, match="takes 2 arrays, got 3"):
        compiled(X, X, X)
    with pytest.raises(ValueError, match=r"input 1 of shape \(3,\), got \(\)"):
        compiled(X, 1.0)


# Verifying ---------------------------------------------------------------------------------------


def made(name, *operands, shape=(3,), dtype=float, **params):
    return entry(primitives[name], operands, params, shape, np.dtype(dtype))


def leaf(shape=(3,), dtype=float):
    return Node(None, (), {}, (), shape, np.dtype(dtype))


def wrong_programs():
    x, y = leaf(), leaf()
    sine = made("sin", x)
    yield "occurs twice", tg.Program([x, x], [sine], [sine])
    yield "not made before", tg.Program([y], [sine], [sine])
    late = made("cos", sine)
    yield "not made before", tg.Program([x], [late, sine], [late])
    yield "made already", tg.Program([x], [sine, sine], [sine])
    yield "a result is not made", tg.Program([x], [], [sine])
    yield "operand of type str", tg.Program([x], [bad := made("add", x, "1")], [bad])
    wrong = made("sin", x, shape=(4,))
    yield r"gives the shape \(3,\)", tg.Program([x], [wrong], [wrong])
    wrong = made("sin", x, dtype="f4")
    yield "gives the dtype float64", tg.Program([x], [wrong], [wrong])
    wrong = made("sum", x, shape=(1,), axis=(0,), keepdims=False)
    yield r"gives the shape \(\)", tg.Program([x], [wrong], [wrong])
    wrong = made("matmul", x, leaf((3, 2)), shape=(2,))
    yield "not made before", tg.Program([x], [wrong], [wrong])
    bundle = made("jit_call", x, shape=(2,), dtype=object, program=tg.Program([y], [], [y]))
    yield "gives 1 results", tg.Program([x], [bundle], [])
    wrong = made("matmul", x, y := leaf((2, 2)), shape=(2,))
    yield "cannot be computed: matmul", tg.Program([x, y], [wrong], [wrong])
    y = leaf()
    inner = tg.Program([y], [made("sin", y, shape=(2,))], [])
    bundle = made("jit_call", x, shape=(0,), dtype=object, program=inner)
    yield "gives the shape", tg.Program([x], [bundle], [])


@pytest.mark.parametrize("number", range(13))
def test_verify_finds_what_is_wrong(number):
    text, program = list(wrong_programs())[number]
    with pytest.raises(AssertionError, match=text):
        program.verify()
    assert len(list(wrong_programs())) == 13


def test_verify_believes_masks_and_runs_all_else():
    x, mask = leaf(), leaf(dtype=bool)
    chosen = made("gather", x, mask, shape=(2,), spec=(HOLE,))
    tg.Program([x, mask], [chosen], [chosen]).verify()
    fixed = made("gather", x, np.array([True, False, True]), shape=(3,), spec=(HOLE,))
    with pytest.raises(AssertionError, match=r"gives the shape \(2,\)"):
        tg.Program([x], [fixed], [fixed]).verify()


def test_verify_runs_an_entry_once_however_many_programs_hold_it(monkeypatch):
    program = program_of(np.sin, X)
    runs = []
    forward = primitives["sin"].forward
    monkeypatch.setattr(primitives["sin"], "forward", lambda x: runs.append(1) or forward(x))
    program.verify()
    program.select(program.outputs).verify()
    assert len(runs) == 1


# Several results ---------------------------------------------------------------------------------


BODY = program_of(lambda x: (np.sin(x), np.sum(x * x), np.argmax(x)), X)


def two(x):
    """Several results of one entry."""
    return primitives["jit_call"](x, program=BODY)


def test_an_entry_with_several_results_is_differentiated_in_all_of_them():
    def f(x):
        s, q, n = two(x)
        return np.sum(s) * q + n

    def plain(x):
        return np.sum(np.sin(x)) * np.sum(x * x) + np.argmax(x)

    np.testing.assert_allclose(f(X), plain(X))
    np.testing.assert_allclose(tg.grad(f)(X), tg.grad(plain)(X))
    np.testing.assert_allclose(tg.hessian(f)(X), tg.hessian(plain)(X))
    np.testing.assert_allclose(tg.jvp(f, (X,), (X,))[1], tg.jvp(plain, (X,), (X,))[1])
    np.testing.assert_allclose(tg.vmap(f)(np.stack([X, -X])), [plain(X), plain(-X)])
    np.testing.assert_allclose(tg.jit(f, strict=True)(X), plain(X))
    np.testing.assert_allclose(tg.jit(tg.hessian(f), strict=True)(X), tg.hessian(plain)(X))
    t = tg.tensor(X)
    f(t).backward()
    np.testing.assert_allclose(t.grad, tg.grad(plain)(X))


def test_a_result_that_nobody_uses_has_no_cotangent():
    t = tg.tensor(X)
    _, q, n = two(t)
    assert n.constant and not q.constant
    q.backward()
    np.testing.assert_allclose(t.grad, 2 * X)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(two(x)[0]))(X), np.cos(X))
    assert q.creator is None


def test_several_results_are_constants_where_nothing_is_recorded():
    t = tg.tensor(X)
    with tg.no_autodiff:
        s, _, n = two(t)
    assert s.creator is None and not s.constant and n.constant
    s, _, _ = two(tg.tensor(X, constant=True))
    assert s.constant


def test_the_creator_of_a_result_is_the_entry_of_them_all():
    t = tg.tensor(X)
    s, q, _ = two(t)
    assert "jit_call" in repr(s.creator) and s.creator.variables[0] is t
    assert s.creator is q.creator


def test_several_results_on_a_tape():
    t = tg.tensor(X)
    with tg.Tape() as tape:
        s, q, _ = two(t)
        y = np.sum(s) * q
    text = str(tape)
    assert re.search(r"def program0\(x0\):", text) and "# 3 results" in text
    assert "t0 = program0(x0)" in text and "t1 = t0[0]" in text
    np.testing.assert_allclose(run_source(text, X), y.data, rtol=1e-14)
    np.testing.assert_allclose(tape.replay({t: -X})[y], np.sum(np.sin(-X)) * np.sum(X * X))
    np.testing.assert_allclose(
        tape.compile([t], [y], gradient=True)(X)[1][0], tape.gradient(y, [t])[0]
    )
    program = tape.program([t], [y])
    program.verify()
    assert pickle.loads(pickle.dumps(program)) == program
    np.testing.assert_allclose(program.batch(2)(np.stack([X, X]))[0], [y.data, y.data])


def test_a_primitive_with_several_results_says_how_it_is_pushed_and_batched():
    with pytest.raises(TypeError, match="needs jvp and batch"):
        Primitive("pair", lambda x: (x, x), multiple=True, register=False)
