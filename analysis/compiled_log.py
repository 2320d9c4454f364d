"""Natural logarithm of many numbers at once: plain arithmetic, which compiles to vector instructions.

``log(x) = e ln 2 + 2 artanh(s)``, where ``x = m 2^e``, m lies between the roots of 1/2 and 2, and
``s = (m - 1) / (m + 1)``; the series of the inverse hyperbolic tangent (NIST DLMF 4.38.5) ends where its next term is
below the last bit.
"""

from __future__ import annotations

import numpy as np

from microarpes.analysis.engine import Ints, compiled
from microarpes.analysis.line_shape import Array

__all__ = ["logarithms"]

#: Fields of a float64 (IEEE 754): fraction, exponent, and the patterns of 1.0 and of 2^52.
FRACTION, EXPONENT, ONE, TWO_52 = 0xFFFFFFFFFFFFF, 0x7FF, 0x3FF0000000000000, 0x4330000000000000
#: What the exponent of 1.0 becomes when it is written behind the pattern of 2^52.
ORIGIN = float(2**52 + 1023)
LN_2, ROOT_2 = float(np.log(2.0)), float(np.sqrt(2.0))


@compiled
def logarithms(values: Array, n: int, bits: Ints, out: Array) -> None:
    """Write the logarithms of the first `n` values, which must be >= 0, to `out`; of zero, a finite number.

    Parameters
    ----------
    values, out : ndarray, shape (>= n,)
    bits : ndarray of int64, shape (2, >= n)
        Memory to work in.
    """
    raw, fractions, exponents = values.view(np.int64), bits[0], bits[1]
    for i in range(n):
        fractions[i] = (raw[i] & FRACTION) | ONE
        exponents[i] = ((raw[i] >> 52) & EXPONENT) | TWO_52
    fraction, exponent = fractions.view(np.float64), exponents.view(np.float64)
    for i in range(n):
        high = fraction[i] > ROOT_2
        m = 0.5 * fraction[i] if high else fraction[i]
        e = exponent[i] - ORIGIN + (1.0 if high else 0.0)
        s = (m - 1.0) / (m + 1.0)
        t = s * s
        tail = 1 / 13 + t * (1 / 15 + t * (1 / 17 + t * (1 / 19 + t * (1 / 21))))
        series = 1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t * tail))))
        out[i] = e * LN_2 + (2.0 * s + 2.0 * s * t * series)
