"""Special functions: a few units in the last place, the hard places, and their derivatives."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import special

#: Computed with 40 digits.
EXACT: dict[str, dict[float, str]] = {
    "erf": {
        1e-09: "1.12837916709551264379728e-9",
        0.3: "0.328626759459127416189618",
        -0.97: "-0.82987029303566705291704",
        1.0: "0.842700792949714869341221",
        2.5: "0.999593047982555041060436",
        -4.0: "-0.999999984582742099719981",
    },
    "erfc": {
        -2.0: "1.99532226501895273416207",
        0.1: "0.887537083981715101595288",
        0.5: "0.479500122186953462317253",
        1.5: "0.0338948535246892729330237",
        6.0: "2.15197367124989131165934e-17",
        26.0: "5.66319240885614284647573e-296",
    },
    "erfcx": {
        -3.0: "16205.9888539995866254696",
        -0.2: "1.27260202848319572993239",
        0.7: "0.525930337349440958489651",
        5.0: "0.110704637733068626370212",
        30.0: "0.0187958888614167514971253",
        10000000000.0: "5.64189583547756286945259e-11",
    },
    "erfinv": {
        1e-12: "8.8622692545275799582409e-13",
        0.3: "0.272462714726754345024653",
        -0.5: "-0.476936276204469873381418",
        0.75: "0.813419847597618541690289",
        0.999999: "3.45891073727549877753245",
    },
    "ndtr": {
        -37.0: "5.72557122252457682268319e-300",
        -12.5: "3.73256429887771337722584e-36",
        -1.1: "0.135666060946382655823897",
        0.2: "0.579259709439103027383884",
        3.0: "0.998650101968369905473348",
    },
    "log_ndtr": {
        -1000.0: "-500007.826694812184309806",
        -20.0: "-203.917155371097263936804",
        -1.1: "-1.99755884698629707696166",
        0.3: "-0.4814101615884812051736",
        4.0: "-0.0000316717433774892638602733",
    },
    "gamma": {
        1e-300: "9.99999999999999974940908e+299",
        -0.5: "-3.54490770181103205459633",
        2.5: "1.32934038817913702047363",
        -20.7: "-1.90405072510440006652662e-19",
        170.5: "5.56209241455999961070581e+305",
    },
    "gammaln": {
        1e-05: "11.5129196928958256256173",
        0.4: "0.796677817701783709670574",
        0.999: "0.000578038532891380238168903",
        1.001: "-0.000576393598283306151519162",
        1.7: "-0.0958076974070658737882924",
        2.001: "0.000423106734800116991190294",
        3.3: "0.987098577894734404057279",
        7.9: "8.32426586800880963486106",
        9.0: "10.6046029027452502284172",
        100000.0: "1051287.70897365689490086",
    },
    "digamma": {
        0.001: "-1000.57557193181027965476",
        0.6: "-1.54061921389319049550074",
        1.2: "-0.289039896592188351830062",
        1.46: "-0.0015805619870834521061509",
        1.9: "0.356184161164059658120534",
        5.5: "1.61109314858175112373363",
        20.0: "2.97052399224214905087726",
        1000000.0: "13.8155100579641907707746",
    },
    "expit": {
        -30.0: "9.35762296883929895383956e-14",
        -1.0: "0.268941421369995120748841",
        0.1: "0.524979187478939987483508",
        5.0: "0.993307149075715144440638",
    },
    "log_expit": {
        -30.0: "-30.0000000000000935762297",
        -1.0: "-1.313261687518222834049",
        0.1: "-0.644396660073570892193204",
        20.0: "-2.06115362031438070323898e-9",
    },
    "logit": {
        1e-20: "-46.0517018598809137351966",
        0.25: "-1.09861228866810969139525",
        0.4999: "-0.000400000005333289407681958",
        0.9: "2.19722457733621962950672",
    },
    "entr": {
        1e-10: "2.30258509299404576426301e-9",
        0.3: "0.361191841297780795522271",
        2.5: "-2.29072682968538766295882",
    },
    "ndtri": {
        1e-200: "-30.205594179579643063124",
        1e-09: "-5.99780701500768686144566",
        0.2: "-0.841621233572914165522491",
        0.4: "-0.253347103135799741324689",
        0.9: "1.28155156554460059348745",
    },
    "erfcinv": {
        1e-100: "15.0655747025926457037426",
        0.1: "1.16308715367667406769679",
        0.6: "0.370807158593557951636993",
        1.2: "-0.179143454621291635852842",
    },
}
#: What is right to so many units in the last place.
ULPS = 4


def ulps(got: Any, exact: str) -> float:
    """The distance from a value in units in the last place."""
    return float(abs(Decimal(float(got)) - Decimal(exact)) / Decimal(np.spacing(abs(float(exact)))))


@pytest.mark.parametrize("name", EXACT)
def test_values_are_right_to_few_units_in_the_last_place(name: str) -> None:
    for x, exact in EXACT[name].items():
        assert ulps(getattr(special, name)(x).data, exact) <= ULPS, (x, exact)


def drawn(low: float, high: float) -> Any:
    return np.random.default_rng(0).uniform(low, high, 300)


@pytest.mark.parametrize(
    ("name", "exact", "args", "bound"),
    [
        ("erf", lambda mp, x: mp.erf(x), (drawn(-6, 6),), ULPS),
        ("erfc", lambda mp, x: mp.erfc(x), (drawn(-3, 26),), ULPS),
        ("erfcx", lambda mp, x: mp.exp(x * x) * mp.erfc(x), (drawn(-20, 20),), ULPS),
        ("erfinv", lambda mp, x: mp.erfinv(x), (drawn(-1, 1),), ULPS),
        ("ndtr", lambda mp, x: mp.erfc(-x / mp.sqrt(2)) / 2, (drawn(-37, 5),), ULPS),
        ("log_ndtr", lambda mp, x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2), (drawn(-50, 8),), ULPS),
        ("gamma", lambda mp, x: mp.gamma(x), (drawn(-170, 171),), ULPS),
        ("gammaln", lambda mp, x: mp.loggamma(x).real, (drawn(0, 20),), ULPS),
        ("digamma", lambda mp, x: mp.digamma(x), (drawn(0, 20),), ULPS),
        ("zeta", lambda mp, x, q: mp.zeta(x, q), (drawn(1.1, 8), drawn(0.1, 9)[::-1]), 16),
        ("polygamma", lambda mp, n, x: mp.psi(int(n), x), (np.arange(300) % 6, drawn(0.1, 9)), 16),
        ("i0", lambda mp, x: mp.besseli(0, x), (drawn(-20, 20),), 16),
        ("i1", lambda mp, x: mp.besseli(1, x), (drawn(-20, 20),), 16),
        ("i0e", lambda mp, x: mp.exp(-abs(x)) * mp.besseli(0, x), (drawn(-20, 40),), 16),
        ("i1e", lambda mp, x: mp.exp(-abs(x)) * mp.besseli(1, x), (drawn(-20, 40),), 16),
        ("j0", lambda mp, x: mp.besselj(0, x), (drawn(-20, 40),), 16),
        ("j1", lambda mp, x: mp.besselj(1, x), (drawn(-20, 40),), 16),
        ("xlogy", lambda mp, x, y: x * mp.log(y), (drawn(0.1, 9), drawn(0.1, 9)[::-1]), ULPS),
        ("xlog1py", lambda mp, x, y: x * mp.log1p(y), (drawn(0.1, 9), drawn(-0.9, 9)[::-1]), ULPS),
        ("rel_entr", lambda mp, x, y: x * mp.log(x / y), (drawn(1, 2), drawn(1, 2)[::-1]), ULPS),
    ],
)
def test_values_agree_with_those_of_many_digits(
    name: str, exact: Any, args: Any, bound: int
) -> None:
    mpmath = pytest.importorskip("mpmath")
    got = getattr(special, name)(*args).data
    with mpmath.workdps(50):
        for k, values in enumerate(zip(*args, strict=True)):
            expected = exact(mpmath, *(mpmath.mpf(float(v)) for v in values))
            near_root = name in ("digamma", "j0", "j1") and abs(expected) < 0.1
            close = abs(mpmath.mpf(float(got[k])) - expected) <= 4 * 2.3e-16
            assert (near_root and close) or ulps(got[k], str(expected)) <= bound, values


PLACES = np.array([0.0, -0.0, 1, -1, 2, np.inf, -np.inf, np.nan, 1e300, 0.5, -0.5, -2, 5e-324])
LIKE_SCIPY = [
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "expit", "i0e", "i1e", "log_expit",
    "log_ndtr", "logit", "ndtr", "ndtri", "rel_entr", "xlog1py", "xlogy",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", LIKE_SCIPY)
def test_hard_places_are_as_in_scipy(name: str) -> None:
    scipy = pytest.importorskip("scipy.special")
    function = getattr(scipy, name)
    args = (PLACES,) if function.nin == 1 else tuple(np.meshgrid(PLACES, PLACES))
    got = getattr(special, name)(*args).data
    np.testing.assert_allclose(got, function(*args), 1e-13, 5e-324)


def test_poles_and_ends_of_gamma_functions() -> None:
    np.testing.assert_array_equal(
        special.gammaln([0.0, -1.0, 1.0, 2.0, np.inf]).data, [np.inf, np.inf, 0, 0, np.inf]
    )
    np.testing.assert_allclose(special.gammaln(-0.5).data, 1.2655121234846454, 1e-14)
    np.testing.assert_allclose(special.digamma(-0.5).data, 0.03648997397857652, 1e-13)
    np.testing.assert_array_equal(special.zeta([1.0, 2.0], [1.0, 0.0]).data, np.inf)
    assert np.isnan(special.zeta(0.5, 1.0).data)
    assert np.isnan(special.polygamma(1.5, 1.0).data)
    places = [0.0, -0.0, 1.0, 171.0, 172.0, np.inf]
    expected = [np.inf, -np.inf, 1.0, 7.257415615307994e306, np.inf, np.inf]
    np.testing.assert_allclose(special.gamma(places).data, expected, 1e-15)
    assert np.isnan(special.gamma([-1.0, -np.inf, np.nan]).data).all()
    assert special.gamma(-200.5).data == 0


def test_derivatives_hold_to_second_order() -> None:
    x = np.array([-2.5, -0.7, 0.3, 0.8, 3.1])
    for name in ("gamma", "erf", "erfc", "erfcx", "ndtr", "log_ndtr", "expit", "log_expit", "digamma",
                 "gammaln"):  # fmt: skip
        tg.check_grads(getattr(special, name), (x,), order=2)
    tg.check_grads(lambda q: special.zeta(2.5, q), (np.array([0.5, 3.0]),), order=2)
    tg.check_grads(lambda q: special.polygamma(2, q), (np.array([0.5, 3.0]),), order=2)


def test_derivatives_at_hard_places() -> None:
    assert tg.grad(special.xlogy)(0.0, 2.0) == np.log(2.0)
    assert tg.grad(special.xlog1py)(0.0, 1.0) == np.log(2.0)
    assert tg.grad(special.log_ndtr)(-1e4) == pytest.approx(1e4)
    assert tg.grad(special.log_ndtr)(50.0) == 0
    assert tg.grad(tg.grad(special.log_ndtr))(-1e3) == pytest.approx(-1, rel=1e-5)
    assert tg.grad(special.log_expit)(-800.0) == 1
    assert tg.grad(special.expit)(-800.0) == 0


def test_no_tail_is_lost_far_from_0() -> None:
    x = 10.0 ** np.random.default_rng(0).uniform(0, 300, 400)
    for sign, name, limit in ((1, "erf", 1), (-1, "erf", -1), (1, "erfc", 0), (-1, "erfc", 2)):
        got = getattr(special, name)(sign * x[x > 30]).data
        np.testing.assert_array_equal(got, limit, err_msg=name)
    assert not np.isnan(special.ndtr([x, -x]).data).any()
    assert not np.isnan(special.log_ndtr([x, -x]).data).any()
    np.testing.assert_array_equal(special.erfcx(-x[x > 30]).data, np.inf)


def test_derivatives_do_not_cancel_in_tails() -> None:
    # Computed with 60 digits.
    for name, x, first, second in [
        ("erfcx", 1e3, -5.6418873726549667e-7, 1.1283757819707055e-9),
        ("erfcx", 1000000.25, -5.6418930145222402e-13, 1.1283783208081753e-18),
        ("erfcx", 1e15, -5.6418958354775629e-31, 1.1283791670955126e-45),
        ("log_ndtr", -10000.3, 10000.3000999970, -0.99999999000060057),
        ("log_expit", 37.5, 5.1755550058018683e-17, -5.175555005801868e-17),
        ("log_expit", 700.5, 5.9801961186397912e-305, -5.9801961186397912e-305),
        ("expit", 45.0, 2.8625185805493936e-20, -2.8625185805493936e-20),
        ("expit", -45.0, 2.8625185805493936e-20, 2.8625185805493936e-20),
    ]:
        slope = tg.grad(getattr(special, name))
        assert slope(x) == pytest.approx(first, rel=1e-12, abs=0), (name, x)
        assert tg.jit(slope)(x) == pytest.approx(first, rel=1e-12, abs=0), (name, x)
        assert tg.grad(slope)(x) == pytest.approx(second, rel=1e-12, abs=0), (name, x)
    assert tg.grad(special.erfcx)(np.inf) == 0


def test_truth_values_count_as_numbers_along_axes_too() -> None:
    truths, numbers = np.array([True, False]), np.array([1.0, 0.0])
    for function in (special.softmax, special.log_softmax, special.logsumexp):
        np.testing.assert_array_equal(function(truths).data, function(numbers).data)


def test_there_is_no_seam_in_the_second_derivative_of_log_ndtr() -> None:
    second = tg.grad(tg.grad(special.log_ndtr))
    assert second(0.0) == pytest.approx(-2 / np.pi)
    assert tg.jvp(tg.grad(special.log_ndtr), (0.0,), (1.0,))[1] == pytest.approx(-2 / np.pi)


def test_bessel_functions_are_differentiated_at_0_and_beyond_their_series() -> None:
    x = np.array([-9.0, -2.0, -0.3, 0.2, 0.49, 0.51, 1.0, 4.0, 12.0])
    for name in ("i0", "i0e", "i1", "i1e", "j0", "j1"):
        tg.check_grads(getattr(special, name), (x,), order=2)
    third = tg.grad(tg.grad(tg.grad(special.i1)))(0.0)
    assert third == pytest.approx(3 / 8)
    assert tg.grad(tg.grad(tg.grad(special.j1)))(0.0) == pytest.approx(-3 / 8)
    np.testing.assert_array_equal(special.i1([-np.inf, 0.0, np.inf]).data, [-np.inf, 0, np.inf])
    np.testing.assert_array_equal(special.j0([-np.inf, 0.0, np.inf]).data, [0, 1, 0])
    assert np.isfinite(special.i0(713.0).data)


def test_sums_of_powers_are_safe() -> None:
    x = np.array([[1e3, 1e3 + 1, 0.0], [-np.inf, 0.5, 2.0]])
    total = special.logsumexp(x, axis=1).data
    np.testing.assert_allclose(total, [1001.3132616875182, 2.2014132779827524], 1e-15)
    soft = special.softmax(x, axis=1).data
    np.testing.assert_allclose(soft, np.exp(x - total[:, None]), 1e-12)
    np.testing.assert_allclose(special.log_softmax(x, axis=1).data, x - total[:, None], 1e-12)
    value, sign = special.logsumexp([1.0, 2.0], b=[1.0, -1.0], return_sign=True)
    assert (float(value), float(sign)) == (pytest.approx(np.log(np.e**2 - np.e)), -1)
    y = np.array([0.3, -0.2, 1.5])
    for function in (special.logsumexp, special.softmax, special.log_softmax):
        tg.check_grads(function, (y,), order=2)
    np.testing.assert_allclose(tg.grad(special.logsumexp)(y), special.softmax(y).data)


def test_dtypes_lists_batches_and_compiled_calls() -> None:
    assert special.erf(np.float32(0.5)).dtype == np.float32
    assert special.erf([0, 1]).dtype == np.float64
    x = np.linspace(0.1, 0.9, 5)
    for name in ("erf", "ndtri", "gammaln", "logit"):
        function = getattr(special, name)
        gradient = tg.grad(lambda x, f=function: np.sum(f(x) ** 2))
        np.testing.assert_allclose(tg.jit(gradient)(x), gradient(x), 1e-13)
        np.testing.assert_allclose(tg.vmap(function)(x), function(x).data)
        assert pickle.loads(pickle.dumps(function)) is function


def test_wrong_calls_say_what_is_wrong() -> None:
    with pytest.raises(TypeError, match="takes 1 arguments, got 2"):
        special.erf(1.0, 2.0)
    with pytest.raises(TypeError, match="erf: complex is not supported"):
        special.erf(1j)
    with pytest.raises(TypeError, match="no derivative of zeta by argument 0"):
        tg.grad(special.zeta)(2.0, 1.0)
