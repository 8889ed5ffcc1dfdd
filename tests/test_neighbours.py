"""Other libraries beside tensors: each test runs where its library is installed."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 2.0, 3.0])
FACTORS = np.array([2.0, 0.5, 4.0])

USES = {
    "x * o": lambda x, o: x * o,
    "o * x": lambda x, o: o * x,
    "o / x": lambda x, o: o / x,
    "x / o": lambda x, o: x / o,
    "np.multiply(x, o)": np.multiply,
    "np.multiply(o, x)": lambda x, o: np.multiply(o, x),
}
each_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


def gradient(use: Any, factors: Any, unwrap: Any = lambda r: r) -> None:
    """Check the derivative through `use`, imperative and functional, compiled and mapped."""
    expected = tg.grad(lambda x: np.sum(use(x, FACTORS)))(X)
    t = tg.tensor(X)
    unwrap(use(t, factors)).sum().backward()
    np.testing.assert_allclose(t.grad, expected)

    def total(x: Any) -> Any:
        return np.sum(unwrap(use(x, factors)))

    np.testing.assert_allclose(tg.grad(total)(X), expected)
    np.testing.assert_allclose(tg.vmap(tg.grad(total))(np.stack([X, X]))[1], expected)


# pandas -------------------------------------------------------------------------------------------


@each_use
@pytest.mark.parametrize("kind", ["Series", "Index"])
def test_pandas_leaves_operators_to_tensors_with_a_derivative(use: Any, kind: str) -> None:
    pandas = pytest.importorskip("pandas")
    data = getattr(pandas, kind)(FACTORS)
    if kind == "Index" and use is USES["np.multiply(o, x)"]:
        pytest.skip("pandas makes an index of it")
    assert type(use(tg.tensor(X), data)) is tg.Tensor
    gradient(use, data)


def test_pandas_answers_for_constants_and_frames_are_left() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(FACTORS, index=list("abc"))
    for result in (series * tg.tensor(X, constant=True), tg.tensor(X, constant=True) * series):
        assert list(result.index) == list("abc") and np.array_equal(result, X * FACTORS)
    frame = pandas.DataFrame({"a": FACTORS, "b": FACTORS})
    t = tg.tensor(X[:, None])
    for result in (t * frame, frame * t):
        assert type(result) is tg.Tensor and result.shape == (3, 2)
    assert np.array_equal(pandas.Series(tg.tensor(X)), X)
    assert np.array_equal(pandas.DataFrame({"a": tg.tensor(X) * 2})["a"], 2 * X)
    assert np.array_equal(tg.tensor(frame["a"]).data, FACTORS)


def test_what_pandas_holds_is_no_constant_under_jit() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(FACTORS.copy())
    f = tg.jit(tg.grad(lambda x: np.sum(x * series)))
    with pytest.warns(RuntimeWarning, match="runs without compiling"):
        assert np.array_equal(f(X), FACTORS)
    series[0] = 9.0
    assert f(X)[0] == 9.0


# xarray, pint, dask -----------------------------------------------------------------------------------


@each_use
def test_a_labelled_array_holds_a_tensor(use: Any) -> None:
    xarray = pytest.importorskip("xarray")
    labelled = xarray.DataArray(FACTORS, dims="i", coords={"i": list("abc")})
    result = use(tg.tensor(X), labelled)
    assert type(result) is xarray.DataArray and type(result.data) is tg.Tensor
    assert list(result.i.values) == list("abc")
    gradient(use, labelled, lambda r: r.data)


def test_methods_of_a_labelled_array_keep_the_derivative() -> None:
    xarray = pytest.importorskip("xarray")
    t = tg.tensor(X)
    labelled = xarray.DataArray(t, dims="i")
    (labelled.sum() + (labelled**2).mean() + np.sin(labelled).max()).data.backward()
    expected = 1 + 2 * X / 3 + np.where(np.sin(X) == np.sin(X).max(), np.cos(X), 0)
    np.testing.assert_allclose(t.grad, expected)


@each_use
def test_a_quantity_holds_a_tensor(use: Any) -> None:
    pint = pytest.importorskip("pint")
    length = pint.UnitRegistry().Quantity(FACTORS, "m")
    result = use(tg.tensor(X), length)
    assert type(result.magnitude) is tg.Tensor and result.units == use(X, length).units
    gradient(use, length, lambda r: r.magnitude)


def test_units_are_not_dropped() -> None:
    pint = pytest.importorskip("pint")
    length = pint.UnitRegistry().Quantity(FACTORS, "m")
    t = tg.tensor(X)
    for use in (
        lambda: t + length,
        lambda: length + t,
        lambda: np.add(t, length),
        lambda: np.concatenate([t, length]),
        lambda: tg.grad(lambda x: np.sum(x + length))(X),
    ):
        with pytest.raises(pint.DimensionalityError):
            use()
    t *= length
    assert type(t.magnitude) is tg.Tensor


def test_dask_arrays_are_computed() -> None:
    array = pytest.importorskip("dask.array")
    lazy = array.from_array(FACTORS)
    for use in USES.values():
        assert type(use(tg.tensor(X), lazy)) is tg.Tensor
    gradient(USES["x * o"], lazy)
    assert np.array_equal(array.from_array(X).map_blocks(tg.jit(np.sin)).compute(), np.sin(X))


# Tensors of other libraries -------------------------------------------------------------------------


def test_torch_shares_memory() -> None:
    torch = pytest.importorskip("torch")
    x = tg.tensor(X)
    for convert in (torch.as_tensor, torch.from_dlpack):
        other = convert(x)
        other[0] = 5.0
        assert x.data[0] == 5.0
    back = tg.from_dlpack(other)
    assert np.shares_memory(back.data, x.data)
    y = x * x
    assert torch.as_tensor(y).tolist() == y.data.tolist()
    for adapt in (True, False):
        with pytest.raises(tg.TracedArrayError, match="stop_gradient"):
            tg.grad(lambda x: float(torch.as_tensor(x).sum()), adapt=adapt)(X)
    with pytest.raises(BufferError):
        tg.from_dlpack(torch.ones(2, requires_grad=True))


def test_jax_shares_memory() -> None:
    jax = pytest.importorskip("jax")
    x = tg.tensor(X)
    assert np.array_equal(jax.numpy.asarray(x), X.astype(np.float32))
    assert np.array_equal(jax.dlpack.from_dlpack(x), X)
    theirs = jax.numpy.ones(3)
    ours = tg.from_dlpack(theirs)
    assert ours.data.ctypes.data == theirs.unsafe_buffer_pointer()
    with pytest.raises(ValueError, match="read-only"):
        ours[0] = 2.0


# Pools ---------------------------------------------------------------------------------------------


def slope(x: Any) -> Any:
    return tg.grad(lambda x: np.sum(np.sin(x)))(x)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_takes_what_is_made_of_functions(backend: str) -> None:
    joblib = pytest.importorskip("joblib")
    f = tg.jit(tg.grad(lambda x: np.sum(np.sin(x))))
    found = joblib.Parallel(2, backend=backend)(joblib.delayed(f)(k * X) for k in range(3))
    np.testing.assert_allclose(found, [np.cos(k * X) for k in range(3)])


def test_dask_takes_what_is_made_of_functions() -> None:
    dask = pytest.importorskip("dask")
    f = dask.delayed(tg.vmap(tg.grad(np.sin)))
    np.testing.assert_allclose(dask.compute(f(X), scheduler="processes")[0], np.cos(X))


# Drawing --------------------------------------------------------------------------------------------

DRAWINGS = {
    "plot": lambda a, x: a.plot(x, x * x),
    "bar": lambda a, x: a.bar(x, x),
    "barh": lambda a, x: a.barh(x, x, xerr=x / 2),
    "errorbar": lambda a, x: a.errorbar(x, x, yerr=x / 10, xerr=x / 10),
    "hist": lambda a, x: a.hist(x),
    "scatter": lambda a, x: a.scatter(x, x, c=x, s=x),
    "fill_between": lambda a, x: a.fill_between(x, x, x + 1),
    "imshow": lambda a, x: a.imshow(np.outer(x, x)),
    "contour": lambda a, x: a.contour(np.outer(x, x)),
    "boxplot": lambda a, x: a.boxplot(x),
    "stem": lambda a, x: a.stem(x, x),
    "pie": lambda a, x: a.pie(x),
    "axhline": lambda a, x: a.axhline(x[0]),
    "limits": lambda a, x: a.set_xlim(x[0], x[2]),
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
@pytest.mark.parametrize("kind", ["leaf", "constant", "result"])
def test_matplotlib_draws_tensors(draw: Any, kind: str) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    x = tg.tensor(X, constant=kind == "constant")
    drawn = figure.Figure()
    draw(drawn.add_subplot(), x * 1 if kind == "result" else x)
    drawn.canvas.draw()


# The array API ----------------------------------------------------------------------------------------


def test_array_api_compat_finds_the_namespace() -> None:
    compat = pytest.importorskip("array_api_compat")
    x = tg.tensor(X)
    assert compat.array_namespace(x) is tg.array_api
    assert compat.device(x) == "cpu" and compat.size(x) == 3
    assert compat.to_device(x, "cpu") is x


DISPATCHED = """
import numpy as np, sklearn, scipy.fft, scipy.special, tapegrad as tg
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import StandardScaler
rows = np.random.default_rng(0).normal(size=(6, 3))
with sklearn.config_context(array_api_dispatch=True):
    for make in (StandardScaler, lambda: PCA(2)):
        done = make().fit_transform(tg.tensor(rows))
        assert type(done) is tg.Tensor
        np.testing.assert_allclose(done.data, make().fit_transform(rows), atol=1e-12)
    t = tg.tensor(rows)
    euclidean_distances(t, squared=True).sum().backward()
    np.testing.assert_allclose(t.grad, 4 * (6 * rows - rows.sum(0)), atol=1e-12)
t = tg.tensor([0.5, 1.5])
scipy.special.logsumexp(t).backward()
np.testing.assert_allclose(t.grad, scipy.special.softmax(t.data))
try:
    scipy.fft.dct(t)
except tg.TracedArrayError as error:
    assert "tg.stop_gradient" in str(error)
else:
    assert False
print("done")
"""


def test_scikit_learn_and_scipy_dispatch_to_tensors() -> None:
    pytest.importorskip("sklearn")
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DISPATCHED],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
