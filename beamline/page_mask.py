"""Keeping the mask of the page with the run: for who has the operator's token."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from bokeh.models import Button, ImportedStyleSheet, TextInput

from microarpes.beamline.kept_mask import KeptMask, write_mask
from microarpes.beamline.page_choices import Choices
from microarpes.beamline.page_operator import OperatorPanel


class MaskKeeper:
    """A button that keeps the thresholds of a viewer, and the pixels that they mask, in the run's folder.

    Parameters
    ----------
    choices : Choices
    operator : OperatorPanel
        Of the same viewer: says whether the button is open, and what became of it.
    theme : str
    """

    def __init__(self, choices: Choices, operator: OperatorPanel, theme: str) -> None:
        self.choices, self.operator = choices, operator
        look: dict[str, Any] = {"stylesheets": [ImportedStyleSheet(url="/assets/page.css")], "css_classes": [theme]}
        name = str((choices.feed.start or {}).get("operator") or "")
        self.name = TextInput(title="your name", value=name, width=130, **look)
        self.button = Button(label="keep this mask with the run", width=265, **look)
        self.button.on_click(self._keep)

    @property
    def roots(self) -> dict[str, Any]:
        """Widgets by name."""
        return {"mask_name": self.name, "mask_keep": self.button}

    def _keep(self) -> None:
        mask = self._mask()

        def keep() -> str:
            try:
                write_mask(self.choices.feed.folder, mask)
            except OSError as error:
                return f"the mask was not kept: {error}"
            self.choices.kept = mask
            return f"mask kept with the run: {len(mask.pixels)} pixels, {mask.limits}"

        self.operator.carry_out("the mask", keep)

    def _mask(self) -> KeptMask:
        """Return what the viewer's thresholds mask now."""
        choices = self.choices
        return KeptMask(
            uid=choices.feed.uid,
            max_error=choices.max_error,
            max_goodness=choices.max_goodness,
            pixels=tuple(np.flatnonzero(choices.masked()).tolist()),
            n_pixels=int((choices.feed.status == "ok").sum()),
            kept_by=self.name.value.strip() or "not named",
            time=time.time(),
        )
