"""Where k_F was found in each pixel: the part of a report that only runs have whose windows follow it."""

from __future__ import annotations

import io
from collections import Counter

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from microarpes.analysis.k_f_centre import FAR
from microarpes.analysis.k_f_verdict import NO_K_F, UNKNOWN
from microarpes.beamline.pixel_classes import robust_levels
from microarpes.beamline.raster_view import RasterView
from microarpes.beamline.report_material import Figure, Material, Section, Table, count, mean_and_range, number
from microarpes.beamline.report_spectra import embedded

#: What a status says to who reads the report.
_MEANING = {
    "ok": "windows moved by it",
    "far": f"windows moved by it, by more than {FAR:g} deg",
    "flat": "the frame is the same at all angles",
    "lost": "the frame is no mirror image of itself",
    "outside": "not within the frame, or on dead rows",
    "no-frame": "no frame was found",
    "bad-input": "the frame or its calibration cannot be used",
    "flat-field": "no flat field lies beside the frames",
}


def k_f_centres(material: Material) -> Section | None:
    """Tell and draw the middle between +k_F and -k_F of all pixels; None where the windows did not follow it."""
    gap_map = material.run.gap_map
    if gap_map is None or not (gap_map.k_f_status != "").any():
        return None
    centre, error = gap_map.k_f_centre, gap_map.k_f_centre_error
    mean, least, greatest = mean_and_range(centre.ravel(), 3)
    found = int(np.isfinite(centre).sum())
    said = [
        f"The windows of each pixel follow the mirror centre of its frame; it was found in {count(found, 'pixel')}: "
        f"{mean} deg in the mean, {least} to {greatest} deg, with an error of "
        f"{number(np.nanmedian(error) if found else np.nan, 3)} deg (median, one sigma)."
    ]
    left_out = int((gap_map.joint_status == NO_K_F).sum())
    if left_out:
        said.append(
            f"{count(left_out, 'pixel')} with a gap but without a centre: {NO_K_F}. There the windows lie as planned, "
            "wherever k_F is; the gap is hatched on the maps and in none of their statistics, its systematic error "
            f"that of a centre known to {UNKNOWN:g} deg."
        )
    statuses = Counter(str(status) for status in gap_map.k_f_status.ravel() if status)
    rows: list[tuple[str, ...]] = [(name, str(n), _MEANING.get(name, "")) for name, n in statuses.most_common()]
    figures = []
    if found:
        caption = (
            "Middle between +k_F and -k_F, deg of the slit. A face that waves, or a sample that turns, is seen here."
        )
        alt = f"Map of the k_F centre, {least} to {greatest} deg."
        figures = [Figure(embedded(_drawn(RasterView.of(material.start["grid"]), centre), "image/png"), alt, caption)]
    return Section("k_F in every pixel", said, [Table("k_F centre", ("status", "pixels", "meaning"), rows)], figures)


def _drawn(raster: RasterView, centre: NDArray[np.float64]) -> bytes:
    values = raster.upright(centre)
    low, high = robust_levels(values, 0.0)
    with mpl.rc_context({"font.size": 9.0, "axes.linewidth": 0.7}):
        drawing = Drawing(figsize=(4.6, 3.6), dpi=130, layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.subplots()
        image = axes.imshow(
            values, origin="lower", extent=raster.extent, interpolation="none", cmap="viridis", vmin=low, vmax=high
        )
        drawing.colorbar(image, ax=axes).set_label("k_F centre (deg)")
        axes.set_xlabel("x (µm)")
        axes.set_ylabel("y (µm)")
        made = io.BytesIO()
        drawing.savefig(made, format="png")
    return made.getvalue()
