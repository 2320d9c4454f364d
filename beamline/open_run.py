"""A stored run in Python: `open_run`, and the map as a Dataset of xarray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microarpes.beamline.run_chain import chain_folders, read_start
from microarpes.beamline.run_names import run_folder

if TYPE_CHECKING:
    import xarray as xr

#: What other programs call our axes.
NAMES: dict[str, dict[str, str]] = {
    "microarpes": {},
    "erlab": {"energy": "eV", "angle": "alpha"},
    "peaks": {"energy": "eV", "angle": "theta_par"},
}


@dataclass(frozen=True)
class OpenRun:
    """A run, and those it resumes, where they are kept.

    Attributes
    ----------
    folders : tuple of Path
        The oldest first; the last is that of the run itself.
    start : dict
        Its start document.
    fits : tuple of Path
        Journals of the fit that is shown.
    """

    folders: tuple[Path, ...]
    start: dict[str, Any]
    fits: tuple[Path, ...]

    @property
    def uid(self) -> str:
        """Of the run itself."""
        return str(self.start["uid"])

    @property
    def folder(self) -> Path:
        """Of the run itself."""
        return self.folders[-1]

    def to_xarray(self, *, edcs: bool = True, frames: bool = False, names: str = "microarpes") -> xr.Dataset:
        """Return the map, with that of the runs it resumes, as one Dataset.

        Parameters
        ----------
        edcs : bool
            With ``edc[y, x, window, energy]``, counts.
        frames : bool
            With ``frame[y, x, angle, energy]``, counts, each read from its file when it is indexed.
        names : {"microarpes", "erlab", "peaks"}
            What the axes are called. For erlab and peaks the energy axis is ``eV``, E - E_F with the mean Fermi edge of
            the windows at the start of the run, occupied states negative; the angle is ``alpha`` or ``theta_par``, deg;
            ``hv`` (eV) and ``sample_temp`` (K) are coordinates.

        Returns
        -------
        xarray.Dataset
            Every variable and coordinate has ``units`` and ``long_name``; see docs/how-to/export.md.

        Raises
        ------
        ValueError
            `names` is none of these.
        microarpes.beamline.stored_run.NoSuchRun
            The run has no map.
        """
        from microarpes.beamline.map_dataset import map_dataset

        if names not in NAMES:
            raise ValueError(f"names = {names!r}; it is one of {', '.join(NAMES)}")
        dataset = map_dataset(self.folders, fits=self.fits, edcs=edcs, frames=frames)
        return dataset if names == "microarpes" else _renamed(dataset, NAMES[names])


def open_run(run: str | Path = "-1", directory: str | Path = "microarpes-data", fit: str = "live") -> OpenRun:
    """Find a stored run.

    Parameters
    ----------
    run : str or Path
        uid, the beginning of one, ``-1`` for the newest, or the run's folder.
    directory : str or Path
        Where runs are kept; not used when `run` is a folder.
    fit : str
        ``live``, or the uid of a refit, or the beginning of it.

    Raises
    ------
    microarpes.beamline.stored_run.NoSuchRun
        There is no run, or no refit, of that name, or a run that it resumes is not beside it.
    """
    from microarpes.beamline.map_planes import fit_journals

    folder = run_folder(Path(directory), str(run))
    folders = chain_folders(folder)
    return OpenRun(tuple(folders), read_start(folder), tuple(fit_journals(folders, fit)))


def _renamed(dataset: xr.Dataset, names: dict[str, str]) -> xr.Dataset:
    edge = dataset["binding_energy"] + dataset["energy"]
    energy = dataset["energy"].values - float(edge.mean())
    known = {ours: theirs for ours, theirs in names.items() if ours in dataset.dims}
    renamed = dataset.rename(known).assign_coords(eV=("eV", energy, {"units": "eV", "long_name": "E - E_F"}))
    for coordinate, attribute, units in (("hv", "photon_energy", "eV"), ("sample_temp", "temperature", "K")):
        if attribute in dataset.attrs:
            told = {"units": units, "long_name": attribute.replace("_", " ")}
            renamed = renamed.assign_coords({coordinate: ((), dataset.attrs[attribute], told)})
    return renamed
