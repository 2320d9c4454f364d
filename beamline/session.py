"""``microarpes session``: IPython with the RunEngine, the devices and the plans of a beamline ready."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from microarpes.beamline.config import load_config
from microarpes.beamline.page_process import shown_page

#: What a session offers of `microarpes.plans.shapes`.
SHAPE_NAMES = (
    "RasterGrid", "LineScan", "Spiral", "Polygon", "Mask", "PointList", "Union", "coarse_then_fine",
)  # fmt: skip
BANNER = """micro-ARPES session on {name}; runs are kept in {directory}
  RE(raster(10, 10, step=10.0))         raster 10 x 10 pixels, 10 um apart, about x, y = 0, 0 um
  RE(raster(Polygon(vertices=[(0, 0), (60, 0), (0, 40)], step=10.0)))   or Spiral, LineScan, Mask, PointList, Union
  RE(fly(10, 10, step=10.0))            the same with the rows taken in flight
  RE(resume())                          what is left of the newest raster, or of another: resume("3f2a")
  RE(repeat(shape, 5))                  five maps of a shape, every other backwards
  RE(series(shape, [{{"temperature": 10}}, {{"temperature": 110}}]))   a map of the same pixels at each step
                                        a step may also name photon_energy, polarisation, region, windows
  where()                               which spot of the sample, which pixel of the last map the beam is on
  RE(go(23))                            go back to a pixel of the last map, or of another: go((3, 1), run="3f2a")
  RE(long_spectrum(23, time=60.0))      count there for so many s, or: counts=1e7, or target_sigma=0.5 (meV)
  RE(dose_test(30))                     look 30 times at this spot; ageing() tells what these, or control pixels, say
  RE(find_sample(width=2000.0))         coarse map, of all the reach without a width; sample_on() tells what is on it
  RE(raster(sample_on().grid()))        a map of the sample that was found, or of sample_on().polygon(step=5.0)
  RE(focus(FocusLines(x=75, y=0, focus=(-200, -100, 0, 100, 200))))     spot size against z; go=True goes there
  RE(align(go=True, save="aligned"))    tilt until the antinodal cut is symmetric, save windows about its middle
  RE(fs_map(-2, 12, 15))                a frame at each of 15 polar angles, deg, on the spot of now
  RE(flux_check())                      by how much the beam's flux moves E_F, at [reference]; rasters after it use that
  RE(mv(station.manipulator.x, 50.0))   move one axis, um
  RE(mv(sample, {{"u": 10.0, "v": 5.0}})) go to a spot of the sample, um, at any angles
  RE(mv(sample.polar, 12.0))            turn, deg, and stay on the spot
  station, config, RE                   devices, configuration, RunEngine; Ctrl-C pauses, RE.resume() goes on
"""


def session_names(config_file: Path, directory: Path) -> dict[str, Any]:
    """Connect a beamline and return the names a session begins with.

    Raises
    ------
    microarpes.beamline.config.ConfigError, ConnectionError
        A configuration or process variables that are not there.
    """
    config = load_config(config_file)
    from microarpes.beamline.instrument import connect_end_station, make_sample_frame

    station = connect_end_station(config)
    import numpy as np
    from bluesky import plan_stubs as bps
    from pydantic import BaseModel

    from microarpes.beamline import before_map
    from microarpes.beamline.control import ControlServer
    from microarpes.beamline.control_fits import ageing_of_map, ageing_sentences
    from microarpes.beamline.dose_tests import configured_dose_test
    from microarpes.beamline.engine import Watcher, make_engine
    from microarpes.beamline.find_sample import FoundSample, configured_search, find_in_run
    from microarpes.beamline.flux_shift import configured_flux_check, with_shift
    from microarpes.beamline.followers import Followers
    from microarpes.beamline.long_spectra import go_to_pixel
    from microarpes.beamline.long_spectra import long_spectrum as spectrum_of_pixel
    from microarpes.beamline.orphans import close_orphan
    from microarpes.beamline.pixel_places import Pixel, Whereabouts, find_beam, read_places
    from microarpes.beamline.progress import ProgressDisplay
    from microarpes.beamline.raster_run import configured_raster, resumed_raster
    from microarpes.beamline.repeats import repeated
    from microarpes.beamline.resume import find_unfinished
    from microarpes.beamline.run_names import run_folder
    from microarpes.beamline.series import configured_series
    from microarpes.beamline.stop_signals import StopSignals
    from microarpes.plans import shapes
    from microarpes.plans.flux_steps import FluxSteps
    from microarpes.plans.fly import Fly
    from microarpes.plans.focus import FocusLines
    from microarpes.plans.grid import RasterGrid
    from microarpes.plans.long_spectrum import LONGEST, SpectrumGoal
    from microarpes.plans.raster import gap_raster

    engine, journals = make_engine(directory, station)
    server = ControlServer(engine, threading.Event(), at_prompt=True)
    engine.context_managers = [lambda _: StopSignals(server.control).answered()]
    followers = Followers(directory, server=config.catalog.server())
    engine.subscribe(Watcher(followers))
    engine.subscribe(Watcher(ProgressDisplay(directory, sys.stdout)))

    def raster(
        nx: int | shapes.Shape,
        ny: int = 0,
        step: float = 0.0,
        centre: tuple[float, float] = (0.0, 0.0),
        *,
        flown: Fly | None = None,
        **md: Any,
    ) -> Any:
        """Raster nx by ny pixels, `step` um apart, about `centre` (um), or a shape, with the session's region."""
        shape = nx if isinstance(nx, BaseModel) else RasterGrid.centred(nx, ny, step, centre)
        return configured_raster(config, station, shape, journals, md, server, fly=flown)

    def fly(*args: Any, **kwargs: Any) -> Any:
        """Raster as `raster` does, with the rows taken in flight."""
        return raster(*args, flown=config.fly, **kwargs)

    def resume(run: str = "-1", *, accept_differences: bool = False) -> Any:
        """Measure what is left of a raster: uid of its run, the beginning of one, or "-1" for the newest."""
        folder = run_folder(directory, run)
        unfinished = find_unfinished(folder)
        close_orphan(folder)
        followers.catch_up(unfinished.uid)
        return resumed_raster(
            config, station, unfinished, journals, None, server, accept_differences=accept_differences
        )

    def repeat(shape: shapes.Shape, n: int, **md: Any) -> Any:
        """Take `n` maps of a shape, every other backwards."""

        def one(series: dict[str, Any], backwards: bool) -> Any:
            return configured_raster(config, station, shape, journals, {**md, **series}, server, backwards=backwards)

        return repeated(n, one, server.control.row_stop.is_set)

    def series(shape: shapes.Shape, steps: Sequence[Any], *, focus: FocusLines | None = None, **md: Any) -> Any:
        """Take a map of a shape at each step: temperature (K), photon_energy (eV), polarisation, region, windows."""
        return configured_series(config, station, shape, steps, journals, md, server, focus=focus)

    sample = make_sample_frame(config, station)

    def where(run: str = "-1") -> Whereabouts:
        """Tell where the beam is on the sample, and on which pixel of the newest map, or of another."""
        return find_beam(station, (sample.u.position, sample.v.position), directory, run)

    def go(pixel: Pixel, run: str = "-1") -> Any:
        """Go to a pixel of a map, by its number or (column, row): to where it is now."""
        return go_to_pixel(station, read_places(directory, run), pixel)

    def long_spectrum(
        pixel: Pixel,
        *,
        target_sigma: float | None = None,
        counts: float | None = None,
        time: float | None = None,
        run: str = "-1",
        longest: float = LONGEST,
        accept_differences: bool = False,
        **md: Any,
    ) -> Any:
        """Count at a pixel of a map until the gap is known to `target_sigma` (meV), or for `counts`, or `time` (s)."""
        goal = SpectrumGoal.of(target_sigma=target_sigma, counts=counts, time=time, longest=longest)
        places = read_places(directory, run)
        return spectrum_of_pixel(
            config, station, journals, places, pixel, goal, md, server, accept_differences=accept_differences
        )

    def dose_test(looks: int, place: tuple[float, float] | None = None, **md: Any) -> Any:
        """Look `looks` times at one spot (um; by default here): what the beam does to the sample."""
        return configured_dose_test(config, station, looks, journals, md, server, place=place)

    def ageing(run: str = "-1") -> None:
        """Tell what the control pixels of the newest run, or of another, say so far."""
        sys.stdout.write("\n".join(ageing_sentences(ageing_of_map(run_folder(directory, run)))) + "\n")

    def find_sample(*, exposure: float = 0.02, **where: Any) -> Any:
        """Coarse map about `centre`, `width` um wide, or of all the reach; where the sample is on it."""
        return configured_search(config, station, journals, None, server, exposure=exposure, **where)

    def sample_on(run: str = "-1") -> FoundSample:
        """Tell where the sample is on the newest map, or on another: a coarse one that was resumed, say."""
        return find_in_run(run_folder(directory, run), min(config.source.spot_size))

    def focus(lines: FocusLines, *, go: bool = False, **md: Any) -> Any:
        """Spot size along `lines`, and the best focus; go there if asked to."""
        return before_map.configured_focus(config, station, lines, journals, md, server, go=go)

    def align(*, polar: float | None = None, go: bool = False, save: str = "", **md: Any) -> Any:
        """Mirror centre of the antinodal cut; tilt there and save windows about it if asked to."""
        return before_map.configured_alignment(config, station, journals, md, server, polar=polar, go=go, save=save)

    def fs_map(first: float, last: float, number: int, **md: Any) -> Any:
        """Take a frame at each of `number` polar angles (deg) on the spot of now."""
        polars = np.linspace(first, last, number).round(4).tolist()
        return before_map.configured_fs_map(config, station, polars, journals, md, server)

    def flux_check(*fractions: float, **md: Any) -> Any:
        """Find by how much the flux moves E_F of the reference, at parts of the transmission of now (1, 0.5, 0.25).

        What is found is in the error of E_F of the session's maps from then on.
        """
        steps = FluxSteps(fractions=fractions) if fractions else None
        plan = configured_flux_check(config, station, journals, md, server, steps=steps, tell=print)

        def using() -> Any:
            nonlocal config
            uid, found = yield from plan
            names["config"] = config = with_shift(config, found)
            return uid, found

        return using()

    names: dict[str, Any] = {
        "RE": engine,
        "config": config,
        "station": station,
        "sample": sample,
        "followers": followers,
        "control": server,
        "raster": raster,
        "fly": fly,
        "resume": resume,
        "repeat": repeat,
        "series": series,
        "where": where,
        "go": go,
        "long_spectrum": long_spectrum,
        "dose_test": dose_test,
        "ageing": ageing,
        "find_sample": find_sample,
        "sample_on": sample_on,
        "focus": focus,
        "FocusLines": FocusLines,
        "align": align,
        "fs_map": fs_map,
        "flux_check": flux_check,
        "gap_raster": functools.partial(gap_raster, directory=directory),
        **{name: getattr(shapes, name) for name in SHAPE_NAMES},
        "mv": bps.mv,
        "rd": bps.rd,
        "sleep": bps.sleep,
    }
    return names


def open_session(config_file: Path, directory: Path, *, page: bool = False, control: bool = False) -> None:
    """Open the session in this terminal, with the page beside it; return when it is left."""
    names = session_names(config_file, directory)
    import IPython
    from traitlets.config import Config as IPythonConfig

    followers = names["followers"]
    banner = BANNER.format(name=names["config"].beamline.name, directory=directory)
    settings = IPythonConfig()
    settings.TerminalInteractiveShell.banner1 = banner
    settings.HistoryManager.enabled = sys.stdin.isatty()
    from microarpes.beamline.stop_signals import StopSignals

    signals = StopSignals(names["control"].control, interrupt=False)
    with names["control"].listening(directory), shown_page(directory, page, control=control), signals.answered():
        followers.reconcile()
        IPython.start_ipython(argv=[], user_ns=names, config=settings)
        followers.wait()
        sys.stdout.write("".join(f"note: {remark}\n" for remark in followers.remarks))
