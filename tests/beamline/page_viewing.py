"""A page's server in a process, and viewers in a real browser, for all tests of the page."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from microarpes.sim.process import free_port

#: What a script in the page needs of Bokeh: a model by its name, and where a place on a figure is on the screen.
LOOK = """
window.model = (name) => Bokeh.documents[0].get_model_by_name(name);
window.place = (name, x, y) => {
  const view = Bokeh.index.find_one(window.model(name));
  const box = view.canvas_view.el.getBoundingClientRect();
  return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
};
"""
#: 15 pixels in visiting order on a grid of 4 x 4: no symmetry, so a flipped or turned map cannot pass.
GAPS = np.array([28.0, 30, 33, 37, 41, 36, 32, 30, 29, 39, 35, 27, 31, 34, 42])


class Server:
    """The page's server as a process, on a port that stays the same when it is started again."""

    def __init__(self, directory, *options):
        self.directory, self.port, self.options = directory, free_port(), options
        self.address = f"http://localhost:{self.port}/"
        self.start()

    def start(self):
        command = [sys.executable, "-m", "microarpes.beamline.page_server", "--directory", str(self.directory)]
        command += ["--port", str(self.port), "--address-file", str(self.directory / "page.address"), *self.options]
        Path(self.directory / "page.address").unlink(missing_ok=True)
        self.process = subprocess.Popen(command)
        wait(lambda: (self.directory / "page.address").exists() or self.process.poll() is not None, "the page is up")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        self.process.terminate()
        self.process.wait(20)


def wait(condition, what, seconds=40.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


class Viewer:
    """A page in the browser that remembers what it asked for and what went wrong."""

    def __init__(self, browser, address, **options):
        self.context = browser.new_context(viewport={"width": 1900, "height": 1100}, **options)
        self.page = self.context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.add_init_script(LOOK)
        self.page.goto(address)

    def until(self, expression, *arguments):
        self.page.wait_for_function(expression, arg=list(arguments), timeout=40_000)

    def shown(self, pixels):
        """Wait until the fits of so many pixels are on the map."""
        self.until(
            "([n]) => window.Bokeh?.documents?.length && Bokeh.index.find_one(model('map_delta')) && finite(n)".replace(
                "finite(n)", "Array.from(source().delta[0]).filter(Number.isFinite).length == n"
            ).replace("source()", "model('map_delta').renderers[0].data_source.data"),
            pixels,
        )

    def screen(self):
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return matplotlib.image.imread(io.BytesIO(self.page.screenshot()))

    def place(self, figure, x, y):
        return self.page.evaluate("([name, x, y]) => place(name, x, y)", [figure, x, y])

    def box(self, figure, one, other):
        """Draw a box on a figure, from one corner to the other."""
        self.page.mouse.move(*self.place(figure, *one))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(figure, *other), steps=4)
        self.page.mouse.up()

    def close(self):
        self.context.close()


@pytest.fixture
def view(browser):
    opened = []

    def look(address, **options):
        opened.append(Viewer(browser, address, **options))
        return opened[-1]

    yield look
    for viewer in opened:
        viewer.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory, make_raster):
    """A finished run and a server for it."""
    raster = make_raster(tmp_path_factory.mktemp("page"), gaps=GAPS)
    for _ in raster.grow():
        pass
    server = Server(raster.directory)
    yield raster, server
    server.end()


def measured(raster):
    from microarpes.beamline.stored_run import read_run

    return read_run(raster.folder).gap_map.joint_delta
