"""SciPy's special functions on tensors: each rule against central differences, to second order."""

import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops.elementwise import special_families, special_rules
from tapegrad.tape.core.primitive import functions, primitives
from tapegrad.tape.program.printing import run_source

sc = pytest.importorskip("scipy.special")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

#: Where each function is differentiated; one tuple of arguments for each point.
POINTS: dict[str, list[tuple[Any, ...]]] = {
    "erf": [(0.3,), (-1.7,)], "erfc": [(0.3,), (2.0,)], "erfcx": [(0.3,), (5.0,)], "erfi": [(0.7,)],
    "erfinv": [(0.3,), (-0.8,)], "erfcinv": [(0.3,), (1.5,)], "dawsn": [(0.7,), (-3.0,)],
    "ndtr": [(0.3,), (-2.0,)], "log_ndtr": [(0.3,), (-9.0,), (4.0,)], "ndtri": [(0.3,), (0.9,)],
    "ndtri_exp": [(-0.7,), (-40.0,)], "owens_t": [(0.7, 0.4), (-1.2, 2.0)],
    "exp2": [(0.3,)], "exp10": [(0.3,)], "expm1": [(0.3,)], "log1p": [(0.3,)], "cbrt": [(0.7,)],
    "exprel": [(0.3,), (0.0,), (1.7,), (-3.0,)], "cosm1": [(0.3,)], "powm1": [(1.3, 0.4)],
    "sindg": [(30.0,)], "cosdg": [(30.0,)], "tandg": [(30.0,)], "cotdg": [(30.0,)],
    "radian": [(3.0, 12.0, 30.0)], "spence": [(0.3,), (1.0,), (0.95,), (2.5,)],
    "wrightomega": [(0.3,), (-2.0,)],
    "expit": [(0.3,), (-4.0,)], "log_expit": [(0.3,), (-4.0,)], "logit": [(0.3,), (0.9,)],
    "xlogy": [(0.3, 1.7), (0.0, 2.0)], "xlog1py": [(0.3, 0.7)], "entr": [(0.3,)],
    "rel_entr": [(0.3, 0.7)], "kl_div": [(0.3, 0.7)],
    "huber": [(0.7, 0.3), (0.7, 1.9), (0.7, -1.9)], "pseudo_huber": [(0.7, 0.3), (0.7, -1.9)],
    "boxcox": [(1.7, 0.6), (0.4, 0.0), (1.7, 1e-9)], "boxcox1p": [(0.7, 0.6), (0.4, 0.0)],
    "inv_boxcox": [(0.7, 0.6), (0.4, 0.0)], "inv_boxcox1p": [(0.7, 0.6), (0.4, 0.0)],
    "gamma": [(2.3,), (-0.6,)], "rgamma": [(2.3,), (-0.6,), (0.0,), (-3.0,)],
    "gammaln": [(2.3,), (0.1,)], "loggamma": [(2.3,)], "psi": [(2.3,), (-0.6,)],
    "_zeta": [(2.5, 1.3), (1.2, 0.3), (7.0, 2.0)],
    "_riemann_zeta": [(2.5,), (1.2,), (0.3,), (-1.7,), (-6.4,)], "beta": [(1.3, 2.2)],
    "betaln": [(1.3, 2.2)], "binom": [(5.3, 2.2)],
    "poch": [(1.3, 2.2)], "gammainc": [(1.3, 2.2), (0.4, 0.2)], "gammaincc": [(1.3, 2.2)],
    "gammaincinv": [(1.3, 0.4)], "gammainccinv": [(1.3, 0.4)], "betainc": [(1.3, 2.2, 0.4)],
    "betaincc": [(1.3, 2.2, 0.4)], "betaincinv": [(1.3, 2.2, 0.4)], "betainccinv": [(1.3, 2.2, 0.4)],
    "bdtr": [(2.0, 7, 0.4)], "bdtrc": [(2.0, 7, 0.4)], "bdtri": [(2.0, 7, 0.4)],
    "nbdtr": [(2.0, 7, 0.4)], "nbdtrc": [(2.0, 7, 0.4)], "nbdtri": [(2.0, 7, 0.4)],
    "pdtr": [(2.0, 1.7)], "pdtrc": [(2.0, 1.7)], "pdtri": [(2.0, 0.4)],
    "chdtr": [(3.0, 1.7)], "chdtrc": [(3.0, 1.7)], "chdtri": [(3.0, 0.4)],
    "gdtr": [(1.3, 2.2, 0.7)], "gdtrc": [(1.3, 2.2, 0.7)], "gdtrix": [(1.3, 2.2, 0.4)],
    "stdtr": [(3.0, 0.7), (2.5, -1.2)], "stdtrit": [(3.0, 0.7)], "fdtr": [(3.0, 4.0, 0.7)],
    "fdtrc": [(3.0, 4.0, 0.7)], "fdtri": [(3.0, 4.0, 0.4)], "nrdtrimn": [(0.3, 1.2, 0.7)],
    "nrdtrisd": [(0.3, 0.8, 1.7)],
    "j0": [(0.7,), (0.0,)], "j1": [(0.7,), (0.0,)], "y0": [(0.7,)], "y1": [(0.7,)],
    "jv": [(1.3, 0.7), (2, 3.0), (0, 0.0)], "jve": [(1.3, 0.7)], "yn": [(2, 0.7), (0, 1.2)],
    "yv": [(1.3, 0.7)], "yve": [(1.3, 0.7)], "i0": [(0.7,)], "i0e": [(0.7,), (-2.0,)],
    "i1": [(0.7,), (0.0,)], "i1e": [(0.7,), (-2.0,)], "iv": [(1.3, 0.7), (0, 0.0)],
    "ive": [(1.3, 0.7)], "k0": [(0.7,)], "k0e": [(0.7,)], "k1": [(0.7,)], "k1e": [(0.7,)],
    "kn": [(2, 0.7), (0, 1.2)], "kv": [(1.3, 0.7)], "kve": [(1.3, 0.7)],
    "struve": [(1.3, 0.7), (0, 2.0)], "modstruve": [(1.3, 0.7), (0, 2.0)],
    "ber": [(0.7,)], "bei": [(0.7,)], "ker": [(0.7,)], "kei": [(0.7,)],
    "berp": [(0.7,)], "beip": [(0.7,)], "kerp": [(0.7,)], "keip": [(0.7,)],
    "exp1": [(0.7,)], "expi": [(0.7,), (-0.4,)], "expn": [(2, 0.7), (1, 0.7), (0, 0.7)],
    "itstruve0": [(0.7,)], "itmodstruve0": [(0.7,)],
    "ellipk": [(0.3,), (0.0,), (0.09,), (-2.0,), (0.8,)], "ellipkm1": [(0.3,), (0.95,)],
    "ellipe": [(0.3,), (0.0,), (-2.0,)], "ellipkinc": [(0.7, 0.3), (2.0, -1.2)],
    "ellipeinc": [(0.7, 0.3), (2.0, -1.2)], "elliprc": [(0.7, 1.3)], "elliprf": [(0.7, 1.3, 2.2)],
    "eval_jacobi": [(3, 0.5, 1.2, 0.3), (0, 0.5, 1.2, 0.3), (1.5, 0.5, 1.2, 0.3)],
    "eval_sh_jacobi": [(3, 2.5, 1.2, 0.3), (0, 2.5, 1.2, 0.3)],
    "eval_gegenbauer": [(3, 0.5, 0.3), (0, 0.5, 0.3)],
    "eval_legendre": [(3, 0.3), (0, 0.3), (4, 1.0), (1.5, 0.3)], "eval_sh_legendre": [(3, 0.3)],
    "eval_chebyt": [(4, 0.3), (0, 0.3), (4, 0.999)], "eval_chebyu": [(3, 0.3), (0, 0.3)],
    "eval_chebyc": [(3, 0.3)], "eval_chebys": [(3, 0.3)], "eval_sh_chebyt": [(3, 0.3)],
    "eval_sh_chebyu": [(3, 0.3)], "eval_laguerre": [(3, 0.3), (0, 0.3)],
    "eval_genlaguerre": [(3, 0.5, 0.3), (0, 0.5, 0.3)], "eval_hermite": [(3, 0.3), (0, 0.3)],
    "eval_hermitenorm": [(3, 0.3), (0, 0.3)], "lpmv": [(1.0, 2.0, 0.3), (0.0, 3.0, 0.3)],
    "hyp0f1": [(1.3, 0.7)], "hyp1f1": [(1.3, 2.2, 0.7)], "hyp2f1": [(1.3, 0.4, 2.2, 0.3)],
    "hyperu": [(1.3, 2.2, 0.7)], "wright_bessel": [(1.3, 2.2, 0.7)],
    "log_wright_bessel": [(1.3, 2.2, 0.7)],
    "airy": [(0.7,), (-1.2,)], "itairy": [(0.7,)], "pbdv": [(1.3, 0.7)], "pbvv": [(1.3, 0.7)],
    "pbwa": [(1.3, 0.7)], "sici": [(0.7,)], "shichi": [(0.7,), (1.7,)], "fresnel": [(0.7,)],
    "itj0y0": [(0.7,)], "iti0k0": [(0.7,)], "it2j0y0": [(0.7,)], "it2i0k0": [(0.7,)],
    "ellipj": [(0.7, 0.3)],
}  # fmt: skip
#: Rules that call functions without a rule: their second derivatives raise.
FIRST_ORDER_ONLY = frozenset({"elliprc", "elliprf"})
#: Functions that SciPy itself computes to fewer digits, and how many.
ROUGH = {"pbwa": 1e-5, "itairy": 1e-5, "itstruve0": 1e-5, "itmodstruve0": 1e-5}

RULES = {**special_rules.RULES, **special_families.RULES}


def function(name: str) -> Any:
    return getattr(sc, name, None) or getattr(sc._ufuncs, name)


def parts(name: str) -> list[tuple[Any, Any]]:
    """A function's results as functions, each with the rules of its arguments."""
    f = function(name)
    if name in RULES:
        return [(f, RULES[name])]
    return [
        (lambda *args, i=i: f(*args)[i], rules)
        for i, rules in enumerate(special_families.COMPONENTS[name])
    ]


def central(f: Any, x: float, step: float = 1e-3) -> float:
    """The derivative of a function of one number, to fourth order."""
    near, far = f(x + step) - f(x - step), f(x + 2 * step) - f(x - 2 * step)
    return float((8 * near - far) / (12 * step))


CASES = [
    pytest.param(name, args, i, id=f"{name}{args}-{i}")
    for name, points in POINTS.items()
    for args in points
    for i in range(len(args))
]


def test_every_rule_has_a_point() -> None:
    assert set(POINTS) == set(RULES) | set(special_families.COMPONENTS)


@pytest.mark.parametrize(("name", "args", "i"), CASES)
def test_derivatives_agree_with_differences(name: str, args: Any, i: int) -> None:
    for f, rules in parts(name):

        def along(x: Any, f: Any = f) -> Any:
            return f(*args[:i], x, *args[i + 1 :])

        if rules[i] is None:
            with pytest.raises(TypeError, match=name):
                tg.grad(along)(float(args[i]))
            continue
        x = float(args[i])
        tolerance = ROUGH.get(name, 1e-8)
        step = 1e-3 * max(1.0, abs(x) / 10)
        want = central(along, x, step)
        value, got = tg.value_and_grad(along)(x)
        assert value == along(x)
        scale = 1 + abs(want)
        assert abs(got - want) < tolerance * scale
        assert abs(tg.jvp(along, (x,), (1.0,))[1] - got) < 1e-12 * scale
        batch = tg.vmap(tg.grad(along))(np.array([x, x]))
        assert np.allclose(batch, got, rtol=1e-12)
        t = tg.tensor(x)
        along(t).backward()
        assert np.allclose(t.grad, got, rtol=1e-12)
        if name in FIRST_ORDER_ONLY:
            with pytest.raises(TypeError, match=r"no derivative of scipy\.special\.elliprd"):
                tg.grad(tg.grad(along))(x)
            continue
        second = central(lambda v, along=along: float(tg.grad(along)(v)), x, step)
        assert abs(tg.grad(tg.grad(along))(x) - second) < 10 * tolerance * (1 + abs(second))


# Other ways in, and what has no rule ---------------------------------------------------------------

X = np.array([0.3, 1.2, 2.5])


def test_elements_broadcast_and_keep_their_dtype() -> None:
    a, x = tg.tensor([[1.0], [2.0]], constant=True), tg.tensor(X)
    y = sc.gammainc(a, x)
    assert y.data.tolist() == sc.gammainc([[1.0], [2.0]], X).tolist()
    y.backward()
    np.testing.assert_allclose(x.grad, np.exp(-X) * (1 + X))
    single = tg.tensor(X, dtype=np.float32)
    y = sc.erf(single)
    assert y.dtype == np.float32 and y.data.tolist() == sc.erf(X.astype(np.float32)).tolist()
    y.backward()
    assert single.grad.dtype == np.float32


def test_out_and_where_work_as_for_numpys_ufuncs() -> None:
    x, out = tg.tensor(X), tg.zeros(3, float)
    assert sc.erf(x, out=out, where=X > 1) is out
    assert out.data.tolist() == [0.0, *sc.erf(X[1:])]
    out.sum().backward()
    np.testing.assert_allclose(x.grad, [0.0, *(2 / np.sqrt(np.pi) * np.exp(-(X[1:] ** 2)))])


@pytest.mark.parametrize("x", [X, 0.7, np.ones((0, 2))])
def test_compiled_functions_call_scipys(x: Any) -> None:
    def f(x: Any) -> Any:
        return np.sum(sc.erfcx(x) * sc.sici(x)[0] + sc.jv(0, x) * x)

    j, dj = tg.jit(f), tg.jit(tg.grad(f))
    for _ in range(3):
        np.testing.assert_allclose(j(x), f(x), rtol=1e-14)
        np.testing.assert_allclose(dj(x), tg.grad(f)(x), rtol=1e-13)
    assert not j.stats().eager_calls


def test_functions_without_rules_batch_and_compile_but_are_not_differentiated() -> None:
    assert tg.vmap(sc.kolmogorov)(X).tolist() == sc.kolmogorov(X).tolist()
    assert tg.jit(sc.kolmogorov)(X).tolist() == sc.kolmogorov(X).tolist()
    assert tg.vmap(lambda q: sc.mathieu_cem(1, q, 30.0)[0])(X).tolist() == (
        sc.mathieu_cem(1, X, 30.0)[0].tolist()
    )
    for f in (sc.kolmogorov, lambda x: sc.mathieu_cem(1, x, 30.0)[0]):
        for how in (
            tg.grad(f),
            lambda x, f=f: tg.jvp(f, (x,), (1.0,)),
            lambda x, f=f: f(tg.tensor(x)),
        ):
            with pytest.raises(TypeError, match=r"no derivative of scipy\.special\.(kolm|math)"):
                how(0.7)
    constant = tg.tensor(X, constant=True)
    assert sc.kolmogorov(constant).tolist() == sc.kolmogorov(X).tolist()


def test_steps_are_constant() -> None:
    assert tg.grad(lambda x: x * sc.round(x) + sc.gammasgn(x))(2.7) == 3.0


def test_derivatives_are_taken_by_one_argument_while_the_others_are_batched() -> None:
    x = np.array([0.3, 1.2, 2.5])
    got = tg.vmap(lambda v, x: tg.grad(lambda x: sc.kv(v, x))(x))(np.array([0.5, 1.0, 2.5]), x)
    np.testing.assert_allclose(got, sc.kvp([0.5, 1.0, 2.5], x, 1), rtol=1e-12)


def test_a_printed_tape_runs() -> None:
    x = tg.tensor(X)
    with tg.Tape() as tape:
        y = sc.gammaln(x) * sc.sici(x)[1]
        z = functions.find(sc.softmax)(x, axis=0)
    source = tape.source()
    assert "primitives['scipy.special.gammaln'].forward(" in source
    assert run_source(source, X).tolist() == z.data.tolist()
    assert tape.replay({x: X + 1})[y].tolist() == (sc.gammaln(X + 1) * sc.sici(X + 1)[1]).tolist()


def test_complex_numbers_and_foreign_ufuncs_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="complex"):
        sc.jve(1.5, tg.tensor(1j))
    with pytest.raises(TypeError, match="erfcx: complex numbers have no derivative here"):
        tg.grad(lambda z: sc.erfcx(z).real)(0.3 + 1j)
    twice = np.frompyfunc(lambda x: 2 * x, 1, 1)
    with pytest.raises(TypeError, match=r"frompyfunc\(<lambda>\), unlike np\.vectorize"):
        tg.grad(lambda x: twice(x))(1.0)


def test_derivatives_at_the_edges() -> None:
    assert tg.grad(lambda x: sc.xlogy(x, x))(0.0) == -np.inf
    assert tg.grad(lambda y: sc.xlogy(0.0, y))(0.0) == 0.0
    assert tg.grad(sc.entr)(0.0) == np.inf
    assert tg.grad(lambda y: sc.rel_entr(0.0, y))(0.0) == 0.0
    assert tg.grad(sc.rgamma)(-2.0) == pytest.approx(2.0)
    assert tg.grad(tg.grad(sc.exprel))(0.0) == pytest.approx(1 / 3)
    assert tg.grad(sc.log_ndtr)(-1e10) == pytest.approx(1e10)
    assert tg.grad(sc.log_expit)(800.0) == 0.0 and tg.grad(sc.log_expit)(-800.0) == 1.0
    assert tg.grad(sc.expit)(40.0) == pytest.approx(np.exp(-40.0), rel=1e-12)


#: What stands before the argument that moves, where there is something.
BEFORE: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("iv", "jv", "kv", "kve", "yv"), (1.5,)),
    "hyp0f1": (1.3,), "hyp1f1": (0.7, 1.3), "hyp2f1": (0.3, 0.6, 1.2),
    "xlogy": (1.2 + 0.3j,), "xlog1py": (1.2 - 0.3j,),
    "elliprc": (1.0 + 0.1j,), "elliprf": (1.0 + 0.1j, 2.0),
    "eval_gegenbauer": (2.5, 0.7), "eval_genlaguerre": (2.5, 0.7),
    "eval_jacobi": (2.5, 0.3, 0.4), "eval_sh_jacobi": (2.5, 1.3, 0.4),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(special_rules.COMPLEX))
def test_derivatives_hold_off_the_real_line(name: str) -> None:
    before = BEFORE.get(name, (2.5,) if name.startswith("eval") else ())

    def function(z: Any) -> Any:
        return getattr(sc, name)(*before, z)

    z = np.array([0.4 + 0.3j, -0.35 + 0.5j, 0.7 - 0.6j])
    tg.check_grads(function, (z,), order=1 if name.startswith("ellip") else 2)
    values = tg.jvp(function, (z,), (z,))[0]
    for found, expected in zip(np.atleast_2d(values), np.atleast_2d(function(z)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_complex_functions_are_left_to_scipy() -> None:
    with pytest.raises(TypeError, match="the ufunc wofz has no differentiable form"):
        tg.grad(lambda x: sc.wofz(x).real)(0.7)
    f = tg.jit(lambda x: sc.wofz(x).imag * 2)
    assert f(X).tolist() == (2 * sc.wofz(X).imag).tolist()


def test_functions_of_bessel_functions_work_as_they_are() -> None:
    for f in (sc.jvp, sc.yvp, sc.ivp, sc.kvp):
        got = tg.grad(lambda x, f=f: f(1.5, x, 1))(0.7)
        assert got == pytest.approx(f(1.5, 0.7, 2), rel=1e-10)


def test_primitives_are_found_by_name() -> None:
    assert primitives.find("scipy.special.expi").name == "scipy.special.expi"
    assert primitives.find("scipy.special.fresnel[1]").name == "scipy.special.fresnel[1]"
    assert primitives.find("scipy.special.logsumexp_weighted") is not None
    assert primitives.find("scipy.special.spherical_yn'") is not None
    assert primitives.find("scipy.special.nothing") is None and primitives.find("nothing") is None
    assert pickle.loads(pickle.dumps(primitives.find("scipy.special.expi"))) is (
        primitives.find("scipy.special.expi")
    )


# Functions that are no ufuncs -----------------------------------------------------------------------

M = np.array([[0.3, -1.2, 0.7], [2.0, 0.1, -0.4]])
W = np.array([[0.5, 1.5, 0.0], [1.0, 2.0, 0.3]])

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "logsumexp": (lambda f, x: f(x), M),
    "logsumexp axis": (lambda f, x: f(x, axis=1, keepdims=True) * x, M),
    "logsumexp axes": (lambda f, x: f(x, (0, 1)), M),
    "logsumexp weights": (lambda f, x: f(M, -1, x), W),
    "logsumexp weighted": (lambda f, x: f(x, b=W, axis=0), M),
    "logsumexp broadcast": (lambda f, x: f(x, b=W, axis=0), M[0]),
    "logsumexp signed": (lambda f, x: f(x, b=-W, axis=0, return_sign=True)[0], M),
    "softmax": (lambda f, x: f(x)[0], M),
    "softmax axis": (lambda f, x: f(x, axis=0), M),
    "log_softmax": (lambda f, x: f(x, axis=-1), M),
    "softplus": (lambda f, x: f(x), M),
    "multigammaln": (lambda f, x: f(x, 3), X + 1),
    "polygamma": (lambda f, x: f(1, x), X),
    "diric": (lambda f, x: f(x, 5), X),
    "diric of even order": (lambda f, x: f(x, 4), np.array([0.0, 1.2, 2 * np.pi])),
    "polygamma orders": (lambda f, x: f(np.array([0, 1, 2]), x), X),
    "spherical_jn": (lambda f, x: f(2, x), X),
    "spherical_jn first": (lambda f, x: f(0, x), X),
    "spherical_jn derivative": (lambda f, x: f(2, x, derivative=True), X),
    "spherical_yn": (lambda f, x: f(1, x), X),
    "spherical_in": (lambda f, x: f(2, x), X),
    "spherical_in derivative": (lambda f, x: f(0, x, True), X),
    "spherical_kn": (lambda f, x: f(2, x), X),
    "spherical_kn derivative": (lambda f, x: f(1, x, True), X),
}


def slopes(f: Any, x: Any, direction: Any) -> Any:
    return central(lambda t: f(x + t * direction), 0.0)


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_agree_with_scipys_and_with_differences(case: str) -> None:
    name = case.split()[0]
    if not hasattr(sc, name):
        pytest.skip("this SciPy has no such function")
    apply, x = FUNCTIONS[case]
    original, ours = function(name), functions.find(function(name))
    assert functions[original] is ours
    weights = np.cos(np.arange(x.size)).reshape(x.shape)

    def loss(f: Any, x: Any) -> Any:
        y = apply(f, x)
        return np.sum(y * np.cos(np.arange(np.size(y))).reshape(np.shape(y)))

    def f(x: Any) -> Any:
        return loss(ours, x)

    def plain(x: Any) -> Any:
        return loss(original, x)

    assert np.array_equal(apply(ours, tg.tensor(x)).data, apply(original, x))
    value, got = tg.value_and_grad(f)(x)
    np.testing.assert_allclose(value, plain(x), rtol=1e-14)
    np.testing.assert_allclose(np.sum(got * weights), slopes(plain, x, weights), rtol=1e-8)
    np.testing.assert_allclose(tg.jvp(f, (x,), (weights,))[1], np.sum(got * weights), rtol=1e-12)
    second = tg.grad(lambda x: np.sum(tg.grad(f)(x) * weights))(x)
    np.testing.assert_allclose(
        np.sum(second * weights),
        slopes(lambda x: np.sum(tg.grad(f)(x) * weights), x, weights),
        rtol=1e-7,
        atol=1e-9,
    )
    batch = np.stack([x, x + 0.1])
    np.testing.assert_allclose(
        tg.vmap(lambda x: apply(ours, x))(batch), [apply(original, b) for b in batch], rtol=1e-14
    )
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(batch)[0], got, rtol=1e-12)
    t = tg.tensor(x)
    f(t).backward()
    np.testing.assert_allclose(t.grad, got, rtol=1e-12)
    compiled = tg.jit(tg.grad(f))
    for _ in range(3):
        np.testing.assert_allclose(compiled(x), got, rtol=1e-12)


def test_logsumexp_gives_the_sign_too() -> None:
    ours = functions.find(sc.logsumexp)
    value, sign = ours(tg.tensor(M), axis=1, b=[1.0, -1.0, -2.0], return_sign=True)
    want = sc.logsumexp(M, axis=1, b=[1.0, -1.0, -2.0], return_sign=True)
    assert np.array_equal(value.data, want[0]) and np.array_equal(sign, want[1])


def test_logsumexp_at_infinities() -> None:
    ours = functions.find(sc.logsumexp)
    x = np.array([-np.inf, 0.0, 1.0])
    np.testing.assert_allclose(tg.grad(lambda x: ours(x))(x), sc.softmax(x))
    assert tg.grad(lambda x: ours(x, b=[0.0, 1.0]))(np.array([np.inf, 1.0])).tolist() == [0.0, 1.0]


def test_multigammaln_refuses_what_scipys_refuses() -> None:
    with pytest.raises(ValueError, match="condition"):
        tg.grad(lambda x: functions.find(sc.multigammaln)(x, 3))(0.5)


def test_other_functions_are_not_found() -> None:
    assert functions.find(np.linalg.norm) is functions[np.linalg.norm]
    assert functions.find(sc.roots_legendre) is None
    assert functions.find(len) is None or functions.find(len) is functions[len]
