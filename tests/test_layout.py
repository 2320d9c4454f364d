"""The folders, the packages, the link tree and the wheel tell the same story."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def test_every_folder_with_code_is_a_package_and_the_other_way_round():
    assert [f"microarpes.{room}" for room in ROOMS] == sorted(SETUPTOOLS["packages"])
    assert {f"microarpes.{room}": room for room in ROOMS} == SETUPTOOLS["package-dir"]


def test_the_link_tree_for_editors_leads_to_every_room():
    links = ROOT / ".ci" / "typing" / "microarpes"
    assert sorted(link.name for link in links.iterdir()) == ROOMS
    assert all(link.is_symlink() and link.resolve() == ROOT / link.name for link in links.iterdir())


def test_rooms_are_flat():
    nested = [str(path) for room in ROOMS for path in (ROOT / room).glob("*/*.py")]
    assert nested == []


@pytest.mark.parametrize("room", ROOMS)
def test_files_stay_short_enough_to_read(room):
    long = {path.name: n for path in (ROOT / room).glob("*.py") if (n := len(path.read_text().splitlines())) > 320}
    assert long == {}


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "manager", "base"])
def test_no_module_is_a_drawer_for_odds_and_ends(word):
    assert [str(path) for room in ROOMS for path in (ROOT / room).glob(f"*{word}*.py")] == []


def test_the_tests_mirror_the_rooms_and_each_is_collected():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {*ROOMS, "system", "benchmarks"}
    others = [path for path in (ROOT / "tests").glob("*/*.py") if not path.name.startswith(("test_", "conftest"))]
    assert [path.name for path in others if "def test_" in path.read_text()] == []


def test_the_wheel_holds_every_room_and_its_data(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ROOMS:
        expected = {f"microarpes/{room}/{path.name}" for path in (ROOT / room).glob("*.py")}
        assert expected <= names
        assert f"microarpes/{room}/py.typed" in names
    assert "microarpes/beamline/simulated.toml" in names
    assets = {f"microarpes/beamline/page_assets/{path.name}" for path in (ROOT / "beamline/page_assets").iterdir()}
    assert "microarpes/beamline/page_assets/report.html" in assets
    assert assets <= names
