"""The first parts of a report: what was measured, and what came out of it."""

from __future__ import annotations

from microarpes.analysis.ageing import ageing_of
from microarpes.beamline.control_fits import ageing_sentences, trend_rows
from microarpes.beamline.kept_mask import KeptMaskError, read_mask
from microarpes.beamline.pixel_classes import class_of
from microarpes.beamline.report_material import (
    NOTHING,
    Material,
    Section,
    Table,
    clock,
    count,
    milliseconds,
    number,
    part,
    told,
)
from microarpes.beamline.stored_figures import sample_id

#: How a verdict that has no class of its own is told.
_OK = "gap at k_F"


def heading(material: Material) -> list[tuple[str, ...]]:
    """Return what a logbook begins with: sample, operator, beamline, when, how it ended, how far it came."""
    start, stop = material.start, material.run.stop
    end = clock(stop.get("time")) if stop is not None else ""
    sample = part(start, "sample")
    return told(
        [
            ("sample", sample_id(start) or NOTHING),
            ("cleaved", sample.get("cleave_time")),
            ("operator", start.get("operator") or "not named"),
            ("beamline", start.get("beamline")),
            ("recording", part(start, "recording").get("title")),
            ("started", clock(start.get("time"))),
            ("ended", end),
            ("exit status", ending(material)),
            ("pixels", f"{material.numbers['n_acquired']} of {material.numbers['n_points']} measured"),
            ("run", start.get("uid")),
        ]
    )


def ending(material: Material) -> str:
    """Return how the run ended, with its reason."""
    stop = material.run.stop
    if stop is None:
        return "no stop document: the run was cut off or is still being taken"
    reason = str(stop.get("reason") or "")
    return f"{stop.get('exit_status', 'unknown')}" + (f": {reason}" if reason else "")


def results(material: Material) -> Section:
    """Tell the figures of the run, in words and as a table."""
    tables = [_verdict_table(material), *_gap_tables(material), _time_table(material), _interruptions(material)]
    return Section("Results", _sentences(material), [table for table in tables if table.rows])


def _sentences(material: Material) -> list[str]:
    numbers = material.numbers
    said = [
        f"{numbers['n_acquired']} of {count(numbers['n_points'], 'pixel')} were measured; "
        f"{numbers['n_ok']} of them have a gap at k_F."
    ]
    if held := material.run.interruptions:
        said.append(
            f"The run was held up {count(len(held), 'time')}, for {number(material.run.held_up(), 1)} s in all."
        )
    if numbers["delta_mean"] is None:
        said.append("There is no pixel with a gap.")
    else:
        over = "scored pixels with a gap" if numbers["n_scored"] is not None else "pixels with a gap"
        said.append(
            f"Over the {over}, the gap at k_F is {number(numbers['delta_mean'])} meV in the mean and scatters by "
            f"{number(numbers['delta_std'])} meV (standard deviation); the statistical error of one pixel is "
            f"{number(numbers['delta_stderr_median'])} meV (median, one sigma)."
        )
    if numbers["n_scored"] is not None:
        said.append(
            f"The sample is simulated and its gap is known: {numbers['n_scored_ok']} of "
            f"{count(numbers['n_scored'], 'scored pixel')} have a gap, the rms error is "
            f"{number(numbers['delta_rms_error'])} meV where {number(numbers['delta_stderr_rms'])} meV was claimed, "
            f"and the pull width is {number(numbers['pull_std'])} (1 for honest error bars)."
        )
    if material.derived:
        said.append(
            f"Fitted with model {material.derived.get('model')}, gamma0 {material.derived.get('gamma0')}, engine "
            f"{material.derived.get('engine')}{_depth(material)}. A gap at k_F may have more than one cause; the fit "
            "does not tell them apart."
        )
    return said + _mask_sentences(material)


def _depth(material: Material) -> str:
    depth = material.derived.get("fit_depth")
    return "" if depth is None else f", no deeper than {1e3 * float(depth):g} meV below the gap"


def _mask_sentences(material: Material) -> list[str]:
    """Mention a mask that is kept with the run; no number of the report goes by it."""
    try:
        mask = read_mask(material.run.folder)
    except KeptMaskError as error:
        return [str(error)]
    if mask is None:
        return []
    return [
        f"Mask kept: {count(len(mask.pixels), 'pixel')}, {mask.limits}, by {mask.kept_by} on {mask.kept_on}; the "
        "figures and maps of this report hold all pixels."
    ]


def _verdict_table(material: Material) -> Table:
    rows: list[tuple[str, ...]] = []
    for verdict, pixels in material.numbers["status_counts"].items():
        kind = class_of(verdict)
        rows.append((verdict, str(pixels), _OK if verdict == "ok" else kind.label if kind else ""))
    missing = material.numbers["n_points"] - material.numbers["n_acquired"]
    if missing:
        rows.append(("none", str(missing), "not measured"))
    return Table("Verdicts of the fit", ("verdict", "pixels", "on the map"), rows)


def _gap_tables(material: Material) -> list[Table]:
    numbers = material.numbers
    rows: list[tuple[str, ...]] = []
    for key, name, digits, unit in (
        ("delta_mean", "gap at k_F, mean", 2, "meV"),
        ("delta_std", "gap at k_F, spread (standard deviation)", 2, "meV"),
        ("delta_stderr_median", "statistical error of a pixel, median", 2, "meV"),
        ("delta_rms_error", "rms error against the truth", 2, "meV"),
        ("delta_bias", "bias against the truth", 2, "meV"),
        ("truth_correlation", "correlation with the truth", 3, "1"),
        ("pull_std", "pull width", 2, "1"),
    ):
        if numbers.get(key) is not None:
            rows.append((name, number(numbers[key], digits), unit))
    return [Table("Gap", ("quantity", "value", "unit"), rows)]


def _time_table(material: Material) -> Table:
    numbers = material.numbers
    whole, each = ("all fits", "fits") if "derived_run_uid" in numbers else ("whole run", "points")
    rows: list[tuple[str, ...]] = [
        (whole, number(numbers["elapsed_s"], 1), NOTHING, "s"),
        (f"{each} per second", number(numbers["points_per_s"]), NOTHING, "1/s"),
        ("dead time a point", milliseconds(numbers["dead_time_per_point_s"]), milliseconds(numbers["dead_time_p99_s"]),
         "ms"),
    ]  # fmt: skip
    for name, took in numbers["dead_time_parts_s"].items():
        rows.append((f"of which {name}", milliseconds(took["median"]), milliseconds(took["p99"]), "ms"))
    rows.append(("fit behind the event (p95)", milliseconds(numbers["fit_latency_p95_s"]), NOTHING, "ms"))
    known = [row for row in rows if row[1] != NOTHING]
    return Table("Times (of a point: median)", ("time", "value", "99th percentile", "unit"), known)


def ageing(material: Material) -> Section | None:
    """Tell whether the control pixels changed; None for a run without any."""
    if not material.looks:
        return None
    found = ageing_of(material.looks)
    head = ("quantity", "against", "slope", "sigma", "p", "with the other", "correlation", "looks")
    table = Table("Slopes of the control pixels, with the errors of their fits", head, trend_rows(found.trends))
    return Section("Ageing", ageing_sentences(found), [table] if table.rows else [])


def _interruptions(material: Material) -> Table:
    rows: list[tuple[str, ...]] = [
        (clock(each["began"]), each["guard"], each["reason"], number(each["duration"], 1))
        for each in material.run.interruptions
    ]
    return Table("What held the run up", ("began", "guard", "reason", "s"), rows)
