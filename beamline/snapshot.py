"""``microarpes live --snapshot``: the still picture of a run, finished or not, without a browser."""

from __future__ import annotations

import os
from pathlib import Path

from microarpes.beamline.report import write_gap_map
from microarpes.beamline.run_names import run_folder
from microarpes.beamline.stored_figures import map_picture, title, truth_of_run
from microarpes.beamline.stored_run import read_run, simulated_seed


def write_snapshot(directory: Path, name: str, output: Path) -> Path:
    """Draw a run as far as its journals go; the file appears only when it is whole.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    name : str
        As `run_folder` takes it; ``-1`` is the newest.
    output : Path
        PNG file to write; one that exists is replaced.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no such run, or nothing was measured.
    OSError
        The file cannot be written.
    """
    run = read_run(run_folder(directory, name))
    truth, _ = truth_of_run(run, simulated_seed(run.start))
    fresh = Path(output).with_name(Path(output).name + ".part")
    write_gap_map(fresh, map_picture(run, truth), title=title(run))
    os.replace(fresh, output)
    return Path(output)
