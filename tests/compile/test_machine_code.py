"""From the text of a kernel to a function of Python's: kinds, control flow, arguments, layouts."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapegrad.compile.backends.llvm import entry
from tapegrad.compile.backends.llvm.kernels import compile_source
from tapegrad.compile.backends.llvm.layouts import same_layouts
from tapegrad.compile.backends.llvm.scalars import LLVM, Block, Scalar
from tapegrad.compile.backends.llvm.translation import Parameter

KINDS = {
    "boolean": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B",
    "uint16": "H", "uint32": "I", "float32": "f", "float64": "d",
}  # fmt: skip


def compiled(text, *parameters):
    return compile_source(text, (Parameter("n0", "int64"), *parameters))[0]


def array(name, kind="float64", rank=1, contiguous=True):
    return Parameter(name, kind, rank, contiguous)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("to", KINDS)
def test_each_kind_converts_to_each_as_in_numpy(kind, to):
    text = f"def kernel(n0, x, y):\n    for i0 in range(n0):\n        y[i0] = {to}(x[i0])\n"
    if to == "boolean":
        text = text.replace("boolean(x[i0])", "x[i0] != 0")
    if kind == to == "boolean":
        text = text.replace("x[i0] != 0", "x[i0]")
    x = np.array([0, 1, 2, 77, 100]).astype(KINDS[kind])
    y = np.empty(5, KINDS[to])
    compiled(text, array("x", kind), array("y", to))(5, x, y)
    np.testing.assert_array_equal(y, x.astype(KINDS[to]))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("to", [k for k in KINDS if k not in ("boolean", "float32", "float64")])
@pytest.mark.parametrize("least", [-100, -40_000, -(2**31)])
def test_negative_numbers_become_integers_as_in_numpy(kind, to, least):
    text = f"def kernel(n0, x, y):\n    for i0 in range(n0):\n        y[i0] = {to}({kind}(x[i0]))\n"
    for source in (kind, "int32"):
        x = np.array([least, -1, 0, 1, 5] * 7).astype(KINDS[source])
        y = np.empty(35, KINDS[to])
        compiled(text, array("x", source), array("y", to))(35, x, y)
        np.testing.assert_array_equal(y, x.astype(KINDS[kind]).astype(np.int64).astype(KINDS[to]))


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">=", "==", "!="])
def test_comparisons_of_truth_values(relation):
    a, b = np.array([[False, False, True, True], [False, True, False, True]])
    text = "def kernel(n0, a, b, y):\n    for i0 in range(n0):\n        y[i0] = a[i0] {} b[i0]\n"
    y = np.empty(4, bool)
    parameters = [array(name, "boolean") for name in "aby"]
    compiled(text.format(relation), *parameters)(4, a, b, y)
    np.testing.assert_array_equal(y, eval(f"a {relation} b"))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "boolean"])
@pytest.mark.parametrize("relation", ["<", "<=", ">", ">=", "==", "!="])
def test_comparisons_know_signs_and_nan(kind, relation):
    info = np.finfo if "f" in KINDS[kind] or "d" in KINDS[kind] else np.iinfo
    least, most = info(KINDS[kind]).min, info(KINDS[kind]).max
    values = np.array([least, most, 0, 1], KINDS[kind])
    if info is np.finfo:
        values = np.append(values, np.array([np.nan, np.inf, -0.0], KINDS[kind]))
    a, b = (part.ravel() for part in np.meshgrid(values, values))
    text = "def kernel(n0, a, b, y):\n    for i0 in range(n0):\n        y[i0] = a[i0] {} b[i0]\n"
    y = np.empty(a.size, bool)
    compiled(text.format(relation), array("a", kind), array("b", kind), array("y", "boolean"))(
        a.size, a, b, y
    )
    np.testing.assert_array_equal(y, eval(f"a {relation} b"))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "boolean"])
def test_numbers_are_taken_and_returned_in_each_kind(kind):
    text = "def kernel(n0, c):\n    return c\n"
    for number in (0, 1, -1, 100):
        if number < 0 and kind.startswith("u"):
            continue
        for held in (number, np.dtype(KINDS[kind]).type(number), np.array(number, KINDS[kind])):
            assert compiled(text, Parameter("c", kind))(3, held) == number


def test_branches_loops_and_memory_of_their_own():
    text = """def kernel(n0, x):
    kept = 0.0
    w = np.empty((n0,), float64)
    for i0 in range(n0):
        w[i0] = x[i0] * 2.0
    for i0 in range(n0):
        if w[i0] > 3.0 and w[i0] < inf:
            kept = kept + w[i0]
        else:
            kept = kept - 1.0
    beyond = False
    for i0 in range((n0 + 1) // 2):
        beyond |= abs(x[i0]) > 4.0
    return kept, beyond, min(n0, 3)
"""
    x = np.array([1.0, 2.0, 3.0, np.inf, 5.0])
    assert compiled(text, array("x"))(5, x) == (4.0 + 6.0 + 10.0 - 2.0, False, 3)
    x[2] = -5
    assert compiled(text, array("x"))(5, x)[1] is True


def test_arrays_of_several_axes_in_any_layout():
    text = """def kernel(n0, n1, x, y):
    for i0 in range(n0):
        for i1 in range(n1):
            y[i0, i1] = x[i1, i0] * 2.0
"""
    parameters = [Parameter("n0", "int64"), Parameter("n1", "int64"), array("x", rank=2)]
    held = np.arange(24.0).reshape(4, 6)
    for x in (held, held[::2, ::3], held[::-1, ::-1], held.T, held[:0]):
        contiguous = x.flags.c_contiguous
        parameters[2] = array("x", rank=2, contiguous=contiguous)
        y = np.zeros(x.shape[::-1])
        code, _ = compile_source(text, (*parameters, array("y", rank=2)))
        code(*y.shape, x, y)
        np.testing.assert_array_equal(y, x.T * 2)


COPY = "def kernel(n0, x, y):\n    for i0 in range(n0):\n        y[i0] = x[i0]\n"


@pytest.mark.parametrize("wrong", [3.0, None, np.ones((2, 2)), np.float64(2), [1.0], np.array(1.0)])
def test_what_is_no_such_array_is_an_error(wrong):
    code = compiled(COPY, array("x"), array("y"))
    with pytest.raises(TypeError, match="argument of another kind"):
        code(1, wrong, np.ones(1))


def test_errors_of_numbers_are_pythons():
    code = compiled("def kernel(n0, c):\n    return c * 2.0\n", Parameter("c", "float64"))
    assert code(1, -1.0) == -2.0
    with pytest.raises(TypeError, match="must be real number"):
        code(1, "text")
    with pytest.raises(OverflowError):
        code(2**70, 1.0)


def test_no_reference_is_lost_or_kept():
    x, y = np.ones(3), np.empty(3)
    code = compiled(COPY, array("x"), array("y"))
    returning = compiled("def kernel(n0, x):\n    return x[0], True\n", array("x"))
    same = same_layouts([((3,), (8,), x.dtype)])
    before = [sys.getrefcount(o) for o in (x, y, None, True, x.dtype)]
    for _ in range(1000):
        code(3, x, y)
        returning(3, x)
        assert same(x) and not same(y[:2])
    after = [sys.getrefcount(o) for o in (x, y, None, True, x.dtype)]
    assert all(abs(a - b) < 50 for a, b in zip(before, after))


def test_other_threads_run_while_a_long_kernel_does():
    text = """def kernel(n0, x):
    total = 0.0
    for i0 in range(n0):
        for i1 in range(n0):
            total = total * 0.5 + x[i0] + x[i1]
    return total
"""
    code, x, seen = compiled(text, array("x")), np.ones(20_000), []
    thread = threading.Thread(target=lambda: seen.append(code(x.size, x)))
    thread.start()
    steps = 0
    while not seen:
        steps += 1
    thread.join()
    assert steps > 1000


def test_the_code_is_as_pythons_memory_is():
    assert entry.check_layout()


def test_a_constant_of_float32_is_rounded_to_it():
    block = Block()
    for number in (0.1, 1e300, -1e300, 1e-300, np.nan, np.inf):
        text = Scalar.constant(block, "float32", number).text
        held = np.array(int(text, 16), np.uint64).view(float)
        with np.errstate(over="ignore", under="ignore"):
            np.testing.assert_equal(float(held), float(np.float32(number)))


@given(st.sampled_from([k for k in LLVM if "int" in k]), st.integers(-(2**70), 2**70))
def test_a_constant_integer_wraps_around(kind, number):
    text = Scalar.constant(Block(), kind, number).text
    width = int(LLVM[kind][1:])
    assert -(1 << (width - 1)) <= int(text) < 1 << (width - 1)
    assert (int(text) - number) % (1 << width) == 0


# Layouts -------------------------------------------------------------------------------------------


def layouts_of(arrays):
    return [(a.shape, a.strides, a.dtype) for a in arrays]


def test_layouts_are_told_apart():
    a = np.ones((3, 4))
    arrays = [
        a,
        a.T,
        a[::2],
        a[0],
        a[0, :2],
        np.array(1.0),
        np.ones((3, 4), "f4"),
        np.ones(0),
        a > 0,
    ]
    arrays += [a.astype(">f8"), np.asfortranarray(a), np.broadcast_to(a, (2, 3, 4))]
    same = same_layouts(layouts_of(arrays))
    assert same(*arrays)
    for i, array in enumerate(arrays):
        for j, other in enumerate(arrays):
            given = [*arrays[:i], other, *arrays[i + 1 :]]
            assert same(*given) is (layouts_of([array]) == layouts_of([other])), (i, j)


@pytest.mark.parametrize(
    "other", [None, 1.0, np.float64(1), [1.0], np.ma.ones(3), np.matrix([1.0])]
)
def test_what_is_no_array_has_no_such_layout(other):
    x = np.ones(3)
    assert same_layouts(layouts_of([x, x]))(x, other) is False


def test_an_array_whose_shape_is_set_is_seen():
    x = np.ones(6)
    same = same_layouts(layouts_of([x]))
    assert same(x)
    x.resize((2, 3), refcheck=False)
    assert not same(x)


def test_a_layout_keeps_its_dtype():
    code = (
        "import numpy as np, gc\n"
        "from tapegrad.compile.backends.llvm.layouts import same_layouts\n"
        "held = np.zeros(3, np.dtype([('a', 'f8'), ('b', 'i4')]))\n"
        "same = same_layouts([(held.shape, held.strides, held.dtype)])\n"
        "del held; gc.collect()\n"
        "for i in range(100):\n"
        "    other = np.zeros(3, np.dtype([('a', 'f8'), (f'c{i}', 'i4')]))\n"
        "    assert not same(other)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
