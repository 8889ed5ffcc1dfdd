"""Special functions without SciPy: Bessel functions of the orders 0 and 1.

>>> from tapegrad import special
>>> special.j0([0.0, 1.0])
Tensor([1.        , 0.76519769])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.error_functions import chebyshev
from tapegrad.ops.elementwise.special_own import Special, own
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import implements

__all__ = ["i0", "i0e", "i1", "i1e", "j0", "j1"]

# Chebyshev coefficients. For x up to 8, of exp(-x) I0(x) and exp(-x) I1(x) / x as functions of x, and of
# J0(x) and J1(x) / x, divided by their first two roots, as functions of x^2. Beyond, of sqrt(x) exp(-x)
# I(x) as functions of 1 / x, and of the modulated parts of J0 and J1 as functions of 1 / x^2.
_I0_NEAR = (
    0.33839763720473803,
    -0.3046826723431984,
    0.17162090152220877,
    -0.09490109704804764,
    0.04930528423967071,
    -0.02373741480589947,
    0.010546460394594998,
    -0.004324309995050576,
    0.0016394756169413357,
    -0.0005763755745385824,
    0.00018850288509584165,
    -5.754195010082104e-05,
    1.6448448070728896e-05,
    -4.4167383584587505e-06,
    1.1173875391201037e-06,
    -2.670793853940612e-07,
    6.046995022541919e-08,
    -1.300025009986248e-08,
    2.6598237246823866e-09,
    -5.189795601635263e-10,
    9.675809035373237e-11,
    -1.726826291441556e-11,
    2.95505266312964e-12,
    -4.856446783111929e-13,
    7.676185498604936e-14,
    -1.1685332877993451e-14,
    1.715391285555133e-15,
    -2.431279846547955e-16,
    3.3307945188222384e-17,
    -4.4153416464793395e-18,
)
_I1_NEAR = (
    0.12629359322181682,
    -0.17641651835783406,
    0.1026436586898471,
    -0.05294598120809499,
    0.024726449030626516,
    -0.010564084894626197,
    0.004156422944312888,
    -0.0015135724506312532,
    0.0005122859561685758,
    -0.00016176081582589674,
    4.781565107550054e-05,
    -1.3273163656039436e-05,
    3.4702513081376785e-06,
    -8.568720264695455e-07,
    2.0032947535521353e-07,
    -4.445059128796328e-08,
    9.381537386495773e-09,
    -1.8872497517228294e-09,
    3.625590281552117e-10,
    -6.663489723502027e-11,
    1.1736186298890901e-11,
    -1.9839743977649436e-12,
    3.223793365945575e-13,
    -5.042185504727912e-14,
    7.600684294735408e-15,
    -1.1055969477353862e-15,
    1.5536319577362005e-16,
    -2.111421214358166e-17,
    2.7779141127610464e-18,
    -3.541581772542136e-19,
)
_I0_FAR = (
    0.4022452055070544,
    0.0033691164782556943,
    6.889758346916825e-05,
    2.8913705208347567e-06,
    2.0489185894690638e-07,
    2.266668990498178e-08,
    3.3962320257083865e-09,
    4.94060238822497e-10,
    1.1889147107846439e-11,
    -3.1499165279632416e-11,
    -1.3215811840447713e-11,
    -1.7941785315068062e-12,
    7.180124451383666e-13,
    3.8527783827421426e-13,
    1.54008621752141e-14,
    -4.150569347287222e-14,
    -9.554846698828307e-15,
    3.8116806693526224e-15,
    1.7725601330565263e-15,
    -3.425485619677219e-16,
    -2.8276239805165836e-16,
    3.461222867697461e-17,
    4.46562142029676e-17,
    -4.830504485944182e-18,
    -7.233180487874754e-18,
    9.921475412173699e-19,
    1.193650890845982e-18,
)
_I1_FAR = (
    0.38928811750914005,
    -0.009761097491361469,
    -0.00011058893876262371,
    -3.882564808877691e-06,
    -2.512236237870209e-07,
    -2.6314688468895196e-08,
    -3.835380385964237e-09,
    -5.589743462196584e-10,
    -1.8974958123505413e-11,
    3.2526035830154884e-11,
    1.4125807436613782e-11,
    2.0356285441470896e-12,
    -7.198551776245908e-13,
    -4.0835511110921974e-13,
    -2.1015418427726643e-14,
    4.272440016711951e-14,
    1.0420276984128802e-14,
    -3.8144030724370075e-15,
    -1.8803547755107825e-15,
    3.3082023109209285e-16,
    2.96262899764595e-16,
    -3.209525921993424e-17,
    -4.6503053684893586e-17,
    4.414348323071708e-18,
    7.517296310842105e-18,
    -9.314178867326884e-19,
    -1.242193275194891e-18,
)
_J0_NEAR = (
    0.0019903555001601486,
    -0.002620939138497025,
    0.0008687721472062577,
    -0.00017040584951557357,
    2.204908639454817e-05,
    -2.0248894980012834e-06,
    1.3898025173428905e-07,
    -7.406701254344167e-09,
    3.1559927583611334e-10,
    -1.1003860827939697e-11,
    3.1989232970233477e-13,
    -7.875041254709154e-15,
    1.6632588015211278e-16,
    -3.0475993756698376e-18,
    4.8912290055811176e-20,
)
_J0_P = (
    0.9994603493475187,
    -0.0005365220468132117,
    3.0751847875194745e-06,
    -5.1705945376060975e-08,
    1.6306464635151382e-09,
    -7.86409137723707e-11,
    5.168262387349193e-12,
    -4.3045788699253914e-13,
    4.3265957431549404e-14,
    -5.069034095935236e-15,
    6.748072215733873e-16,
    -1.0011513723467786e-16,
    1.6305919233744186e-17,
    -2.880866169482871e-18,
)
_J0_Q = (
    -0.12444683684269607,
    0.0005470815954089319,
    -5.9315987288485175e-06,
    1.4377965798375193e-07,
    -5.817532749493056e-09,
    3.376097523734991e-10,
    -2.565397936797308e-11,
    2.404916100281365e-12,
    -2.6690625482579414e-13,
    3.4041800321963686e-14,
    -4.87994410531204e-15,
    7.729703176242605e-16,
    -1.3348852171502517e-16,
    2.4865952389390515e-17,
    -4.952892629886514e-18,
    1.047315897377605e-18,
)
_J1_NEAR = (
    0.00027895709887613106,
    -0.0003115684036643562,
    8.553646588540538e-05,
    -1.4149356425623485e-05,
    1.576470099225889e-06,
    -1.269075502369425e-07,
    7.747614077073057e-09,
    -3.716577146675772e-10,
    1.4395417669312554e-11,
    -4.60007822413452e-13,
    1.2341465589619718e-14,
    -2.8205466239524856e-16,
    5.558821065951572e-18,
    -9.546930865755219e-20,
    1.4418291781315051e-21,
)
_J1_P = (
    1.0009030408600137,
    0.0008989898330859408,
    -3.987284300488908e-06,
    6.177633960644299e-08,
    -1.8718907491063067e-09,
    8.816898659582339e-11,
    -5.704863640395645e-12,
    4.699195515230542e-13,
    -4.6842237839904895e-14,
    5.452674896044717e-15,
    -7.221180842274018e-16,
    1.0667689114335412e-16,
    -1.7312313216116335e-17,
    3.0492991197665872e-18,
)
_J1_Q = (
    0.3742222965562826,
    -0.0007702178839325664,
    7.3108922063643636e-06,
    -1.676782510726674e-07,
    6.583354662120443e-09,
    -3.749090950541556e-10,
    2.8121750359748866e-11,
    -2.61145253946232e-12,
    2.8774212663332235e-13,
    -3.649001916061838e-14,
    5.206626366226707e-15,
    -8.215318025458595e-16,
    1.4141084390211833e-16,
    -2.626761589838529e-17,
    5.219264919671406e-18,
    -1.1012617187879541e-18,
)
#: The first two roots of J0 and J1, each as a sum of two numbers.
_J0_ROOTS = (
    (2.404825557695773, -1.176691651530894e-16), (5.520078110286311, 8.088597146146722e-17)
)  # fmt: skip
_J1_ROOTS = (
    (3.8317059702075125, -1.5269184090088067e-16), (7.015586669815619, -9.414165653410389e-17)
)  # fmt: skip
#: Of I1(x) / x as a power series in (x / 2)^2.
_SERIES = [0.5 / (math.factorial(k) * math.factorial(k + 1)) for k in range(12)]


def _modified(x: Any, near: Any, far: Any, odd: bool) -> Any:
    """Return exp(-|x|) I(x)."""
    size = np.abs(x)
    low, high = np.minimum(size, 8.0), np.maximum(size, 8.0)
    inside = chebyshev(near, 0.25 * low - 1.0) * (x if odd else 1.0)
    outside = chebyshev(far, 16.0 / high - 1.0) / np.sqrt(high)
    value = np.where(size <= 8.0, inside, np.copysign(outside, x) if odd else outside)
    return np.where(np.isnan(x), x, value)


def _i0e(x: Any) -> Any:
    return _modified(x, _I0_NEAR, _I0_FAR, odd=False)


def _i1e(x: Any) -> Any:
    return _modified(x, _I1_NEAR, _I1_FAR, odd=True)


def _grown(x: Any, value: Any) -> Any:
    """Return ``exp(|x|) * value``, which may be finite where the exponential is not."""
    half = np.exp(0.5 * np.abs(np.where(np.isinf(x), 0.0, x)))
    return np.where(
        np.isinf(x), np.copysign(np.inf, value + (value == 0) * 1.0), value * half * half
    )


def _i0(x: Any) -> Any:
    return _grown(x, _i0e(x))


def _i1(x: Any) -> Any:
    value = _i1e(x)
    return np.where(np.isinf(x), x, _grown(np.where(np.isinf(x), 0.0, x), value))


def _near_roots(size: Any, near: Any, roots: Any) -> Any:
    low = np.minimum(size, 8.0)
    value = chebyshev(near, low * low / 32.0 - 1.0)
    for root, rest in roots:
        value = value * (((low - root) - rest) * (low + root))
    return value


def _waves(size: Any, p: Any, q: Any) -> tuple[Any, Any, Any]:
    """Return amplitude and the two parts of a Bessel function for large arguments."""
    high = np.where((size > 8.0) & (size < np.inf), size, 8.0)
    w = 128.0 / high / high - 1.0
    return high, np.sqrt(1.0 / (np.pi * high)), (chebyshev(p, w), chebyshev(q, w) / high)


def _j0(x: Any) -> Any:
    size = np.abs(x)
    high, amplitude, (p, q) = _waves(size, _J0_P, _J0_Q)
    cos, sin = np.cos(high), np.sin(high)
    far = amplitude * (p * (cos + sin) - q * (sin - cos))
    value = np.where(size <= 8.0, _near_roots(size, _J0_NEAR, _J0_ROOTS), far)
    return np.where(size == np.inf, 0.0, np.where(np.isnan(x), x, value))


def _j1(x: Any) -> Any:
    size = np.abs(x)
    high, amplitude, (p, q) = _waves(size, _J1_P, _J1_Q)
    cos, sin = np.cos(high), np.sin(high)
    far = amplitude * (p * (sin - cos) + q * (sin + cos))
    inside = _near_roots(size, _J1_NEAR, _J1_ROOTS) * np.where(size <= 8.0, x, 1.0)
    value = np.where(size <= 8.0, inside, np.copysign(1.0, x) * far)
    return np.where(size == np.inf, 0.0, np.where(np.isnan(x), x, value))


# The functions -----------------------------------------------------------------------------------


def _over_x(value: Any, x: Any, sign: float) -> Any:
    """Return I1(x) / x or J1(x) / x: near 0 a power series, so that all its derivatives are right."""
    near = np.abs(x) < 0.5
    square = np.where(near, x, 0.0) ** 2 * (0.25 * sign)
    series: Any = _SERIES[-1]
    for c in _SERIES[-2::-1]:
        series = series * square + c
    return np.where(near, series, value / np.where(near, 1.0, x))


i0: Special = own(
    "i0", _i0, "I0(x)", "The modified Bessel function of order 0.",
    lambda g, y, x: g * bind(i1.primitive, x),
)  # fmt: skip
implements(np.i0)(i0)
i1: Special = own(
    "i1", _i1, "I1(x)", "The modified Bessel function of order 1.",
    lambda g, y, x: g * (bind(i0.primitive, x) - _over_x(y, x, 1.0)),
)  # fmt: skip
i0e: Special = own(
    "i0e", _i0e, "exp(-abs(x)) * I0(x)", "The scaled modified Bessel function of order 0.",
    lambda g, y, x: g * (bind(i1e.primitive, x) - np.sign(x) * y),
)  # fmt: skip
i1e: Special = own(
    "i1e", _i1e, "exp(-abs(x)) * I1(x)", "The scaled modified Bessel function of order 1.",
    lambda g, y, x: g * (
        bind(i0e.primitive, x) - np.sign(x) * y
        - np.where(np.abs(x) < 0.5, np.exp(-np.abs(np.clip(x, -1.0, 1.0))), 1.0) * _over_x(y, x, 1.0)
    ),
)  # fmt: skip
j0: Special = own(
    "j0", _j0, "J0(x)", "The Bessel function of order 0.",
    lambda g, y, x: -g * bind(j1.primitive, x),
)  # fmt: skip
j1: Special = own(
    "j1", _j1, "J1(x)", "The Bessel function of order 1.",
    lambda g, y, x: g * (bind(j0.primitive, x) - _over_x(y, x, -1.0)),
)  # fmt: skip
