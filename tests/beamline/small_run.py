"""Documents of a small run as engine and fit write them, and its frames: what tests put into journals."""

import uuid

import h5py
import numpy as np

from microarpes.beamline.journal import JournalWriter

POINTS, WINDOWS, ENERGIES, ANGLES = 60, 2, 40, 30
STATUSES = np.array(["ok", "off-sample", "no-gap", "low-counts"], dtype="<U12")
TIME = 1.8e9


def number(units="", **more):
    return {"dtype": "number", "shape": [], "source": "test", "units": units} | more


def array(shape, kind="<f8", **more):
    return number(dtype="array", dtype_numpy=kind, shape=list(shape)) | more


def descriptor(run, name, keys):
    uid = str(uuid.uuid4())
    return uid, {"uid": uid, "run_start": run, "time": TIME, "name": name, "data_keys": keys,
                 "configuration": {}, "hints": {}, "object_keys": {}}  # fmt: skip


def event(stream, seq_num, data):
    return {"uid": str(uuid.uuid4()), "descriptor": stream, "seq_num": seq_num, "time": TIME + seq_num, "data": data,
            "timestamps": dict.fromkeys(data, TIME), "filled": {}}  # fmt: skip


def stop(run, **counts):
    return {"uid": str(uuid.uuid4()), "run_start": run, "time": TIME + 99, "exit_status": "success",
            "num_events": counts}  # fmt: skip


def raw_documents(run, folder, edc):
    """Yield the documents of a raster as the engine writes them; one calibration record, one event a point."""
    yield "start", {
        "uid": run, "time": TIME, "scan_id": 1, "plan_name": "gap_raster", "sample": {"id": "Bi2212-7"},
        "num_points": len(edc), "energy_axis": np.linspace(16.2, 16.4, ENERGIES), "frame_file": "frames.h5",
    }  # fmt: skip
    calibration, doc = descriptor(run, "calibration", {"ef": array([WINDOWS]), "row_shift": array([ANGLES], "<i8")})
    yield "descriptor", doc
    yield "event", event(calibration, 1, {"ef": np.array([16.35, 16.36]), "row_shift": np.arange(ANGLES)})
    keys = {"pixel": number(dtype="integer"), "manipulator_x": number("um"), "frame_id": number(dtype="integer"),
            "gate": number(dtype="string"), "total_counts": number(), "edc": array([WINDOWS, ENERGIES], units="counts"),
            "analyser_frame": array([ANGLES, ENERGIES], "<i4", external="STREAM:")}  # fmt: skip
    primary, doc = descriptor(run, "primary", keys)
    yield "descriptor", doc
    frames = str(uuid.uuid4())
    yield "stream_resource", {
        "uid": frames, "run_start": run, "data_key": "analyser_frame", "mimetype": "application/x-hdf5",
        "uri": f"file://localhost{folder / 'frames.h5'}",
        "parameters": {"dataset": "/entry/data/data", "chunk_shape": (1, ANGLES, ENERGIES)},
    }  # fmt: skip
    for i, counts in enumerate(edc):
        yield "stream_datum", {
            "uid": f"{frames}/{i}", "stream_resource": frames, "descriptor": primary,
            "indices": {"start": i, "stop": i + 1}, "seq_nums": {"start": i + 1, "stop": i + 2},
        }  # fmt: skip
        # An integer in a column of floats, as a device without a decimal point would give it.
        yield "event", event(primary, i + 1, {"pixel": i, "manipulator_x": 1.1 * i, "frame_id": 100 + i, "edc": counts,
                                              "gate": "accepted", "total_counts": int(counts.sum())})  # fmt: skip
    yield "stop", stop(run, primary=len(edc), calibration=1)


def derived_documents(run, original, delta):
    yield "start", {"uid": run, "time": TIME + 1, "plan_name": "gap_fit", "original_run_uid": original}
    keys = {"pixel": number(dtype="integer"), "delta": array([WINDOWS], units="meV"),
            "status": array([WINDOWS], "<U12"), "joint_delta": number("meV")}  # fmt: skip
    primary, doc = descriptor(run, "primary", keys)
    yield "descriptor", doc
    for i, gap in enumerate(delta):
        yield "event", event(primary, i + 1, {"pixel": i, "delta": gap, "joint_delta": float(gap[0]),
                                              "status": np.roll(STATUSES, i)[:WINDOWS]})  # fmt: skip
    yield "stop", stop(run, primary=len(delta))


def write_frames(folder, n, seed=5):
    frames = np.random.default_rng(seed).poisson(2.0, (n, ANGLES, ENERGIES)).astype("i4")
    with h5py.File(folder / "frames.h5", "w", libver="latest") as file:
        file["entry/data/data"] = frames
        file["entry/data/frame_id"] = 100 + np.arange(n)
    return frames


def write_journal(path, documents):
    journal = JournalWriter(path)
    for name, doc in documents:
        journal(name, doc)
    journal.close()
