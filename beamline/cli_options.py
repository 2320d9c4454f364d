"""Options that several verbs of the command line share, and how they are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


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
