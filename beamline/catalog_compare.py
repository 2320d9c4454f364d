"""Does a catalog hold what a journal holds? Rows of every stream by their numbers, arrays and frames by how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microarpes.beamline.journal import read_documents

#: Entry of a run in a catalog: it was compared with its journal and found the same.
COMPARED = "compared_with_journal"


@dataclass
class JournalContent:
    """What a journal holds.

    Attributes
    ----------
    uid : str
        Of the run.
    numbers : dict of str to set of int
        The events of each stream, by ``seq_num``.
    frames : dict of (str, str) to int
        How many frames of each data key of a stream have been announced.
    """

    uid: str = ""
    numbers: dict[str, set[int]] = field(default_factory=dict)
    frames: dict[tuple[str, str], int] = field(default_factory=dict)
    _streams: dict[str, str] = field(default_factory=dict, repr=False)
    _resources: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take the next document of the journal."""
        if name == "start":
            self.uid = doc["uid"]
        elif name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
            self.numbers.setdefault(doc["name"], set())
        elif name == "event":
            self.numbers[self._streams[doc["descriptor"]]].add(int(doc["seq_num"]))
        elif name == "stream_resource":
            self._resources[doc["uid"]] = doc["data_key"]
        elif name == "stream_datum":
            key = self._streams[doc["descriptor"]], self._resources[doc["stream_resource"]]
            self.frames[key] = max(self.frames.get(key, 0), int(doc["indices"]["stop"]))


def journal_content(journal: Path) -> JournalContent:
    """Read a journal from end to end."""
    content = JournalContent()
    for name, doc in read_documents(journal):
        content.add(name, doc)
    return content


def difference(client: Any, content: JournalContent) -> str:
    """Return the first thing in which a run in a catalog is not what its journal holds; empty where it is the same."""
    if content.uid not in client.keys():
        return f"run {content.uid} is not there"
    # As it is stored: databroker's v2, used anywhere in this process, changes what a run gives for its streams.
    run = client[content.uid].base
    for stream, numbers in content.numbers.items():
        if stream not in run:
            return f"stream {stream} of run {content.uid} is not there"
        frames = {key: count for (name, key), count in content.frames.items() if name == stream}
        if found := _stream_difference(run[stream].base, numbers, frames):
            return f"stream {stream} of run {content.uid} holds {found}"
    return ""


def _stream_difference(node: Any, numbers: set[int], frames: Mapping[str, int]) -> str:
    rows: list[int] = []
    for key, part in node.items():
        if part.structure_family == "table":
            rows = [int(number) for number in part.read(["seq_num"])["seq_num"]]
        elif (count := int(part.shape[0])) != (expected := frames.get(key, len(numbers))):
            return f"{count} of {key} for {expected}"
    twice = sum(times - 1 for times in Counter(rows).values())
    if twice or set(rows) != numbers:
        return f"{len(rows)} rows for {len(numbers)} events, {twice} of them more than once"
    return ""


def mark_compared(client: Any, uid: str) -> None:
    """Note with a run that it was compared with its journal."""
    client[uid].update_metadata({COMPARED: True}, drop_revision=True)


def was_compared(metadata: Mapping[str, Any]) -> bool:
    """Tell whether a run in a catalog was compared with its journal and found the same."""
    return bool(metadata.get(COMPARED))
