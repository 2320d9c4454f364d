"""Which runs somebody looks for: by sample, date, text, status, temperature."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

#: How the reason of a run begins that was cut off: a power cut, SIGKILL.
INTERRUPTED = "interrupted"
#: How a run may have ended: its exit status, `stopped` by the operator after a row, `interrupted` where what took it
#: was gone, `open` without a stop document.
STATUSES = ("success", "stopped", "abort", "fail", "interrupted", "open")


@dataclass(frozen=True)
class RunSearch:
    """What a run must be to be listed; what is left as it is asks for nothing.

    Attributes
    ----------
    sample, text : str
        Found in the sample id; in any word of start and stop document. Capitals do not count.
    status : str
        One of `STATUSES`.
    since, until : float, s
        Unix times between which it started.
    temperature : (float, float), K
        Lowest and highest temperature of the sample.
    """

    sample: str = ""
    text: str = ""
    status: str = ""
    since: float = -math.inf
    until: float = math.inf
    temperature: tuple[float, float] | None = None

    def finds(self, start: Document, stop: Document) -> bool:
        """Return whether a run with these documents is looked for."""
        if not self.since <= float(start.get("time", 0.0)) < self.until:
            return False
        if self.status and self.status != run_status(stop):
            return False
        if self.sample.lower() not in sample_name(start).lower():
            return False
        if self.temperature is not None:
            found = run_temperature(start)
            if found is None or not self.temperature[0] <= found <= self.temperature[1]:
                return False
        wanted = self.text.lower()
        return not wanted or any(wanted in words.lower() for words in _words((start, stop)))


def run_status(stop: Document) -> str:
    """Return how a run ended: a success with a reason was ended by the operator before its last row."""
    status = str(stop.get("exit_status", "open"))
    if status == "abort" and str(stop.get("reason", "")).startswith(INTERRUPTED):
        return INTERRUPTED
    return "stopped" if status == "success" and stop.get("reason") else status


def sample_name(start: Document) -> str:
    """Return the sample id of a run; empty where it names none."""
    sample = start.get("sample")
    return str((sample.get("id") or "") if isinstance(sample, Mapping) else sample or "")


def run_temperature(start: Document) -> float | None:
    """Return the temperature of the sample as a run began, K; None where it does not say it."""
    series = start.get("series")
    settings = series.get("settings") if isinstance(series, Mapping) else None
    for part in (settings, start.get("calibration")):
        told = part.get("temperature") if isinstance(part, Mapping) else None
        if isinstance(told, int | float):
            return float(told)
    return None


def _words(value: Any) -> Iterator[str]:
    """Yield all strings in a document; the numbers of an axis are not looked at."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, list | tuple):
        for each in value:
            if not isinstance(each, int | float):
                yield from _words(each)
