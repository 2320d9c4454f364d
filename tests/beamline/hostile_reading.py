"""Reads damaged copies of the files of a folder in a process of its own, which has little memory and may crash.

One argument, the folder. Prints a line of JSON: how many copies of each file were read, how many refused, and what went
wrong. The copies are truncated, or have one byte changed, at places drawn with a seed of the file's name.
"""

import json
import resource
import signal
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from foreign_files import checked

from microarpes.beamline.guarded_hdf5 import TEXTS, own_dataset
from microarpes.beamline.moved_windows import DATASET, FRAME_ID, WindowError, open_frames, stored_flat_field
from microarpes.beamline.recordings import RecordingError, open_recording
from microarpes.sim.recording import RecordingError as NotServed
from microarpes.sim.recording import open_recording as open_served

#: Bytes beyond what the process has once all libraries are there; the files have some kB.
MEMORY = 256 * 2**20
TRUNCATIONS, FLIPS = 24, 60
#: s for one copy; a read takes some milliseconds.
DEADLINE = 60
#: How much of the beginning is header, where it is not the whole file.
HEADERS = {".ibw": 384, ".fits": 8640}


def damaged(path):
    data, rng = path.read_bytes(), np.random.default_rng(zlib.crc32(path.name.encode()))
    for end in sorted({0, 1, 2, 8, len(data) - 1, *rng.integers(0, len(data), TRUNCATIONS).tolist()}):
        yield f"cut to {end} of {len(data)}", data[:end]
    for place in rng.integers(0, HEADERS.get(path.suffix, len(data)), FLIPS).tolist():
        # One bit, or all of a byte: 0 and 255 make the sizes of a header very small, very large or negative.
        for byte in {data[place] ^ (1 << int(rng.integers(8))), 0, 255} - {data[place]}:
            flipped = data[:place] + bytes([byte]) + data[place + 1 :]
            yield f"byte {place} as {byte}", flipped
            if path.suffix == ".ibw":
                yield f"byte {place} as {byte}, checksum mended", checked(flipped)
    if path.suffix == ".ibw":
        for place in (*range(4, 64, 4), 76, *range(132, 148, 4)):  # sizes, number of points, dimensions
            for lie in (-1, 0, 1, 2**31 - 1, -(2**31), 65536):
                lying = data[:place] + struct.pack("<i", lie) + data[place + 4 :]
                yield f"size at {place} as {lie}", checked(lying)


def read(path):
    with open_recording(path) as (recording, frames):
        for i in range(recording.n_points):
            assert np.asarray(frames[i]).shape == recording.shape


def serve(path):
    """Take a recording as the simulated devices do."""
    recording = open_served(path)
    try:
        assert recording.frame(0).shape == (recording.angle.size, recording.energy.size)
    except OSError:
        pass  # a frame that cannot be read is told to the client that asked for it
    finally:
        recording.close()


def read_own(path):
    """Read the frame file of a run, also what was refused, as report, refit and page do."""
    with open_frames(path) as file:
        stored_flat_field(file, path)
        try:
            own_dataset(file, "entry/rejected/reason", path, TEXTS)[:]
            for row in range(len(file[FRAME_ID][:])):
                assert file[DATASET][row].ndim == 2
        except OSError as error:
            raise WindowError(str(error)) from None  # a table or a frame that cannot be read is told by who asks for it


READERS = {"served.h5": serve, "frames.h5": read_own}


def main(folder):
    opened = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    sources, report = sorted(folder.iterdir()), {}
    for path in sources:
        READERS.get(path.name, read)(path)  # loads every library, and shows that the undamaged file is read
    inside = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (inside + MEMORY, inside + MEMORY))
    work = folder.with_name("copies")
    work.mkdir()
    for source in sources:
        counts = report[source.name] = {"read": 0, "refused": 0, "wrong": []}
        target, reading = work / source.name, READERS.get(source.name, read)
        for what, data in damaged(source):
            target.write_bytes(data)
            opened.clear()
            signal.alarm(DEADLINE)
            print(source.name, what, file=sys.stderr)  # the last line is what a crash was of
            try:
                reading(target)
                counts["read"] += 1
            except (RecordingError, NotServed, WindowError) as error:
                counts["refused"] += 1
                if "\n" in str(error) or "MemoryError" in str(error):
                    counts["wrong"].append(f"{what}: {error}")
            except Exception as error:  # noqa: BLE001 - any is a finding
                counts["wrong"].append(f"{what}: {type(error).__name__} {error}")
            counts["wrong"] += [f"{what}: opened {name}" for name in opened if "copies" not in name]
            signal.alarm(0)
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
