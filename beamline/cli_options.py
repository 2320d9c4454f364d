"""Options that several verbs of the command line share, and how they are read."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from microarpes.beamline.run_search import STATUSES


class Refused(Exception):
    """The command line asks for something that cannot be done; the message is the whole explanation."""


def parse_points(text: str) -> tuple[int, int]:
    """Read ``NXxNY``.

    Examples
    --------
    >>> parse_points("20x10")
    (20, 10)
    """
    match = re.fullmatch(r"([0-9]{1,7})x([0-9]{1,7})", text)
    if match is None or 0 in (nx := int(match[1]), ny := int(match[2])):
        raise Refused(f"--points {text!r} is not NXxNY with whole numbers above 0; write 20x20")
    return nx, ny


def parse_pair(option: str, text: str) -> tuple[float, float]:
    """Read two comma-separated numbers, such as a centre in um."""
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise Refused(f"{option} {text!r} is not two numbers; write 0,0") from None
    return first, second


#: A single temperature finds what is so near to it, K.
_NEAR = 1.0


def parse_moment(option: str, text: str | None, *, end: bool = False) -> float:
    """Read a day or a time of ISO 8601, local where it has no offset.

    Parameters
    ----------
    option : str
        What the message calls it.
    text : str or None
        None is no limit.
    end : bool
        A day stands for its end.

    Returns
    -------
    float
        Unix time, s; infinite for no limit.

    Raises
    ------
    Refused
        The text is neither.

    Examples
    --------
    >>> parse_moment("--until", "2026-11-26", end=True) - parse_moment("--since", "2026-11-26")
    86400.0
    """
    if text is None:
        return math.inf if end else -math.inf
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{option} {text!r} is no day or time; write 2026-11-26 or 2026-11-26T08:30") from None
    whole_day = end and "T" not in text and " " not in text.strip()
    return (moment + timedelta(days=whole_day)).timestamp()


def parse_temperature(text: str | None) -> tuple[float, float] | None:
    """Read a temperature, or the lowest and the highest one with a comma, K.

    Raises
    ------
    Refused
        The text is neither.

    Examples
    --------
    >>> parse_temperature("10"), parse_temperature("80,120")
    ((9.0, 11.0), (80.0, 120.0))
    """
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(map(math.isfinite, values)) or values[0] > values[-1]:
        raise Refused(f"--temperature {text!r} is no temperature; write 10, or 80,120 for all between, K")
    return (values[0] - _NEAR, values[0] + _NEAR) if len(values) == 1 else (values[0], values[1])


def parse_status(text: str | None) -> str:
    """Check a status; empty for None.

    Raises
    ------
    Refused
        No run ends so.
    """
    if text is not None and text not in STATUSES:
        raise Refused(f"--status {text!r} is none of {', '.join(STATUSES)}")
    return text or ""


Points = Annotated[str, typer.Option(help="Pixels along x and y, NXxNY.")]
Step = Annotated[float, typer.Option(help="Distance of neighbouring pixels, um.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the simulated sample and its noise.")]
Directory = Annotated[Path, typer.Option(help="Where runs are kept; made if missing.")]
ConfigFile = Annotated[Path, typer.Option("--config", help="The beamline's TOML file.")]
Summary = Annotated[Path | None, typer.Option(help="Write the numbers of the run to this JSON file.")]
Page = Annotated[bool, typer.Option("--page/--no-page", help="Serve the live page while the run is taken.")]
Control = Annotated[
    bool, typer.Option("--control", help="Let who has the operator's token control the run on the page.")
]
Exposure = Annotated[float | None, typer.Option(help="Exposure of a point, s; else the region's acquire_time.")]


#: So that ``-1``, the newest run, is taken for a run and not for an option.
RUN_NAMES = {"ignore_unknown_options": True}
RUN_HELP = "uid, the beginning of one, -1 for the newest, or the run's folder."
