"""Small files in the layouts that are read for replay, made here; each call of a writer returns what was written."""

import math
import struct

import h5py
import numpy as np

ENERGIES, ANGLES = 24, 5
ENERGY = 95.5 + 0.01 * np.arange(ENERGIES)
ANGLE = -2.0 + 1.0 * np.arange(ANGLES)
NOTE = (
    "[SES]\rRegion Name=cut\rLens Mode=A30\rPass Energy=20\rExcitation Energy=100.5\rEnergy Scale=Kinetic\r"
    "Time per Spectrum Channel=2.5\rSpectrum Name=STO\rSample=a metal\r[Manipulator]\rX=1.5\rPass Energy=99\r"
)
SES_AXES = (("Kinetic Energy [eV]", 95.5, 0.01), ("Y-Scale [deg]", -2.0, 1.0))


def counts_of(*scan, seed=1):
    return np.random.default_rng(seed).poisson(50.0, (*scan, ANGLES, ENERGIES)).astype(np.int32)


def checked(wave):
    """The bytes of a wave with the checksum that its headers need."""
    words = np.frombuffer(bytes(wave[:2]) + b"\0\0" + bytes(wave[4:384]), "<i2").astype(int)
    return bytes(wave[:2]) + struct.pack("<H", -int(words.sum()) % 2**16) + bytes(wave[4:])


def ibw(data, axes, note=NOTE, short_units=()):
    """An Igor wave of version 5; `axes` are (label, first, step) of each dimension of `data`, energy first."""
    data = np.asarray(data, "<f4")
    labels = [label.encode() for label, _, _ in axes] + [b""] * (4 - len(axes))
    scaling = [*axes, *[("", 0.0, 1.0)] * (4 - len(axes))]
    shape = [*data.shape, *[0] * (4 - data.ndim)]
    sizes = [320 + data.nbytes, 0, len(note), 0, *map(len, labels), 0, 0, 0, 0, 0, 0, 0]
    units = b"".join(unit.encode().ljust(4, b"\0") for unit in (*short_units, *[""] * (4 - len(short_units))))
    wave_header = struct.pack("<iIIihh6xh32sii4i", 0, 0, 0, data.size, 2, 0, 1, b"wave", 0, 0, *shape)
    wave_header += struct.pack("<8d", *(step for _, _, step in scaling), *(first for _, first, _ in scaling))
    wave_header = (wave_header + b"\0" * 4 + units).ljust(320, b"\0")
    head = struct.pack("<hh15i", 5, 0, *sizes)
    return checked(head[:64] + wave_header + data.tobytes("F") + note.encode() + b"".join(labels))


def write_ibw(path, *places, **options):
    """A wave over energy, angle and `places`, (label, first, step, count) from fast to slow."""
    counts = counts_of(*(count for *_, count in reversed(places)))
    data = counts.transpose(*reversed(range(counts.ndim)))
    path.write_bytes(ibw(data, [*SES_AXES, *(place[:3] for place in places)], **options))
    return counts.reshape(-1, ANGLES, ENERGIES)


def write_i05(path, scan=(1,), places=(("instrument/manipulator/sax", 2.244, "mm"),), **replaced):
    counts = counts_of(*scan)
    parts = {
        "analyser/data": counts, "analyser/angles": ANGLE, "analyser/energies": np.tile(ENERGY, (scan[0], 1)),
        "instrument/monochromator/energy": [100.5], "instrument/analyser/pass_energy": [20],
        "instrument/analyser/lens_mode": ["L4"], "instrument/analyser/acquire_time": [0.5],
        "sample/temperature": [10.7],
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, values in (parts | replaced).items():
            file[f"entry1/{name}"] = values
        for name, values, units in places:
            file[f"entry1/{name}"] = values
            file[f"entry1/{name}"].attrs["units"] = np.bytes_(units)
    return counts.reshape(-1, ANGLES, ENERGIES)


def write_merlin(path, scale="Kinetic", first=95.5, step=0.01, **attributes):
    counts = counts_of().astype(np.uint32)
    with h5py.File(path, "w") as file:
        file["2Ddata/Spectrum"] = counts
        scaling = [[step, first], [1.0, -2.0]]
        axes = {"AxisNames": "Energy,Det. Angle", "AxisUnits": "eV,degree", "AxisScaling": scaling}
        file["2Ddata/Spectrum"].attrs.update(axes | attributes)
        detector = {"Lens Mode": "Angular30", "Pass Energy": np.int16(20), "Energy Scale": scale}
        for name, told in (
            ("Detector", detector),
            ("Source", {"BL Energy": 100.5}),
            ("Sample", {"Temperature A": 10.7}),
        ):
            file.create_group(f"2Ddata/{name}").attrs.update(told)
    return counts


def write_exported(path, pixels=((0, 1, -1), (2, 3)), **replaced):
    """The parts of our own export that are read, over a map of 2 x 2 pixels, from as many runs as `pixels` names."""
    detector = "instrument/electronanalyzer/electron_detector"
    parts = {
        "instrument/beam_probe/incident_energy": 100.5,
        "instrument/electronanalyzer/energydispersion/pass_energy": 10.0,
        "pixels/live_time": np.full((2, 2), 0.5),
        "pixels/manipulator_x": [[0.0, 10.0], [0.1, 10.1]],
        "pixels/manipulator_y": [[5.0, 5.0], [9.0, 9.0]],
    }
    sets = [counts_of(len(each), seed=number) for number, each in enumerate(pixels)]
    for number, (each, counts) in enumerate(zip(pixels, sets, strict=True)):
        place = f"{detector}/raw_data_{number + 1}" if number else f"{detector}/raw_data"
        named = {"raw": counts, "pixel": np.array(each), "energy": ENERGY, "angular0": ANGLE}
        parts |= {f"{place}/{name}": values for name, values in named.items()}
    with h5py.File(path, "w") as file:
        for name, values in (parts | replaced).items():
            file[f"entry/{name}"] = values
        for axis in "xy":
            file[f"entry/pixels/manipulator_{axis}"].attrs["units"] = "um"
    return sets


def npz_parts(points=6, **replaced):
    columns, rows = math.ceil(points / 2), np.arange(points)
    parts = {
        "frames": counts_of(points), "energy": ENERGY, "angle": ANGLE, "x": 10.0 * (rows % columns),
        "y": 10.0 * (rows // columns), "i0": np.full(points, 0.9), "photon_energy": 100.5, "pass_energy": 20.0,
        "acquire_time": 0.5, "temperature": 12.0, "lens_mode": "A30",
    }  # fmt: skip
    return {name: values for name, values in (parts | replaced).items() if values is not None}


def write_npz(path, compressed=False, **options):
    parts = npz_parts(**options)
    (np.savez_compressed if compressed else np.savez)(path, **parts)
    return parts["frames"]
