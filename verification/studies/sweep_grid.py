"""A grid of settings in TOML: the table [grid], whose keys hold a value, a list or a range; cells are their product."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import FileFormatError, InvalidParameterError
from refimpl.files import read_text
from refimpl.flow import METHODS
from refimpl.preparation import STEPS
from refimpl.validation import as_choice, as_count, as_nonnegative, as_number, as_positive, as_unit_interval
from verification.studies.sweep_cells import GENERATORS, WORK, read_file

__all__ = ["KEYS", "MOST_CELLS", "Key", "cells_of", "read_grid"]

MOST_CELLS = 1_000_000
"""A larger product is refused before it is formed."""


@dataclass(frozen=True)
class Key:
    """One key of the table.

    Attributes
    ----------
    meaning : str
    check : callable
        (name, value) -> the value, or InvalidParameterError.
    used : callable
        Whether a cell with these other settings has it.
    default : object
        ... if it has to be given, None if the cell goes without.
    whole : bool
        Whether {start, stop} counts in steps of 1.
    """

    meaning: str
    check: Callable[[str, Any], Any]
    used: Callable[[dict[str, Any]], bool] = lambda settings: True
    default: Any = ...
    whole: bool = False


def _generated(settings: dict[str, Any]) -> bool:
    return settings["data"] in GENERATORS  # which a file is not, whatever its name


def _taken_by(option: str) -> Callable[[dict[str, Any]], bool]:
    return lambda settings: option in GENERATORS.get(settings["data"], ())


def _is(*whats: str) -> Callable[[dict[str, Any]], bool]:
    return lambda settings: settings["what"] in whats


def _at_least(minimum: int) -> Callable[[str, Any], int]:
    return lambda name, value: as_count(name, value, minimum)


def _loss(name: str, value: Any) -> str:
    return as_choice(name, value, ("logistic", "exponential", "hinge"))


def _claim(name: str, value: Any) -> str:
    """Ids separated by commas, each once, in the order of the report, so that equal choices are equal cells."""
    from verification.claims import CLAIMS

    known = [claim.id for claim in CLAIMS]
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
    wanted = {as_choice(name, part, known) for part in parts}
    return ",".join(one for one in known if one in wanted)


def _data(name: str, value: Any) -> str | FileOfData:
    if isinstance(value, dict):
        return FileOfData.from_table(name, value)
    if not isinstance(value, str) or not value:
        raise InvalidParameterError(name, f"be one of {', '.join(GENERATORS)}, or a file", value)
    return value if value in GENERATORS else FileOfData(value)


@dataclass(frozen=True)
class FileOfData:
    """A file of data, and how it is read: {file = "X.npy", labels = "y.npy"}, with the options of `verify --data`.

    They are those on how it is read, and the steps of preparation: {file = "a.csv", standardize = true}.
    """

    file: str
    how: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def from_table(cls, name: str, table: dict[str, Any]) -> FileOfData:
        """The inline table of a grid.

        Examples
        --------
        >>> FileOfData.from_table("grid.data", {"file": "iris.csv", "classes": ["setosa", "virginica"]})
        FileOfData(file='iris.csv', how=(('classes', ('setosa', 'virginica')),))
        """
        kinds = {"file": (str,), "labels": (str,), "header": (bool,), "label_column": (str, int)}
        kinds |= {"positive_label": (str, int, float), "classes": (list,), "drop_column": (str, int, list)}
        kinds |= dict.fromkeys(STEPS, (bool,))
        for key, value in table.items():
            if key not in kinds:
                raise InvalidParameterError(name, f"hold {', '.join(kinds)} where it is a table", key)
            if not isinstance(value, kinds[key]) or (isinstance(value, bool) and bool not in kinds[key]):
                words = " or ".join(
                    {"bool": "true or false", "str": "a text"}.get(k.__name__, k.__name__) for k in kinds[key]
                )
                raise InvalidParameterError(f"{name}.{key}", f"be {words}", value)
        if not table.get("file"):
            raise InvalidParameterError(f"{name}.file", "be given", table.get("file"))
        if "classes" in table and len(table["classes"]) != 2:
            raise InvalidParameterError(f"{name}.classes", "be two labels", table["classes"])
        how: dict[str, Any] = {k: tuple(map(str, v)) if isinstance(v, list) else v for k, v in table.items()}
        how = {k: v for k, v in how.items() if k not in STEPS or v}
        return cls(how.pop("file"), tuple(how.items()))

    def settings(self, folder: Path) -> dict[str, Any]:
        """What a cell knows of it: where it lies, how it is read and prepared, and what it then holds."""
        how: dict[str, Any] = {key: list(value) if isinstance(value, tuple) else value for key, value in self.how}
        if "labels" in how:
            how["labels"] = str(folder / how["labels"])
        path = folder / self.file
        found: dict[str, Any] = {"data": str(path), "data_sha256": read_file(path, how).sha256}
        return found | {"read": how} if how else found


KEYS: dict[str, Key] = {
    "what": Key("flow, descend or verify", lambda name, value: as_choice(name, value, list(WORK)), default="flow"),
    "data": Key("a generator of refimpl.datasets, or a file or {file, ...}, sought from the folder of the grid", _data),
    "samples": Key("n", _at_least(1), _generated, whole=True),
    "dimension": Key("d", _at_least(1), _generated, whole=True),
    "norm_ratio": Key("R of gaussian and nearly_orthogonal", as_positive, _taken_by("norm_ratio"), 1.0),
    "mean_norm": Key("‖μ‖ of gaussian_mixture", as_nonnegative, _taken_by("mean_norm")),
    "noise": Key("noise of gaussian_mixture", as_positive, _taken_by("noise"), 1.0),
    "flip_probability": Key("of gaussian_mixture", as_unit_interval, _taken_by("flip_probability"), 0.0),
    "correlation": Key("ρ of correlated", as_unit_interval, _taken_by("correlation")),
    "slack": Key("wanted slack of nearly_orthogonal", as_positive, _taken_by("slack")),
    "slope": Key("γ", as_unit_interval),
    "width": Key("m, half of the neurons of each sign (one more positive if m is odd)", _at_least(1), whole=True),
    "positive": Key("m₁", _at_least(0), default=8, whole=True),
    "negative": Key("m₂", _at_least(0), default=8, whole=True),
    "init_scale": Key("scale of W(0) in units of 1/R_max; factor of the three scales of verify", as_positive),
    "loss": Key("logistic or exponential; for descend also hinge", _loss, default="logistic"),
    "method": Key(
        "piecewise or adaptive flow",
        lambda name, value: as_choice(name, value, METHODS),
        _is("flow", "verify"),
        "piecewise",
    ),
    "seed": Key("of every draw", _at_least(0), default=0, whole=True),
    "start": Key("number of the start on the same data", _at_least(0), _is("flow", "descend"), 0, whole=True),
    "step_size": Key("α of the descents (default: n/(R_max² Σa²))", as_positive, _is("descend", "verify"), None),
    "steps": Key("of a descent; at least 10 for verify", _at_least(1), _is("descend", "verify"), whole=True),
    "claim": Key(
        "the ids, separated by commas, of the claims to check; nothing else is computed (default: all)",
        _claim,
        _is("verify"),
        None,
    ),
    "time_limit": Key(
        "seconds for one cell; what it leaves undone depends on the machine",
        as_positive,
        _is("flow", "verify"),
        None,
    ),
}
"""Every key, in the order of the columns."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "flow": {"init_scale": 1e-2},
    "descend": {"init_scale": 1e-2, "steps": 300},
    "verify": {"init_scale": 1.0, "steps": 500},
}
"""Those that depend on what a cell is; the commands have the same."""


def read_grid(path: str | Path) -> list[dict[str, Any]]:
    """The cells of a grid file, as settings for `sweep`.

    Raises
    ------
    FileFormatError
        If the file is not TOML, or a file of data in it cannot be read.
    InvalidParameterError
        If it is no grid: one sentence with the key and its value.
    """
    try:
        document = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FileFormatError(path, f"it is not TOML ({error})".rstrip(".")) from error
    others = [name for name in document if name != "grid"]
    if others:
        raise FileFormatError(path, f"it may hold the table [grid] only, not `{others[0]}`")
    if not isinstance(document.get("grid"), dict):
        raise FileFormatError(path, "it has no table [grid]")
    return cells_of(document["grid"], Path(path).resolve().parent)


def cells_of(grid: dict[str, Any], folder: str | Path = ".") -> list[dict[str, Any]]:
    """The product of the values of all keys, each cell with all of its settings.

    A key that a cell has no use for (`correlation` where data are gaussian) is left out of it, and equal cells are one.

    Parameters
    ----------
    grid : dict
        Keys of `KEYS` -> a value, a list of them, `{"start": a, "stop": b}` (whole numbers from a up to b, not b, in
        steps of "step"), or `{"start": a, "stop": b, "count": k}` (k numbers from a to b, with "log": True in equal
        ratios).
    folder : path
        From which files of data are sought.

    Returns
    -------
    list of dict

    Raises
    ------
    InvalidParameterError, FileFormatError

    Examples
    --------
    >>> grid = {"data": ["gaussian", "correlated"], "samples": 4, "dimension": 100, "correlation": [0.1, 0.5]}
    >>> cells = cells_of(grid | {"slope": 0.5, "width": 5, "seed": {"start": 0, "stop": 10}})
    >>> len(cells), cells[0]["positive"], cells[0]["negative"], "correlation" in cells[0]
    (30, 3, 2, False)
    >>> try:
    ...     cells_of(grid | {"slop": 0.5})
    ... except InvalidParameterError as error:
    ...     print(error)
    `grid` must hold known keys (did you mean `slope`?); got 'slop'.
    """
    _check_names(grid)
    axes = {name: _axis(name, grid[name]) for name in KEYS if name in grid}
    _check_size(axes)
    files = _files(axes.get("data", ()), Path(folder))
    cells: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for values in product(*axes.values()):
        cell = _cell(dict(zip(axes, values, strict=True)), files)
        used |= cell.keys()
        cells.setdefault(repr(cell), cell)
    _check_use(grid, used)
    return list(cells.values())


def _check_names(grid: dict[str, Any]) -> None:
    for name in grid:
        if name not in KEYS:
            near = difflib.get_close_matches(name, KEYS, 1, 0.5)
            hint = f"did you mean `{near[0]}`?" if near else f"they are {', '.join(KEYS)}"
            raise InvalidParameterError("grid", f"hold known keys ({hint})", name)
    if "width" in grid and ("positive" in grid or "negative" in grid):
        raise InvalidParameterError("grid.width", "be left out where positive or negative are given", grid["width"])
    for name in ("data", "slope"):
        if name not in grid:
            raise InvalidParameterError(f"grid.{name}", "be given", None)


def _check_size(axes: dict[str, Sequence[Any]]) -> None:
    size = prod(len(values) for values in axes.values())
    if size > MOST_CELLS:
        longest = sorted(axes, key=lambda name: -len(axes[name]))[:3]
        most = " times ".join(f"{len(axes[name])} of `{name}`" for name in longest if len(axes[name]) > 1)
        raise InvalidParameterError("grid", f"have at most {MOST_CELLS} cells; it has {most}", size)


def _check_use(grid: dict[str, Any], used: set[str]) -> None:
    for name in grid:
        if name not in used and name != "width":
            raise InvalidParameterError(
                f"grid.{name}", "be left out: no cell of this grid has a use for it", grid[name]
            )


# --- one key ---------------------------------------------------------------------------------------------------------


def _axis(name: str, value: Any) -> Sequence[Any]:
    """The values of one key; whole ranges stay ranges, however long they are."""
    key, where = KEYS[name], f"grid.{name}"
    if isinstance(value, dict) and name != "data":
        found = _range(key, where, value)
        if isinstance(found, range):
            key.check(where, found[0])
            key.check(where, found[-1])
            return found
        values = found
    else:
        values = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidParameterError(where, "hold at least one value", value)
    return [key.check(where, one) for one in values]


def _range(key: Key, where: str, value: dict[str, Any]) -> range | list[Any]:
    unknown = value.keys() - {"start", "stop", "step", "count", "log"}
    if unknown or not {"start", "stop"} <= value.keys() or {"step", "count"} <= value.keys():
        form = "be a value, a list, {start, stop}, {start, stop, step} or {start, stop, count}"
        raise InvalidParameterError(where, form, value)
    if "count" in value:
        return _spaced(key, where, value)
    if not key.whole:
        raise InvalidParameterError(where, "have a count beside start and stop, since it is no whole number", value)
    step = as_count(f"{where}.step", value.get("step", 1))
    found = range(as_count(f"{where}.start", value["start"], 0), as_count(f"{where}.stop", value["stop"], 0), step)
    if not found:
        raise InvalidParameterError(where, "have a stop above its start", value)
    return found


def _spaced(key: Key, where: str, value: dict[str, Any]) -> list[Any]:
    count = as_count(f"{where}.count", value["count"])
    if count > MOST_CELLS:
        raise InvalidParameterError(f"{where}.count", f"be at most {MOST_CELLS}", count)
    check = as_positive if value.get("log") else as_number
    start, stop = check(f"{where}.start", value["start"]), check(f"{where}.stop", value["stop"])
    numbers = (np.geomspace if value.get("log") else np.linspace)(start, stop, count)
    return [round(x) for x in numbers.tolist()] if key.whole else numbers.tolist()


# --- one cell --------------------------------------------------------------------------------------------------------


def _cell(given: dict[str, Any], files: dict[FileOfData, dict[str, Any]]) -> dict[str, Any]:
    """All settings of a cell: those given, and the defaults of the others that it has a use for."""
    if "width" in given:
        given |= {"positive": (given["width"] + 1) // 2, "negative": given["width"] // 2}
    cell: dict[str, Any] = {}
    for name, value in _settings(given, cell):
        cell |= files[value] if isinstance(value, FileOfData) else {name: value}
    return cell


def _settings(given: dict[str, Any], cell: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, key in KEYS.items():
        if name == "width" or not key.used(cell):
            continue
        value = given.get(name, DEFAULTS[cell["what"]].get(name, key.default) if cell else key.default)
        if value is ...:
            raise InvalidParameterError(f"grid.{name}", f"be given for data = {cell['data']!r}", None)
        _check_together(name, value, cell)
        if value is not None:
            yield name, value


def _check_together(name: str, value: Any, cell: dict[str, Any]) -> None:
    """Refuse at once what only some kinds of cells can do."""
    if name == "loss" and value == "hinge" and cell["what"] != "descend":
        raise InvalidParameterError(f"grid.{name}", f"be logistic or exponential for what = '{cell['what']}'", value)
    if name == "steps" and cell["what"] == "verify" and value < 10:
        raise InvalidParameterError(f"grid.{name}", "be at least 10 for what = 'verify'", value)


def _files(sources: Sequence[str | FileOfData], folder: Path) -> dict[FileOfData, dict[str, Any]]:
    """The settings of each file of data."""
    found = {}
    for source in sources:
        if isinstance(source, FileOfData):
            near = difflib.get_close_matches(source.file, GENERATORS, 1, 0.6)
            if near and not (folder / source.file).exists():
                words = f"be a generator or a file (did you mean {near[0]}?)"
                raise InvalidParameterError("grid.data", words, source.file)
            found[source] = source.settings(folder)
    return found
