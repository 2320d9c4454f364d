"""Before the catalog: declared types are kept or refused by name, frames stay inside the run, the later event wins."""

import numpy as np
import pytest

from microarpes.beamline.catalog_documents import CatalogDocuments, latest_only
from microarpes.beamline.catalog_folder import CatalogError


def declared(tmp_path, **keys):
    documents = CatalogDocuments(tmp_path / "run")
    documents.patches["descriptor"]({"uid": "d", "name": "primary", "data_keys": keys})
    return lambda **data: documents.patches["event"]({"descriptor": "d", "data": data})["data"]


def test_a_frame_file_is_followed_inside_the_run_only(tmp_path):
    resolve = CatalogDocuments(tmp_path / "run").patches["stream_resource"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link.h5").symlink_to("/etc/passwd")
    for uri in ("file://localhost/etc/passwd", "../other/frames.h5", "http://example.org/frames.h5", "link.h5"):
        with pytest.raises(CatalogError, match=r"outside the run|only files of this machine"):
            resolve({"uri": uri, "data_key": "analyser_frame"})
    inside = resolve({"uri": "frames.h5", "data_key": "analyser_frame"})
    assert inside["uri"] == f"file://localhost{tmp_path}/run/frames.h5"


def test_the_frames_of_a_run_that_was_moved_are_found_in_its_folder(tmp_path):
    resolve = CatalogDocuments(tmp_path / "a1b2").patches["stream_resource"]
    moved = resolve({"uri": "file://localhost/beamline/runs/a1b2/frames.h5", "data_key": "analyser_frame"})
    assert moved["uri"] == f"file://localhost{tmp_path}/a1b2/frames.h5"
    with pytest.raises(CatalogError, match="outside the run"):
        resolve({"uri": "file://localhost/beamline/runs/other/frames.h5", "data_key": "analyser_frame"})


def test_values_that_do_not_fit_their_declaration_are_refused_by_name(tmp_path):
    store = declared(tmp_path, status={"dtype": "array", "dtype_numpy": "<U12", "shape": [2]})
    assert store(status=["ok", "no-gap"])["status"].dtype == "<U12"
    with pytest.raises(CatalogError, match=r"'status' of type <U17 does not fit the declared <U12"):
        store(status=np.array(["ok", "hopelessly-noisy!"]))
    with pytest.raises(CatalogError, match=r"shape \[3\]; its descriptor says \[2\]"):
        store(status=np.array(["ok", "ok", "ok"]))
    with pytest.raises(CatalogError, match="'edc' in stream 'primary' declares no dtype_numpy"):
        declared(tmp_path, edc={"dtype": "array", "shape": [2, 400]})


def test_a_number_without_a_decimal_point_stays_a_float(tmp_path):
    # A table takes its column types from the first rows; 35 then 35.5 would be refused later, or cut.
    stored = declared(tmp_path, delta={"dtype": "number", "shape": []}, pixel={"dtype": "integer", "shape": []})
    data = stored(delta=35, pixel=np.int32(7))
    assert (type(data["delta"]), type(data["pixel"])) == (float, int)


def test_the_later_of_two_events_with_one_number_is_kept_in_each_stream():
    sequence = [("p", 1, 1), ("c", 1, 2), ("p", 2, 3), ("p", 1, 4), ("p", 3, 5)]
    documents = [
        ("descriptor", {"uid": "p", "name": "primary"}),
        ("descriptor", {"uid": "c", "name": "calibration"}),
        *[("event", {"descriptor": s, "seq_num": n, "value": v}) for s, n, v in sequence],
        ("stop", {}),
    ]
    kept = list(latest_only(lambda: documents))
    assert [doc["value"] for name, doc in kept if name == "event"] == [2, 3, 4, 5]
    assert [name for name, _ in kept if name != "event"] == ["descriptor", "descriptor", "stop"]


def test_what_tiled_renames_in_a_descriptor_is_still_known_by_its_name(tmp_path):
    # Tiled reserves `time`, which a calibration record has: it renames it in the descriptor it was given back, and in
    # an event only after this has seen it.
    documents = CatalogDocuments(tmp_path / "run")
    patched = documents.patches["descriptor"](
        {"uid": "d", "name": "calibration", "data_keys": {"time": {"dtype": "number", "shape": []}}}
    )
    patched["data_keys"]["time_"] = patched["data_keys"].pop("time")
    assert documents.patches["event"]({"descriptor": "d", "data": {"time": 3}})["data"] == {"time": 3.0}
