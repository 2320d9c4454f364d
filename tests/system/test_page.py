"""The page of a scan that is being taken: it shows the RunEngine's own state, and only the token moves it."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest


class Demo:
    """A demo that is controlled from its page."""

    def __init__(self, command_line):
        self.process = command_line.start(
            "demo", "--control", "--points", "30x30", "--exposure", "0.03", "--directory", "runs"
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = wait(lambda: re.search(r"(http://\S+)  operator's token: (\S+)", "".join(self.lines)), "the address")
        self.address, self.token = found.groups()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        self.process.stdout.close()


def wait(condition, what, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)
    return found


@pytest.fixture
def demo(microarpes):
    running = Demo(microarpes)
    yield running
    running.end()


def says(page, text, seconds=60):
    """Wait until the top of the page says something."""
    page.get_by_text(text).first.wait_for(timeout=1000 * seconds)


def test_only_the_operators_token_pauses_resumes_and_aborts(demo, browser):
    page = browser.new_page(viewport={"width": 1900, "height": 1100})
    page.goto(demo.address)
    page.locator(".facts").wait_for(timeout=120_000)
    says(page, "running")

    page.get_by_role("button", name="pause at the next point").click()
    says(page, "it needs the operator's token")
    page.get_by_label("operator's token").fill("not-the-token-at-all")
    page.get_by_label("operator's token").press("Enter")
    says(page, "that is not the operator's token")
    page.get_by_role("button", name="pause at the next point").click()
    says(page, "pause was not sent")
    says(page, "running")

    page.get_by_label("operator's token").fill(demo.token)
    page.get_by_label("operator's token").press("Enter")
    says(page, "the buttons are open")
    page.get_by_role("button", name="pause at the next point").click()
    says(page, "paused: asked for through the control channel")
    page.get_by_role("button", name="resume").click()
    says(page, "resume: the engine is running")

    page.get_by_role("button", name="abort \N{HORIZONTAL ELLIPSIS}").click()
    page.get_by_role("button", name="no, keep it").click()
    says(page, "running")
    page.get_by_role("button", name="abort \N{HORIZONTAL ELLIPSIS}").click()
    page.get_by_role("button", name="yes, abort the run").click()
    demo.process.wait(120)
    assert demo.process.returncode not in (0, None)
    assert "aborted on the page" in "".join(demo.lines)


def page_of(parent):
    """The process of the page that a program has started."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    return next((int(pid) for pid in children if b"page_server" in Path(f"/proc/{pid}/cmdline").read_bytes()), None)


def test_a_page_that_is_killed_is_nothing_to_the_scan(microarpes):
    running = microarpes.start("demo", "--points", "8x5", "--exposure", "0.03", "--directory", "runs")
    pid = wait(lambda: page_of(running), "the page's process")
    os.kill(pid, signal.SIGKILL)
    said, _ = running.communicate(timeout=240)
    assert running.returncode == 0, said
    assert "40 of 40 acquired" in said
