"""Checkpoints in files: `.npy`, `.npz`, `.safetensors`, and PyTorch's `.pt` and `.pth`.

The files may come from anybody. Of PyTorch's, only archives are read, with `weights_only=True`: nothing else is ever
unpickled. Sizes are held against `LIMIT_BYTES` before memory is asked for; damage of any kind is one `FileFormatError`.
"""

from __future__ import annotations

import glob
import math
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.archive import LIMIT_BYTES, is_npz, read_npy, read_npz
from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError, MissingExtraError
from refimpl.files import check_input_path, open_regular, read_bytes
from verification.audits.checkpoint import Checkpoint, as_stored, check_together, from_bfloat16
from verification.audits.layers import Names, find_layers

__all__ = ["expand", "natural_key", "read_checkpoints", "step_in_name"]

STEP_KEYS = ("step", "global_step", "iteration", "steps")
"""What a number that counts steps is called in a file."""

MOST_ARRAYS, DEEPEST = 10_000, 8
"""So many tensors, and nested dictionaries, are looked through; pickled dictionaries may share parts without end."""

SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Names of the formats in a `.safetensors` file; tensors of whole numbers are no weights."""


@dataclass(frozen=True, eq=False)
class _Content:
    """The arrays of a file with their formats, and its step if it says one."""

    arrays: dict[str, NDArray[Any]]
    formats: dict[str, str]
    step: Any = None


def expand(patterns: Sequence[str]) -> list[str]:
    """Names of files: each pattern that is no file itself stands for the files that it fits, in natural order.

    Raises
    ------
    FileFormatError
        If a pattern fits nothing.

    Examples
    --------
    >>> sorted(["s10.npy", "s9.npy"], key=natural_key)
    ['s9.npy', 's10.npy']
    """
    found: list[str] = []
    for pattern in patterns:
        if not glob.has_magic(pattern) or Path(pattern).exists():
            found.append(pattern)
            continue
        fitting = sorted(glob.glob(pattern), key=natural_key)
        if not fitting:
            raise FileFormatError(pattern, "no file fits this pattern")
        found += fitting
    return found


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Numbers in a name compare as numbers."""
    parts = enumerate(re.split(r"([0-9]+)", name))
    return [(0, int(part), "") if place % 2 else (1, 0, part) for place, part in parts]


def step_in_name(path: str) -> int | None:
    """The number after "step" or "iter" in a file's name, or the last number there; None without one.

    Examples
    --------
    >>> [step_in_name(x) for x in ("run2/step_0100.pt", "model-v2-300.float32.npy", "epoch3-step40.pt", "final.npy")]
    [100, 300, 40, None]
    """
    stem = re.sub(r"(b?float|bf|fp|f)(16|32|64)", "", Path(path).name.rpartition(".")[0].lower())
    named = re.findall(r"(?:step|iter|iteration)s?[-_=]?([0-9]+)", stem)
    numbers = named or re.findall(r"[0-9]+", stem)
    return int(numbers[-1]) if numbers else None


def read_checkpoints(paths: Sequence[str], d: int, names: Names | None = None) -> list[Checkpoint]:
    """The checkpoints in these files, in the order of their steps.

    A step is what the file says, else the number in its name; files without any count from 0 as they are given.

    Parameters
    ----------
    paths : sequence of str
        At least one. A `.npz` may hold a whole run: `W` of shape (steps, m, d), `step` of shape (steps,), the second
        layer and the bias of shape (m,), or (steps, m).
    d : int
        Dimension of the samples, by which the first layer is found.
    names : Names, optional

    Raises
    ------
    FileFormatError
        If a file is missing, damaged, too large, holds code or anything but arrays, or its layers cannot be told.
    MissingExtraError
        If a package that reads it is not installed.
    InvalidParameterError, ShapeError
        If the checkpoints do not go together.
    """
    names = names or Names()
    found = [checkpoint for path in paths for checkpoint in _read(path, d, names)]
    numbered = [checkpoint.numbered for checkpoint in found]
    if any(numbered) and not all(numbered):
        lacking = found[numbered.index(False)]
        requirement = "all have a step number, in the file or in its name, or none"
        raise InvalidParameterError("weights", requirement, lacking.name)
    if not any(numbered):
        found = [replace(checkpoint, step=k) for k, checkpoint in enumerate(found)]
    return check_together(found)


def _read(path: str, d: int, names: Names) -> list[Checkpoint]:
    content = _content(path)
    run = _first_of_run(content.arrays, d, names)
    if run is not None:
        return list(_run(path, content, run, d, names))
    told = _as_step(path, content.step)
    step = step_in_name(path) if told is None else told
    layers = find_layers(path, content.arrays, d, names)
    checkpoint = Checkpoint(
        0 if step is None else step,
        layers.W,
        layers.second_layer,
        layers.bias,
        content.formats[layers.first_name],
        path,
        step is not None,
    )
    return [checkpoint]


def _first_of_run(arrays: Mapping[str, NDArray[Any]], d: int, names: Names) -> NDArray[Any] | None:
    """The first layer at all steps of a run, (steps, m, d): by its name, as `W`, or by its shape; None for no run."""
    W = arrays.get(names.first or "W")
    if W is not None:
        return W if W.ndim == 3 else None
    fitting = [] if names.first else [x for x in arrays.values() if x.ndim == 3 and d in x.shape[1:]]
    return fitting[0] if len(fitting) == 1 else None


def _run(path: str, content: _Content, W: NDArray[Any], d: int, names: Names) -> Iterator[Checkpoint]:
    """The checkpoints of a run; each other array has one part for each step, or is the same at all of them."""
    count = len(W)
    if count == 0:
        raise FileFormatError(path, f"its run has no steps: W has shape {W.shape}")
    steps = np.arange(count) if content.step is None else np.atleast_1d(content.step)
    if steps.shape != (count,):
        raise FileFormatError(path, f"its step has shape {steps.shape} beside W of shape {W.shape}")
    by_step = {
        name: x.ndim > 0 and len(x) == count and (x.ndim > 1 or count not in W.shape[1:])
        for name, x in content.arrays.items()
    }
    for k, step in enumerate(steps):
        arrays = {name: np.asarray(x[k]) if by_step[name] else x for name, x in content.arrays.items()}
        layers, number = find_layers(path, arrays, d, names), _as_step(path, step)
        form, numbered = content.formats[layers.first_name], content.step is not None
        yield Checkpoint(int(number or 0), layers.W, layers.second_layer, layers.bias, form, f"{path}[{k}]", numbered)


def _as_step(path: str, value: Any) -> int | None:
    """A step number; None where the file has none."""
    if value is None:
        return None
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "iuf" or not 0 <= number.item() < 2**53 or number.item() % 1:
        raise FileFormatError(path, f"its step is no whole number: {str(value)[:40]}")
    return int(number.item())


# --- one reader for each kind of file ---------------------------------------------------------------------------------


def _content(path: str) -> _Content:
    kind = Path(path).suffix.lower()
    check_input_path(path)
    if kind in (".pt", ".pth"):
        return _from_torch(path)
    if kind == ".safetensors":
        return _from_safetensors(path)
    if is_npz(path):
        return _from_npz(path)
    return _of_arrays(path, {"W": read_npy(path)}, None)


def _from_npz(path: str) -> _Content:
    arrays = read_npz(path)
    step = next((arrays.pop(key) for key in STEP_KEYS if key in arrays), None)
    return _of_arrays(path, arrays, step)


def _of_arrays(path: str, arrays: Mapping[str, NDArray[Any]], step: Any) -> _Content:
    """Arrays of numbers that could be weights."""
    kept, formats = {}, {}
    for name, array in arrays.items():
        if array.dtype.kind == "f" or (array.dtype.kind in "iu" and name in ("W", "second_layer")):
            kept[name], formats[name] = as_stored(f"{name} in {path}", array)
        elif (
            array.dtype.kind == "V" and array.dtype.itemsize == 2 and not array.dtype.names
        ):  # what is left of bfloat16
            kept[name], formats[name] = from_bfloat16(array.view(np.uint16)), "bfloat16"
    if not kept:
        raise FileFormatError(path, "it holds no arrays of real numbers")
    return _Content(kept, formats, step)


def _from_safetensors(path: str) -> _Content:
    try:
        safetensors: Any = import_module("safetensors")
    except ImportError as error:
        raise MissingExtraError("safetensors", "safetensors") from error
    content = read_bytes(path, LIMIT_BYTES)
    try:
        tensors = safetensors.deserialize(content)
    except (safetensors.SafetensorError, ValueError, OverflowError, MemoryError) as error:
        raise FileFormatError(path, f"it is not a complete .safetensors file ({_short(error)})") from error
    arrays: dict[str, NDArray[Any]] = {}
    formats: dict[str, str] = {}
    step = None
    for name, tensor in tensors:
        shape, kind = tuple(tensor["shape"]), tensor["dtype"]
        if name in STEP_KEYS and kind in ("I64", "I32") and math.prod(shape) == 1:
            step = int.from_bytes(bytes(tensor["data"]), "little", signed=True)
        elif kind in SAFETENSORS:
            formats[name] = SAFETENSORS[kind]
            stored = np.dtype("<u2" if kind == "BF16" else f"<f{int(kind[1:]) // 8}")
            array = np.frombuffer(tensor["data"], stored).reshape(shape)
            arrays[name] = from_bfloat16(array) if kind == "BF16" else array
    _check_total(path, arrays)
    if not arrays:
        raise FileFormatError(path, "it holds no tensors of real numbers")
    return _Content(arrays, formats, step)


def _check_numbers(path: str, count: int) -> None:
    """Refuse so many numbers as would be too large as float64: views of tensors may repeat few bytes."""
    if 8 * count > LIMIT_BYTES:
        raise FileFormatError(path, f"its tensors would take more than {LIMIT_BYTES / 2**30:.3g} GiB as float64")


def _from_torch(path: str) -> _Content:
    try:
        torch: Any = import_module("torch")
    except ImportError as error:
        raise MissingExtraError("torch", "torch") from error
    _check_archive(path)
    try:
        with warnings.catch_warnings(), open_regular(path) as handle:
            warnings.simplefilter("ignore")
            loaded = torch.load(handle, map_location="cpu", weights_only=True)
    except ImplicitBiasError:
        raise
    except Exception as error:  # damage shows itself as errors of every class
        code = "weights" in str(error).lower() and "unsupported" in str(error).lower()
        what = "it holds objects that are neither tensors nor plain values, which could run code: only tensors are read"
        what += ", as torch.save(model.state_dict(), FILE) writes them"
        raise FileFormatError(path, what if code else "it is not a complete PyTorch checkpoint") from error
    tensors: dict[str, Any] = {}
    step = None
    for name, value in _flattened(path, loaded):
        last = name.rpartition(".")[2]
        if last in STEP_KEYS and not (isinstance(value, torch.Tensor) and value.numel() != 1):
            if step is None and isinstance(value, int | float | torch.Tensor):
                step = value.item() if isinstance(value, torch.Tensor) else value
        elif isinstance(value, torch.Tensor) and value.is_floating_point() and value.layout == torch.strided:
            tensors[name or "W"] = value
    _check_numbers(path, sum(value.numel() for value in tensors.values()))
    if not tensors:
        raise FileFormatError(path, "it holds no tensors of real numbers")
    stored = {name: as_stored(name, value) for name, value in tensors.items()}
    return _Content({k: array for k, (array, _) in stored.items()}, {k: form for k, (_, form) in stored.items()}, step)


def _check_archive(path: str) -> None:
    """Refuse what is no archive of `torch.save`, and one that unpacks to more than `LIMIT_BYTES`."""
    if not is_npz(path):
        raise FileFormatError(path, "it is not an archive as torch.save writes them (since PyTorch 1.6)")
    try:
        with open_regular(path) as handle, zipfile.ZipFile(handle) as archive:
            members = archive.infolist()
    except ImplicitBiasError:
        raise
    except Exception as error:
        raise FileFormatError(path, "it is not a complete PyTorch checkpoint") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise FileFormatError(path, "its parts are compressed, which torch.save never does")
    if sum(member.file_size for member in members) > LIMIT_BYTES:
        raise FileFormatError(path, f"it unpacks to more than {LIMIT_BYTES / 2**30:.3g} GiB")


def _flattened(path: str, value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The entries of nested dictionaries under dotted names, without those of optimizers."""
    stack, count = [(name, value, depth)], 0
    while stack:
        name, value, depth = stack.pop()
        count += 1
        if count > MOST_ARRAYS or depth > DEEPEST:
            raise FileFormatError(path, f"it has more than {MOST_ARRAYS} entries, or nests deeper than {DEEPEST}")
        if isinstance(value, Mapping):
            inner = [(f"{name}.{key}" if name else str(key), part, depth + 1) for key, part in value.items()]
            stack += [entry for entry in reversed(inner) if not entry[0].rpartition(".")[2].lower().startswith("optim")]
        else:
            yield name, value


def _check_total(path: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    if 8 * sum(array.size for array in arrays.values()) > LIMIT_BYTES:
        raise FileFormatError(path, f"its arrays would take more than {LIMIT_BYTES / 2**30:.3g} GiB as float64")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
