"""The gap function of each pixel from stored maps of several cuts: what is read, refused, written and told."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from conftest import Raster

from microarpes.beamline.anisotropy import NoGapFunction, anisotropy_of, folders_of, read_anisotropy
from microarpes.beamline.cli import main

A = 3.83
#: kx, ky (1/Å) of the windows of each cut, on the Fermi surface of a cuprate, the last beyond the node.
CUTS = [(0.820, 0.148), (0.574, 0.199), (0.492, 0.226), (0.205, 0.53)]
DELTA0 = 38.0


def factor(kx, ky):
    return (math.cos(ky * A) - math.cos(kx * A)) / 2


class Cut(Raster):
    """A map whose windows lie at plus and minus a momentum, with the gap of a d-wave there."""

    def __init__(self, directory, number, **changed):
        self.kx, self.ky = CUTS[number]
        self.changed = {"series": {"group": "g", "number": number + 1, "of": len(CUTS)}} | changed
        super().__init__(
            directory, time=1.8e9 + 1000.0 * number, gaps=np.full(15, DELTA0 * abs(factor(self.kx, self.ky)))
        )
        for _ in self.grow():
            pass

    def documents(self, *arguments, **options):
        signed = (-self.ky, self.ky)
        phi = math.degrees(math.atan2(*sorted((math.pi / A - self.kx, math.pi / A - self.ky))))
        momentum = {"lattice_constant": A, "kx": [self.kx] * 2, "ky": list(signed), "phi": [phi] * 2,
                    "d_wave_factor": [abs(factor(self.kx, self.ky))] * 2}  # fmt: skip
        for name, doc in super().documents(*arguments, **options):
            yield name, doc | {"momentum": momentum} | self.changed if name == "start" else doc


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cuts")
    return directory, [Cut(directory, number) for number in range(len(CUTS))]


def test_a_map_of_a_series_stands_for_all_of_it_in_the_order_of_its_steps(cuts):
    directory, runs = cuts
    assert folders_of(directory, ["-1"]) == [run.folder for run in runs]
    assert folders_of(directory, [runs[2].uid, runs[0].uid]) == [runs[2].folder, runs[0].folder]


def test_delta0_and_node_come_out_of_the_maps_as_they_went_in(cuts):
    _, runs = cuts
    found = read_anisotropy([run.folder for run in runs])
    assert (len(found.windows), found.gap.shape) == (8, (8, 4, 4))
    assert found.phi[[0, 2, 4]] == pytest.approx([0.0, 22.0, 29.0], abs=2.0)
    known = np.isfinite(found.fit.delta0)
    # pixel 3 has no counts, pixel 15 was never measured
    assert sorted(np.flatnonzero(~known)) == [3, 15]
    # Until its calibration changes, without its spectra, the raster's E_F is right to 0.3 meV.
    before = np.zeros(16, dtype=bool)
    before[:9] = True
    used = known & before.reshape(4, 4)
    error = found.fit.delta0[used].mean() - DELTA0
    assert abs(error) < 0.5 + 4 * np.median(found.fit.delta0_stderr[used]) / math.sqrt(used.sum())
    assert found.fit.node[known].mean() == pytest.approx(45.0, abs=4 * np.median(found.fit.node_stderr[known]))
    assert np.nanmedian(found.fit.delta0_systematic) > 0.2


def test_picture_and_table_are_written_and_the_whole_is_told(cuts, tmp_path, capsys):
    directory, runs = cuts
    assert main(["anisotropy", runs[0].uid, "--directory", str(directory), "--output", str(tmp_path / "night.1")]) == 0
    told = capsys.readouterr().out
    assert "gap function of 14 of 16 pixels, 8 of 8 windows" in told
    assert "intrinsic spread not resolved, below" in told
    with (tmp_path / "night.1.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert (rows[5]["x_um"], rows[5]["y_um"]) == ("10", "10")
    assert float(rows[5]["delta0"]) == pytest.approx(DELTA0, abs=0.5 + 5 * float(rows[5]["delta0_stderr"]))
    assert (tmp_path / "night.1.png").read_bytes().startswith(b"\x89PNG")


def test_maps_that_do_not_belong_together_are_refused_with_every_reason(cuts, tmp_path):
    _, runs = cuts
    other = Cut(tmp_path, 1, momentum=None)
    narrower = Cut(tmp_path, 1, shape=[2, 8])
    without = Raster(tmp_path)
    with pytest.raises(NoGapFunction, match=r"shape differ.*says no momentum.*is not fitted"):
        read_anisotropy([runs[0].folder, narrower.folder, without.folder])
    with pytest.raises(NoGapFunction, match="two different ones"):
        read_anisotropy([runs[0].folder])
    with pytest.raises(NoGapFunction, match="says no momentum"):
        anisotropy_of(tmp_path, [other.uid], tmp_path / "x")
