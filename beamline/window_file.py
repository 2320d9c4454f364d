"""Windows in a file of their own: ``[[windows]]`` as in the configuration, saved on the page, taken by a later run."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from microarpes.beamline.config import ConfigError, read_toml, validated
from microarpes.beamline.config_sections import Windows
from microarpes.devices.region import AngleWindow

#: What a name may be: it becomes part of a file's name.
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)


class WindowFile(BaseModel):
    """All that such a file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: Windows


class SaveRefused(ValueError):
    """The windows were not saved; the message says why and what to do."""


def load_windows(path: Path) -> tuple[AngleWindow, ...]:
    """Read and validate a file of windows.

    Raises
    ------
    ConfigError
        No such file, not TOML, another key than ``windows``, or no valid windows; file, key and value are named.
    """
    data = read_toml(path, "the file of windows")
    for key in data.keys() - {"windows"}:
        found = data[key] if isinstance(data[key], (str, int, float)) else "..."
        raise ConfigError(
            f"{path}: unknown key {key} = {found!r}; a file of windows holds [[windows]] with name, angle_low and "
            "angle_high, and nothing else"
        )
    if "windows" not in data:
        raise ConfigError(f"{path}: windows is missing; give [[windows]] with name, angle_low and angle_high in deg")
    return validated(WindowFile, data, str(path)).windows


def windows_toml(windows: Sequence[AngleWindow], comments: Sequence[str] = ()) -> str:
    """Return the text of a file of windows; read again, it gives the very same numbers.

    Parameters
    ----------
    windows : sequence of AngleWindow
    comments : sequence of str
        Lines put on top; what cannot be printed becomes a blank.
    """
    lines = [f"# {''.join(c if c.isprintable() else ' ' for c in comment)}" for comment in comments]
    for window in windows:
        # A JSON string is a TOML string but for DEL, and repr of a float is a TOML float: no library is needed for it.
        name = json.dumps(window.name, ensure_ascii=False).replace("\x7f", "\\u007F")
        lines += ["", "[[windows]]", f"name = {name}"]
        lines += [f"angle_low = {float(window.angle_low)!r}", f"angle_high = {float(window.angle_high)!r}"]
    return "\n".join(lines).lstrip("\n") + "\n"


def save_windows(directory: Path, name: str, text: str) -> Path:
    """Write ``windows-NAME.toml``, whole or not at all, and never over one that says something else.

    Parameters
    ----------
    directory : Path
    name : str
        Letters, digits, ``-`` and ``_``, at most 40.
    text : str
        Of `windows_toml`.

    Raises
    ------
    SaveRefused
        The name is none, or the file is there already with another content, or cannot be written.
    """
    if NAME.fullmatch(name) is None:
        raise SaveRefused(f"{name[:60]!r} is no name for windows: letters, digits, - and _, at most 40 of them")
    path = Path(directory) / f"windows-{name}.toml"
    part = None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=directory, prefix=".windows-", suffix=".part", delete=False) as file:
            part = Path(file.name)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        os.link(part, path)  # a rename would take the place of a file that came meanwhile; a link does not
    except FileExistsError:
        return _same(path, text)
    except OSError as error:
        raise SaveRefused(f"{path} was not written: {error.strerror or error}") from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return path


def _same(path: Path, text: str) -> Path:
    try:
        same = path.read_bytes() == text.encode()
    except OSError:
        same = False
    if not same:
        raise SaveRefused(f"{path.name} is there already and says something else; choose another name")
    return path
