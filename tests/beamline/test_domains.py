"""Domains of a stored run: told, drawn, and written as shapes that can be measured again."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from conftest import Raster

from microarpes.beamline.cli import main
from microarpes.beamline.domains import NoDomains, domains_of
from microarpes.beamline.run_chain import read_map
from microarpes.beamline.shape_file import load_shape

#: Two gaps side by side: columns 0 and 1, and 2 and 3.
GAPS = np.where(np.arange(15) % 4 < 2, 25.0, 45.0)


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    found = Raster(tmp_path_factory.mktemp("domains"), gaps=GAPS)
    for _ in found.grow():
        pass
    return found


def test_the_domains_of_a_run_lie_where_its_gaps_do(raster):
    found = domains_of(read_map(raster.folder), 2)
    # pixel 3 has no counts and pixel 15 was not measured
    assert sorted(np.flatnonzero(found.map.ravel() < 0)) == [3, 15]
    used = [pixel for pixel in range(15) if pixel != 3]
    sides = {int(label): set(GAPS[[p for p in used if found.map.flat[p] == label]]) for label in (0, 1)}
    assert all(len(gaps) == 1 for gaps in sides.values())
    for label, fit in enumerate(found.fits):
        # of the calibrations of this raster the later one is 2 meV off its spectra
        assert fit.delta == pytest.approx(sides[label].pop(), abs=2.0)


def test_picture_table_and_masks_are_written_and_a_mask_is_a_shape(raster, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [raster.uid, "--directory", str(raster.directory), "--output", str(out), "--number", "2"]
    assert main(["domains", *arguments]) == 0
    told = capsys.readouterr().out
    assert "2 domains of 14 pixels" in told
    assert told.count(" meV, scattering rate ") == 2
    assert (out / "domains.png").read_bytes().startswith(b"\x89PNG")
    with (out / "domains.csv").open(encoding="utf-8") as file:
        rows = {int(row["pixel"]): row["domain"] for row in csv.DictReader(file)}
    assert (len(rows), rows[3]) == (15, "")
    for domain in ("1", "2"):
        shape = load_shape(out / f"domain-{domain}.json")
        assert sorted(shape.pixels) == [pixel for pixel, of in rows.items() if of == domain]


def test_a_run_without_spectra_has_no_domains(tmp_path):
    empty = Raster(tmp_path, n=1)
    with pytest.raises(NoDomains, match="1 of 16 pixels have a spectrum"):
        domains_of(read_map(empty.folder))
