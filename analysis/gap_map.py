"""`GapMap`: fitted quantities on the pixels of a raster, whatever the order in which they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microarpes.analysis.k_f_verdict import verdict_at_k_f

__all__ = ["AGEING", "COMBINED", "FITTED", "JOINT", "K_F_CENTRE", "POSITIONS", "GapMap"]

#: Fitted quantities of each window and of the joint fit, with their units.
FITTED: dict[str, str] = {
    "delta": "meV",
    "delta_stderr": "meV",
    "delta_systematic": "meV",
    "gamma1": "meV",
    "gamma1_stderr": "meV",
    "gamma0": "meV",
    "deviance": "1",
    "dof": "1",
    "upper_limit": "meV",
}
#: The same for the joint fit of all windows.
JOINT: dict[str, str] = {f"joint_{name}": unit for name, unit in FITTED.items()}
#: What stands beside: measured positions and what the raw event says of the pixel.
POSITIONS: dict[str, str] = {
    "manipulator_x": "um",
    "manipulator_y": "um",
    "angular_contrast": "1",
    "total_counts": "counts",
    "calibration_time": "s",
}
#: Where the windows follow k_F: its middle, and by how much they lie higher than planned.
K_F_CENTRE: dict[str, str] = {"k_f_centre": "deg", "k_f_centre_error": "deg", "window_shift": "deg"}
#: Where the gaps are corrected for the ageing of the sample: what was added to them.
AGEING: dict[str, str] = {"ageing_shift": "meV"}
#: Where several runs are fitted together: in how many of them a pixel was measured.
COMBINED: dict[str, str] = {"runs_combined": "1"}

Key = tuple[float, str, int]


class GapMap:
    """Map of a gap and all that belongs to it.

    Where two events name the same pixel the later (run, seq_num) wins; where two name the same (run, seq_num) the later
    of them in time wins, and the other is forgotten, even on another pixel. So the map does not depend on the order of
    arrival.

    Parameters
    ----------
    shape : sequence of two int
        (ny, nx); pixel p is row p // nx, column p % nx.
    windows : sequence of str
        Names of the k_F windows.

    Attributes
    ----------
    delta, delta_stderr, delta_systematic, gamma1, gamma1_stderr, gamma0, upper_limit : ndarray (n_window, ny, nx), meV
    deviance, dof : ndarray, shape (n_window, ny, nx)
    status : ndarray of str, shape (n_window, ny, nx)
        Empty where nothing has arrived; ``no-k_F`` for an ``ok`` where k_F was looked for and not found, see
        `microarpes.analysis.k_f_verdict`.
    joint_delta, ... , joint_status : ndarray, shape (ny, nx)
        The same for the joint fit of all windows: the gap at k_F.
    manipulator_x, manipulator_y : ndarray, shape (ny, nx), um
        Measured positions.
    angular_contrast, total_counts, calibration_time : ndarray, shape (ny, nx)
    k_f_centre, k_f_centre_error, window_shift : ndarray, shape (ny, nx), deg
        The middle between +-k_F in the pixel's frame, and by how much its windows lie higher than planned; NaN in a run
        whose windows do not follow it.
    ageing_shift : ndarray, shape (ny, nx), meV
        What was added to the gaps for the ageing of the sample; NaN in a map as it was measured.
    runs_combined : ndarray, shape (ny, nx)
        From how many runs the counts of a pixel are; NaN in a map of one run.
    k_f_status : ndarray of str, shape (ny, nx)
        As of `KFCentre`, or why there was nothing to find it in; empty in a run whose windows do not follow it.
    seq_num : ndarray of int, shape (ny, nx)
        Sequence number of the raw event; 0 where nothing has arrived.
    """

    def __init__(self, shape: Sequence[int], windows: Sequence[str]) -> None:
        ny, nx = _map_shape(shape)
        if not windows:
            raise ValueError("windows is empty; a gap map needs at least one k_F window")
        self.shape = (ny, nx)
        self.windows = tuple(str(name) for name in windows)
        n = len(self.windows)
        self._planes: dict[str, NDArray[np.float64]] = {
            **{name: np.full((n, ny, nx), np.nan) for name in FITTED},
            **{name: np.full((ny, nx), np.nan) for name in (*JOINT, *POSITIONS, *K_F_CENTRE, *AGEING, *COMBINED)},
        }
        self.status = np.full((n, ny, nx), "", dtype="<U10")
        self.joint_status = np.full((ny, nx), "", dtype="<U10")
        self.k_f_status = np.full((ny, nx), "", dtype="<U10")
        self.seq_num = np.zeros((ny, nx), dtype=np.int64)
        self._records: dict[Key, tuple[float, int, dict[str, Any]]] = {}
        self._by_pixel: dict[int, set[Key]] = {}

    def __getattr__(self, name: str) -> NDArray[np.float64]:
        planes = self.__dict__.get("_planes", {})
        if name in planes:
            plane: NDArray[np.float64] = planes[name]
            return plane
        raise AttributeError(
            f"a GapMap has no {name!r}; it has {', '.join(planes)}, status, joint_status, k_f_status, seq_num"
        )

    @property
    def n_filled(self) -> int:
        """Number of pixels for which something has arrived."""
        return int((self.seq_num > 0).sum())

    def update(self, run: tuple[float, str], seq_num: int, event_time: float, record: Mapping[str, Any]) -> bool:
        """Put one fitted event on the map.

        Parameters
        ----------
        run : (float, str)
            Start time (s) and uid of the raw run; the later run wins.
        seq_num : int
            Sequence number of the raw event.
        event_time : float, s
            Time of the raw event; decides between two that carry the same sequence number.
        record : mapping
            ``pixel``, the names of `FITTED` and ``status`` with one value per window, those of `JOINT`, `POSITIONS` and
            ``joint_status``; those of `K_F_CENTRE` and ``k_f_status`` where the windows follow k_F.

        Returns
        -------
        bool
            Whether the pixel lies on the map and the event is not superseded.
        """
        key: Key = (float(run[0]), str(run[1]), int(seq_num))
        pixel = int(record["pixel"])
        known = self._records.get(key)
        if known is not None and known[0] > event_time:
            return False
        if known is not None:
            self._by_pixel[known[1]].discard(key)
            self._draw(known[1])
        self._records[key] = (event_time, pixel, dict(record))
        self._by_pixel.setdefault(pixel, set()).add(key)
        return self._draw(pixel)

    def _draw(self, pixel: int) -> bool:
        """Show the latest record of a pixel, or nothing when there is none."""
        ny, nx = self.shape
        if not 0 <= pixel < ny * nx:
            return False
        row, column = divmod(pixel, nx)
        keys = self._by_pixel[pixel]
        record = self._records[max(keys)][2] if keys else {}
        for name, plane in self._planes.items():
            plane[..., row, column] = record.get(name, np.nan)
        k_f = str(record.get("k_f_status", ""))
        self.k_f_status[row, column] = k_f
        self.joint_status[row, column] = verdict_at_k_f(str(record.get("joint_status", "")), k_f)
        windows = record.get("status", [""] * len(self.windows))
        self.status[:, row, column] = [verdict_at_k_f(str(status), k_f) for status in windows]
        self.seq_num[row, column] = max(keys)[2] if keys else 0
        return True

    def status_counts(self, *, joint: bool = True) -> dict[str, int]:
        """Count the pixels of each status: of the joint fit, or over all windows."""
        names, counts = np.unique(self.joint_status if joint else self.status, return_counts=True)
        return {str(name): int(count) for name, count in zip(names, counts, strict=True) if name}

    @classmethod
    def from_documents(cls, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> GapMap:
        """Rebuild the map from the documents of derived runs, bit for bit.

        Parameters
        ----------
        documents : iterable of (name, document)
            One derived run, or several over the same raster.

        Raises
        ------
        ValueError
            When there is no start document of a gap fit among them.
        """
        gap_map: GapMap | None = None
        run = (0.0, "")
        others: set[str] = set()  # descriptors of looks at control pixels, which are on no map
        for name, doc in documents:
            if name == "descriptor" and doc.get("name", "primary") != "primary":
                others.add(str(doc["uid"]))
            elif name == "start":
                run = (float(doc.get("original_run_time", 0.0)), str(doc.get("original_run_uid", "")))
                gap_map = gap_map or cls(doc["shape"], [window["name"] for window in doc["windows"]])
            elif gap_map is not None and doc.get("descriptor") not in others:
                for event in _events(name, doc):
                    data = event["data"]
                    gap_map.update(run, data["raw_seq_num"], event["timestamps"]["raw_seq_num"], data)
        if gap_map is None:
            raise ValueError("no start document of a derived run was found; give the documents of a gap fit")
        return gap_map


def _events(name: str, doc: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Events of a document, single or paged."""
    if name == "event":
        yield doc
    elif name == "event_page":
        for i in range(len(doc["seq_num"])):
            yield {part: {key: values[i] for key, values in doc[part].items()} for part in ("data", "timestamps")}


def _map_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Check (ny, nx)."""
    values = tuple(int(n) for n in shape)
    if len(values) != 2 or min(values) < 1:
        raise ValueError(f"shape = {tuple(shape)!r}; a gap map has shape (ny, nx), both at least 1")
    return values[0], values[1]
