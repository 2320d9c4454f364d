"""The text with which an operator holds a run, and how a request that cannot be granted is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Characters of a reason that are kept.
MAX_REASON = 300


class Refusal(Exception):
    """A request cannot be granted; the message is one line: what was asked, what was found, what to do."""


class OperatorHold:
    """Hold a run with a text that says why, until somebody lets it go.

    Attributes
    ----------
    text : str
        Empty where nobody holds it.
    """

    def __init__(self) -> None:
        self.text = ""

    def take(self, request: Mapping[str, Any]) -> None:
        """Hold with the ``text`` of a request, or refuse."""
        text = request.get("text")
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_REASON:
            raise Refusal(f"hold was asked without a text of up to {MAX_REASON} characters; say why the run is held")
        self.text = " ".join(text.split())

    def release(self) -> None:
        """Let the run go, or refuse."""
        if not self.text:
            raise Refusal("release was asked, nobody holds the run; ask for its state")
        self.text = ""
