"""The shape of a raster in a file of its own, JSON or TOML, as ``start["raster_shape"]`` has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from microarpes.beamline.config import ConfigError, read_toml
from microarpes.plans.shapes import SHAPES, Shape


def load_shape(path: Path) -> Shape:
    """Read and validate a shape.

    Raises
    ------
    ConfigError
        No such file, neither JSON nor TOML, or no shape; file, key and value are named, all that is wrong at once.
    """
    data = _json(path) if path.suffix.lower() == ".json" else read_toml(path, "the shape")
    try:
        return SHAPES.validate_python(data)
    except ValidationError as error:
        told = dict.fromkeys(_explain(problem) for problem in error.errors())
        raise ConfigError(f"{path}: " + "; ".join(told)) from None
    except RecursionError:
        raise ConfigError(f"{path}: unions within unions, too deep to be read") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"the shape {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, too deep
        raise ConfigError(f"{path} is not JSON: {error}") from None


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "the shape"
    message = problem["msg"].removeprefix("Value error, ")
    plain = isinstance(problem["input"], str | int | float | None)
    return f"{key}: {message}" + (f" (found {problem['input']!r})" if plain else "")
