"""Every function of NumPy's public namespaces, sorted by what tensors do; with a call of each.

The tables are lists of calls; the name of the argument says which sample it gets. They are read by the
tests of the surface, and by ``docs/make_numpy_functions.py``, which makes a table of what it finds.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

RNG = np.random.default_rng(5)
SAMPLES: dict[str, Any] = {
    "v": np.array([0.9, -0.4, 0.55, 0.2, -0.75]),
    "p": np.array([1.4, 0.3, 2.2, 0.8]),  # positive
    "u": np.array([1.2, 1.9, 1.5]),  # above 1
    "m": np.array([[0.3, -0.6, 0.8, 0.1], [-0.2, 0.7, -0.9, 0.45], [0.65, 0.35, -0.15, -0.5]]),
    "s": np.array([[0.3, -0.6, 0.8], [-0.2, 0.7, -0.9], [0.65, 0.35, -0.15]]),
    "c": RNG.permutation(24).reshape(2, 3, 4) / 11.3 - 1.0,
    "n": np.array([[0.3, np.nan, 0.8, 0.1], [-0.2, 0.7, np.nan, 0.45]]),  # with nan
    "k": np.array([3, 1, 2, 0]),  # integers
    "b": np.array([True, False, True]),
}

FORMS = """
np.absolute(v) np.fabs(v) np.add(v, 2) np.subtract(1, v) np.multiply(v, v) np.divide(1, v)
np.true_divide(v, 3) np.power(p, 1.5) np.pow(2.0, v) np.float_power(p, 2) np.remainder(v, 0.31)
np.mod(v, 0.31) np.fmod(v, 0.31) np.reciprocal(v) np.positive(v) np.negative(v) np.sqrt(p) np.cbrt(v)
np.square(v) np.maximum(v, 0.1) np.minimum(v, 0.1) np.fmax(v, 0.1) np.fmin(v, 0.1) np.exp(v)
np.expm1(v) np.exp2(v) np.log(p) np.log2(p) np.log10(p) np.log1p(v) np.logaddexp(v, 0.3)
np.logaddexp2(v, 0.3) np.sin(v) np.cos(v) np.tan(v) np.sinh(v) np.cosh(v) np.tanh(v) np.arcsin(v)
np.arccos(v) np.arctan(v) np.arctan2(v, 0.7) np.arcsinh(v) np.arccosh(u) np.arctanh(v)
np.asin(v) np.acos(v) np.atan(v) np.atan2(v, 0.7) np.asinh(v) np.acosh(u) np.atanh(v)
np.hypot(v, 0.7) np.deg2rad(v) np.rad2deg(v) np.degrees(v) np.radians(v) np.copysign(v, -1.0)
np.heaviside(0.0, v) np.ldexp(v, 2) np.conjugate(v) np.conj(v) np.matmul(m, m.T) np.modf(v)[0]
np.divmod(v, 0.31)[1] np.vecdot(m, m) np.matvec(m, [1.0, 2, 3, 4]) np.vecmat([1.0, 2, 3], m)
np.sinc(v) np.real(v) np.abs(v) np.frexp(v)[0] np.nextafter(v, 1.0) np.i0(v)
np.sort_complex(v).real
np.emath.sqrt(v).real np.emath.log(v).real np.emath.log2(v).real np.emath.log10(v).real
np.emath.logn(2, v).real np.emath.power(v, 2).real np.emath.arcsin(v).real
np.emath.arccos(v).real np.emath.arctanh(v).real

np.sum(m, 0) np.prod(m, 1) np.mean(m, 1, keepdims=True) np.var(m, 0, ddof=1) np.std(m)
np.max(m, 0) np.amax(m) np.min(m, 1) np.amin(m) np.ptp(m, 1) np.average(m, 1, [1.0, 2, 3, 4])
np.median(m, 1) np.quantile(m, 0.3, axis=0) np.percentile(m, [10, 60], axis=1) np.cumsum(m, 1)
np.cumprod(m, 0) np.cumulative_sum(v, include_initial=True) np.cumulative_prod(v) np.trace(s)
np.nansum(n, 0) np.nanprod(n, 0) np.nanmean(n, 1) np.nanvar(n, 1) np.nanstd(n, 1) np.nanmax(n, 1)
np.nanmin(n, 1) np.nancumsum(n, 1) np.nancumprod(n, 1) np.nanmedian(n, 1)
np.nanquantile(n, 0.3, axis=1) np.nanpercentile(n, [30, 60], axis=1)

np.reshape(m, -1) np.ravel(m) np.transpose(c, (2, 0, 1)) np.permute_dims(m) np.swapaxes(c, 0, 1)
np.moveaxis(c, 0, 2) np.rollaxis(c, 2) np.matrix_transpose(c) np.squeeze(m[None]) np.copy(m)
np.expand_dims(m, 1) np.atleast_1d(m) np.atleast_2d(v) np.atleast_3d(m) np.broadcast_to(v, (2, 5))
np.broadcast_arrays(v, 1)[0] np.astype(m, float) np.real_if_close(m) np.flip(m) np.fliplr(m)
np.flipud(m) np.rot90(m) np.roll(m, 2) np.tile(m, 2) np.repeat(m, 2) np.resize(m, (2, 7))
np.pad(m, 1) np.concatenate([m, m]) np.concat([m, m]) np.stack([m, m]) np.vstack([m, m])
np.hstack([m, m]) np.dstack([m, m]) np.column_stack([v, v]) np.append(v, 1.0) np.unstack(m)[1]
np.split(v, [2])[1] np.array_split(v, 2)[0] np.hsplit(v, [2])[0] np.vsplit(m, 3)[1] np.dsplit(c, 2)[0]
np.block([[s, s], [s, 2 * s]]) np.meshgrid(v, v)[0] np.delete(v, 1) np.insert(v, 1, 7.0)
np.trim_zeros(v) np.lib.stride_tricks.sliding_window_view(v, 3)
np.fft.fftshift(v) np.fft.ifftshift(v)
np.fft.fft(v).imag np.fft.ifft(v).real np.fft.rfft(v).imag np.fft.irfft(v) np.fft.hfft(v)
np.fft.ihfft(v).imag np.fft.fft2(s).real np.fft.ifft2(s).real np.fft.rfft2(s).real np.fft.irfft2(s)
np.fft.fftn(s).real np.fft.ifftn(s).real np.fft.rfftn(s).real np.fft.irfftn(s)

np.take(m, [1, 7]) np.take_along_axis(m, np.array([[0], [2], [1]]), 1) np.compress([1, 0, 1], m, 0)
np.extract([1, 0, 1, 0, 1], v) np.diagonal(s) np.diag(v) np.diagflat(v) np.tril(s) np.triu(s)
np.sort(m, 0) np.partition(p, 3) np.unique(v) np.unique_all(v)[0] np.unique_counts(v)[0]
np.unique_inverse(v)[0] np.unique_values(p) np.union1d(v, [5.0]) np.intersect1d(v, v + 0.0)
np.setdiff1d(v, [0.3]) np.setxor1d(v, [0.3, 6.0]) np.where([1, 0, 1, 0, 1], v, 0.0)
np.select([v > 0.4, v > 0], [v, 2 * v], -1.0) np.choose([0, 1, 0, 1, 0], [v, 3.0])
np.piecewise(v, [v < 0, v > 0.4], [np.exp, lambda t: t * t, 3.0]) np.clip(v, -0.5, 0.5)
np.nan_to_num(n) np.bincount([0, 1, 0, 2, 1], v)

np.dot(m, m.T) np.vdot(m, m) np.inner(m, m) np.outer(v, v) np.kron(s, s) np.tensordot(m, m, 2)
np.einsum("ij,ij->i", m, m) np.cross(s, s[::-1]) np.linalg.cross(s, s[::-1]) np.linalg.outer(v, v)
np.linalg.matmul(m, m.T) np.linalg.vecdot(m, m) np.linalg.tensordot(m, m, axes=2)
np.linalg.diagonal(s) np.linalg.trace(s) np.linalg.matrix_transpose(m)
np.linalg.multi_dot([m, m.T, m]) np.linalg.norm(m) np.linalg.vector_norm(m)
np.linalg.matrix_norm(m)
np.linalg.cholesky(s @ s.T) np.linalg.cond(s) np.linalg.det(s) np.linalg.eigh(s + s.T)[0]
np.linalg.eigvalsh(s + s.T) np.linalg.inv(s) np.linalg.lstsq(s, s)[0] np.linalg.matrix_power(s, 2)
np.linalg.pinv(s) np.linalg.qr(s)[1] np.linalg.slogdet(s)[1] np.linalg.solve(s, s)
np.linalg.svd(s)[1] np.linalg.svdvals(s) np.linalg.tensorinv(s, 1)
np.linalg.tensorsolve(s, [1.0, 2, 3]) np.linalg.eig(s @ s.T)[0] np.linalg.eigvals(s @ s.T)

np.diff(m) np.ediff1d(v) np.gradient(m)[0] np.trapezoid(m, dx=0.3)
np.interp(v, [-1.0, 0, 1], [2.0, 0, 1]) np.unwrap(9 * v) np.convolve(v, [1.0, 2])
np.correlate(v, [1.0, 2]) np.cov(m) np.corrcoef(m) np.vander(v, 3) np.polyval(v, 1.5)
np.poly(v) np.roots(np.poly(v)) np.polyfit([0, 1, 2, 4, 7.0], v, 2) np.polydiv(v, [1.0, 2])[0]
np.polyadd(v, [1.0, 2]) np.polysub(v, [1.0, 2]) np.polymul(v, [1.0, 2]) np.polyder(v) np.polyint(v)
np.linspace(v, 2.0, 4) np.logspace(v, 2.0, 4) np.geomspace(p, 9.0, 4)
np.apply_along_axis(np.cumsum, 0, m) np.apply_over_axes(np.sum, c, [0, 2])
"""

PLAIN = """
np.greater(v, 0.1) np.greater_equal(v, 0.1) np.less(v, 0.1) np.less_equal(v, 0.1) np.equal(v, 0.2)
np.not_equal(v, 0.2) np.logical_and(v, 1) np.logical_or(v, 0) np.logical_xor(v, 1) np.logical_not(v)
np.isnan(n) np.isfinite(n) np.isinf(n) np.isposinf(v) np.isneginf(v) np.signbit(v) np.isclose(v, 0.2)
np.iscomplex(v) np.isreal(v) np.iscomplexobj(v) np.isrealobj(v) np.sign(v) np.floor(v) np.ceil(v)
np.trunc(v) np.rint(v) np.fix(v) np.round(v, 1) np.around(v, 1) np.floor_divide(v, 0.3) np.angle(v)
np.spacing(v) np.imag(v) np.zeros_like(v) np.ones_like(v) np.full_like(v, 2.0)
np.bitwise_and(k, 1) np.bitwise_or(k, 1) np.bitwise_xor(k, 1) np.invert(k) np.bitwise_not(k)
np.bitwise_invert(k) np.left_shift(k, 1) np.bitwise_left_shift(k, 1) np.right_shift(k, 1)
np.bitwise_right_shift(k, 1) np.bitwise_count(k) np.gcd(k, 2) np.lcm(k, 2) np.packbits(b)
np.unpackbits(np.astype(k, np.uint8))
np.any(v, 0) np.all(v, 0) np.count_nonzero(v) np.argmax(m, 1) np.argmin(m, 1) np.argsort(m, 1)
np.argpartition(m, 2, 1) np.nanargmax(n, 1) np.nanargmin(n, 1) np.searchsorted(p, 0.5) np.nonzero(v)
np.flatnonzero(v) np.argwhere(v) np.digitize(v, [0, 0.5]) np.histogram(v) np.histogram2d(v, v)[0]
np.histogramdd(s)[0] np.histogram_bin_edges(v) np.isin(v, [0.2]) np.lexsort([v, v]) np.allclose(v, v)
np.array_equal(v, v) np.array_equiv(v, v) np.ix_(k)[0] np.unravel_index(k, (2, 2))
np.ravel_multi_index((k, k), (4, 4)) np.diag_indices_from(s) np.tril_indices_from(s)
np.triu_indices_from(s) np.shape(m) np.ndim(m) np.size(m) np.result_type(v) np.can_cast(v.dtype, float)
np.common_type(v) np.min_scalar_type(k) np.shares_memory(v, v) np.may_share_memory(v, v)
np.einsum_path("i,i", v, v)[0] np.linalg.matrix_rank(s)
"""

IN_PLACE = """
np.copyto(t, v) np.put(t, [0, 3], v) np.putmask(t, t > 0.3, v) np.place(t, t > 0.3, v)
np.put_along_axis(t, np.array([0, 3, 1, 2, 4]), v, 0) np.fill_diagonal(t, v)
"""

REFUSED = """
np.busday_count(v, v) np.busday_offset(v, v) np.is_busday(v) np.datetime_as_string(v)
"""

#: They write files, raise for numbers, or need what no table can compare; tested elsewhere.
ELSEWHERE = {
    "array_repr", "array_str", "array2string",
    "isnat", "save", "savetxt", "savez", "savez_compressed", "empty_like", "trapz", "in1d",
    "row_stack",
}  # fmt: skip

#: Functions that do not ask their arguments, and are seen in functions that are read.
READ = """
np.array([v, v]) np.asarray(v) np.asanyarray(v) np.ascontiguousarray(v) np.asfortranarray(v)
np.asarray_chkfinite(v) np.require(v, float) np.full(3, v[0]) np.arange(v[3], v[3] + 1.1, 0.25)
np.fromiter((a * a for a in v), float) np.fromfunction(v[0].__mul__, (3,)) np.kaiser(5, p[0])
"""

#: Random numbers, of which only the parameters have a derivative.
DRAWN = """
np.random.normal(v, 2.0) np.random.lognormal(v) np.random.uniform(v, 2.0) np.random.exponential(p)
np.random.laplace(v) np.random.logistic(v) np.random.gumbel(v) np.random.rayleigh(p)
np.random.weibull(p) np.random.pareto(p) np.random.permutation(v) np.random.choice(v, 3)
"""

#: Random numbers without such a derivative.
UNDRAWN = """
np.random.beta(p, p) np.random.binomial(3, p / 9) np.random.chisquare(p) np.random.dirichlet(p)
np.random.f(p, p) np.random.gamma(p) np.random.geometric(p / 9) np.random.hypergeometric(9, 9, p)
np.random.logseries(p / 9) np.random.multinomial(3, p / 9)
np.random.multivariate_normal(p, np.eye(4)) np.random.negative_binomial(3, p / 9)
np.random.noncentral_chisquare(p, p) np.random.noncentral_f(p, p, p) np.random.poisson(p)
np.random.power(p) np.random.standard_gamma(p) np.random.standard_t(p)
np.random.triangular(0.0, p, 9.0) np.random.vonmises(p, p) np.random.wald(p, p) np.random.zipf(u)
"""

#: What takes no values that could have a derivative: sizes, texts, files, settings.
CONSTANT = """
bartlett base_repr binary_repr blackman broadcast_shapes datetime_data diag_indices empty eye
format_float_positional format_float_scientific fromfile fromregex fromstring genfromtxt get_include
get_printoptions getbufsize geterr geterrcall hamming hanning identity indices info isdtype isfortran
isscalar issubdtype iterable load loadtxt mask_indices mintypecode ones printoptions promote_types
set_printoptions setbufsize seterr seterrcall show_config show_runtime test tri tril_indices
triu_indices typename zeros
linalg.test fft.fftfreq fft.rfftfreq fft.test
random.bytes random.default_rng random.get_bit_generator random.get_state random.rand random.randint
random.randn random.random random.random_integers random.random_sample random.ranf random.sample
random.seed random.set_bit_generator random.set_state random.standard_cauchy
random.standard_exponential random.standard_normal random.test
"""

#: What is no such function, and what it does for traced values.
OTHERS = {
    "asmatrix bmat matrix": "refused: what they make knows nothing of traces",
    "from_dlpack frombuffer": "take memory, which only values outside of a graph have",
    "frompyfunc": "makes ufuncs of objects, which are refused; np.vectorize is differentiated",
    "nested_iters nditer flatiter": "refused: iterate over memory",
    "trapz in1d row_stack": "old names, tested where they exist",
    "broadcast": "shapes of tensors, no iteration",
    "ndenumerate ndindex vectorize poly1d": "differentiated, tests/tape/python and tests/ops",
    "ndarray memmap recarray record": "arrays themselves; tensors are views of none",
    "busdaycalendar dtype errstate finfo iinfo ufunc": "hold no numbers that are differentiated",
    "random.shuffle": "moves what is in a tensor, in place",
    "random.BitGenerator random.Generator random.MT19937 random.PCG64 random.PCG64DXSM random.Philox "
    "random.RandomState random.SFC64 random.SeedSequence": "sources of random numbers",
    "linalg.LinAlgError": "an exception",
    "c_ r_ s_ index_exp mgrid ogrid": "indexed, not called: tests/tape/python and tests/ops",
    "ScalarType sctypeDict typecodes": "tables",
}  # fmt: skip

MODULES = {
    "": np, "linalg.": np.linalg, "fft.": np.fft, "emath.": np.emath,
    "lib.stride_tricks.": np.lib.stride_tricks,
}  # fmt: skip


def calls(table: str) -> list[str]:
    """The calls in a table, one string each; those that this NumPy does not have are left out."""
    found, depth = [""], 0
    for letter in table.strip():
        depth += (letter in "([") - (letter in ")]")
        if letter.isspace() and not depth:
            found.append("")
        else:
            found[-1] += letter
    return [call for call in found if call and _exists(name_of(call))]


def name_of(call: str) -> str:
    match = re.match(r"np\.([\w.]+)\(", call)
    assert match is not None, call
    return match[1]


def _exists(name: str) -> bool:
    value: Any = np
    for part in name.split("."):
        value = getattr(value, part, None)
    return value is not None


def evaluate(call: str, x: Any, **more: Any) -> Any:
    """Evaluate a call with `x` as its sample."""
    return eval(call, {"np": np, sample_of(call): x, **more})


def sample_of(call: str) -> str:
    """The name of the sample that a call takes."""
    (name,) = SAMPLES.keys() & set(compile(call, "call", "eval").co_names)
    return name
