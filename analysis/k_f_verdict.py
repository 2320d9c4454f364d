"""What a map says of a pixel whose windows follow k_F, and of one where it was not found.

By itself, for who shows a map needs no numerics to know.
"""

from __future__ import annotations

__all__ = ["FOUND", "NO_K_F", "UNKNOWN", "verdict_at_k_f"]

#: What is said of k_F where it was found.
FOUND = ("ok", "far")
#: Verdict on a pixel that has a gap in windows of which nobody knows how far off k_F they lie.
NO_K_F = "no-k_F"
#: One standard deviation, deg, of a centre that was not found: cleaves wave by some tenths of a deg.
UNKNOWN = 0.2


def verdict_at_k_f(status: str, k_f_status: str) -> str:
    """Return the verdict on a pixel of a map: that of its fit, or `NO_K_F` for an ``ok`` where k_F was not found.

    Such a fit is good, but of a gap anywhere: it is in no statistics of a map, and hatched on it. Its numbers stay.

    Parameters
    ----------
    status : str
        Of the fit.
    k_f_status : str
        As of `KFCentre`, or why there was nothing to find it in; empty where the windows do not follow k_F.

    Examples
    --------
    >>> verdict_at_k_f("ok", "lost"), verdict_at_k_f("ok", "far"), verdict_at_k_f("bad-fit", "lost")
    ('no-k_F', 'ok', 'bad-fit')
    """
    return NO_K_F if status == "ok" and k_f_status and k_f_status not in FOUND else status
