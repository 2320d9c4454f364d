"""What the simulated photoemission has beyond one band with Norman's line shape: ingredients, each with a size.

None of them changes what a map is scored against: gap and scattering rate of the antibonding band at k_F.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Truth:
    """Sizes of the ingredients; 0 leaves one out.

    Parameters
    ----------
    hump : float
        Part of the band's weight that stands in the hump instead of the peak, at the antinodal k_F.
    bonding : float
        Emission of the bonding band in units of that of the antibonding one.
    shirley : float, 1/meV
        How often an electron loses a given energy, and its direction, on its way out.
    replica : float
        Emission of each of the two copies that the superstructure makes of the antibonding band, in units of its own.
    matrix_element : float
        By how much emission grows and falls with ky: by the factor 1 + matrix_element sin(ky a).
    gain_pattern : float
        Unevenness of the detector, rms.
    """

    hump: float = 0.0
    bonding: float = 0.0
    shirley: float = 0.0
    replica: float = 0.0
    matrix_element: float = 0.0
    gain_pattern: float = 0.0


STANDARD = Truth()
REALISTIC = Truth(hump=0.4, bonding=0.3, shirley=0.008, replica=0.1, matrix_element=0.3, gain_pattern=0.02)
#: What can be had alone.
INGREDIENTS = tuple(field.name for field in fields(Truth))


def parse_truth(text: str) -> Truth:
    """Return the truth of a name.

    Parameters
    ----------
    text : str
        ``"standard"``, ``"realistic"``, or names of ingredients with commas between: those at their realistic sizes.

    Raises
    ------
    ValueError
        When it is none of these.
    """
    if text in ("standard", "realistic"):
        return REALISTIC if text == "realistic" else STANDARD
    chosen = text.split(",")
    if not set(chosen) <= set(INGREDIENTS):
        known = ", ".join(INGREDIENTS)
        raise ValueError(f"{text!r} is neither standard nor realistic nor some of {known} with commas between")
    return replace(STANDARD, **{name: getattr(REALISTIC, name) for name in chosen})
