"""The fit follower: tails a run's journal, fits every event and writes the derived run beside it.

``python -m microarpes.beamline.follow_fit --directory DIR --run UID``. A fit is a pure function of the journal, so
a follower that is started again begins anew and arrives at the same bits.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from microarpes.analysis import LiveGapMap
from microarpes.analysis.warm_up import warm_up
from microarpes.beamline.followed_windows import FollowedWindows
from microarpes.beamline.followers import is_alive
from microarpes.beamline.journal import GAP_JOURNAL, RAW_JOURNAL, JournalWriter, follow, read_documents
from microarpes.beamline.journal_lock import wait_for_writer


def follow_fit(directory: Path, uid: str, model: str = "norman", ended: Callable[[], bool] = lambda: False) -> None:
    """Fit a run as it is written; return when its stop document has been handled, or when it was cut off.

    Parameters
    ----------
    directory : Path
        Where runs are kept.
    uid : str
        The raw run.
    model : str
        Line shape.
    ended : callable
        Asked when there is nothing new; True means that nothing more will come.
    """
    folder = Path(directory) / uid
    output = folder / GAP_JOURNAL
    if output.exists():
        if any(name == "stop" for name, _ in read_documents(output)):
            return
        output.unlink()
    writer = JournalWriter(output)
    with contextlib.closing(writer), contextlib.closing(FollowedWindows(folder)) as followed:
        router, follows = LiveGapMap(writer, model=model), False
        for name, doc in follow(folder / RAW_JOURNAL, stopped=ended):
            if name == "start":
                follows = bool(doc.get("follow_k_f"))
            router(name, followed(name, doc) if follows else doc)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the follower from the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Fit a run while it is taken, or afterwards.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--run", required=True, help="uid of the raw run")
    parser.add_argument("--model", default="norman")
    parser.add_argument("--wait", action="store_true", help="let another follower of the run come to its end first")
    parser.add_argument("--raw-writer", type=int, metavar="PID", help="end, once all is read, when it is gone")
    options = parser.parse_args(arguments)
    # Ctrl-C in the terminal is meant for the scan; this process ends with its run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm_up()
    if options.wait:
        wait_for_writer(options.directory / options.run / GAP_JOURNAL)
    writer = options.raw_writer
    follow_fit(options.directory, options.run, options.model, ended=lambda: writer is not None and not is_alive(writer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
