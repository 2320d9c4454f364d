"""``microarpes demo --truth``: from its command line to the sample of the IOC."""

from contextlib import contextmanager

import pytest

from microarpes.beamline import cli, demo
from microarpes.sim import command_line, ioc
from microarpes.sim.truth import INGREDIENTS, REALISTIC, STANDARD, parse_truth


class EnoughError(Exception):
    """The IOC would be started now."""


@pytest.fixture
def started(monkeypatch):
    """What IOCs were asked for."""
    asked = []

    @contextmanager
    def ask(arguments):
        asked.append(list(arguments))
        raise EnoughError
        yield

    monkeypatch.setattr(demo, "running_ioc", ask)
    monkeypatch.setattr(demo, "_compile_fit", lambda: None)
    return asked


@pytest.fixture
def samples(monkeypatch):
    """Truths of the samples that IOCs were made with; none serves."""
    made = []

    class Source(ioc.SampleSource):
        def __init__(self, *arguments, truth, **options):
            made.append(truth)
            super().__init__(*arguments, truth=truth, **options)

    monkeypatch.setattr(ioc, "SampleSource", Source)
    monkeypatch.setattr(command_line, "remember_command", lambda command: None)
    monkeypatch.setattr(command_line, "run", lambda options, source: ioc.Beamline(options, source) and 0)
    return made


@pytest.mark.parametrize(
    ("asked", "truth"),
    [([], STANDARD), (["--truth", "realistic"], REALISTIC), (["--truth", "hump,replica"], parse_truth("hump,replica"))],
)
def test_the_truth_of_the_demo_is_that_of_the_sample_of_its_ioc(started, samples, tmp_path, asked, truth):
    cli.main(["demo", "--points", "2x2", "--no-page", "--directory", str(tmp_path), *asked])
    assert command_line.main(started[0]) == 0
    assert samples == [truth]


def test_a_truth_that_is_none_is_refused_before_anything_starts(started, tmp_path, capsys):
    directory = tmp_path / "none"
    assert cli.main(["demo", "--truth", "real", "--no-page", "--directory", str(directory)]) == cli.FAILED
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"--truth 'real' is neither standard nor realistic nor some of {', '.join(INGREDIENTS)}" in said
    assert (started, directory.exists()) == ([], False)
