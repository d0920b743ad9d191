"""Checkpoints in files: formats, layers by shape and by name, and files that are damaged or hostile."""

from __future__ import annotations

import json
import os
import struct
import zipfile

import numpy as np
import pytest

from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError, ShapeError
from verification.audits.layers import Names, find_layers
from verification.audits.reading import expand, natural_key, read_checkpoints, step_in_name

M, D = 3, 5
W = np.arange(1.0, 16.0).reshape(M, D) / 8.0
A = np.array([1.0, -1.0, 0.5])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one(path: str, names: Names | None = None):
    (found,) = read_checkpoints([path], D, names)
    return found


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_arrays_of_numpy_keep_their_format(folder, dtype) -> None:
    np.save("W.npy", W.astype(dtype))
    np.savez("step7.npz", W=W.astype(dtype), second_layer=A.astype(dtype))
    alone, both = one("W.npy"), one("step7.npz")
    assert (alone.format, alone.numbered, both.format, both.step) == (dtype, False, dtype, 7)
    assert np.array_equal(both.weights(), W)
    assert np.array_equal(both.second_layer, A)


def test_a_step_in_the_file_comes_before_its_name(folder) -> None:
    np.savez("step7.npz", W=W, step=11)
    assert one("step7.npz").step == 11
    np.savez("b.npz", W=W, step=1.5)
    with pytest.raises(FileFormatError, match="its step is no whole number"):
        one("b.npz")


def test_a_whole_run_in_one_file(folder) -> None:
    np.savez("run.npz", W=np.stack([W, 2 * W]), second_layer=A, step=[4, 2])
    found = read_checkpoints(["run.npz"], D)
    assert [c.step for c in found] == [2, 4]
    assert np.array_equal(found[0].weights(), 2 * W)
    np.savez("run.npz", W=np.stack([W, 2 * W]), step=[4, 2, 1])
    with pytest.raises(FileFormatError, match="step has shape"):
        read_checkpoints(["run.npz"], D)


def test_a_whole_run_has_biases_and_names_as_one_checkpoint_has(folder) -> None:
    both, b = np.stack([W, 2 * W]), np.stack([A, 3 * A])
    np.savez("run.npz", W=both, second_layer=A, bias=b)
    assert [c.bias.tolist() for c in read_checkpoints(["run.npz"], D)] == b.tolist()
    np.savez("run.npz", fc1=both.transpose(0, 2, 1), fc2=b[:, None], hidden=A + 1.0)
    second = read_checkpoints(["run.npz"], D, Names(bias="hidden"))[1]
    assert np.array_equal(second.weights(), np.column_stack([2 * W, A + 1.0]))
    assert np.array_equal(second.second_layer, 3 * A)
    with pytest.raises(FileFormatError, match="it has no array q; it holds"):
        read_checkpoints(["run.npz"], D, Names(second="q"))
    for output_bias in ([[0.0], [0.5]], [0.0, 0.5]):
        np.savez("run.npz", W=both, second_layer=A, out_bias=output_bias)
        with pytest.raises(FileFormatError, match="out_bias is an output bias"):
            read_checkpoints(["run.npz"], D)
    np.savez("run.npz", W=both[:0], second_layer=A)
    with pytest.raises(FileFormatError, match="its run has no steps"):
        read_checkpoints(["run.npz"], D)


def bits_of_bfloat16(x: np.ndarray) -> bytes:
    """Of numbers that bfloat16 holds: the upper halves of their float32."""
    return (x.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def safetensors_file(path: str, tensors: dict[str, tuple[str, list[int], bytes]], **changes) -> None:
    """Written by hand, as the format says."""
    header, offset = {}, 0
    for name, (kind, shape, content) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
    header.update(changes)
    text = json.dumps(header).encode()
    with open(path, "wb") as handle:
        handle.write(struct.pack("<Q", len(text)) + text + b"".join(content for *_, content in tensors.values()))


KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@pytest.mark.parametrize("kind", ["F64", "F32", "F16", "BF16"])
def test_safetensors(folder, kind) -> None:
    pytest.importorskip("safetensors")
    as_bytes = bits_of_bfloat16 if kind == "BF16" else lambda x: x.astype(KINDS[kind]).tobytes()
    state = {"1.weight": (kind, [M, D], as_bytes(W)), "2.weight": (kind, [1, M], as_bytes(A))}
    safetensors_file("a-30.safetensors", state)
    found = one("a-30.safetensors")
    assert found.step == 30
    assert found.format == {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}[kind]
    assert np.array_equal(found.weights(), W)
    assert np.array_equal(found.second_layer, A)


def test_safetensors_that_lie(folder) -> None:
    pytest.importorskip("safetensors")
    tensors = {"W": ("F64", [M, D], W.tobytes())}
    wrong = {"dtype": "F64", "shape": [M, D], "data_offsets": [0, 10**12]}
    safetensors_file("end.safetensors", tensors, W=wrong)
    safetensors_file("shape.safetensors", tensors, W=wrong | {"shape": [10**9, 10**9], "data_offsets": [0, W.nbytes]})
    safetensors_file("fine.safetensors", tensors)
    content = (folder / "fine.safetensors").read_bytes()
    (folder / "header.safetensors").write_bytes(struct.pack("<Q", 2**60) + content[8:])
    (folder / "cut.safetensors").write_bytes(content[:-3])
    (folder / "empty.safetensors").write_bytes(b"")
    assert one("fine.safetensors").W.shape == (M, D)
    for name in ("end", "shape", "header", "cut", "empty"):
        with pytest.raises(FileFormatError, match=r"not a complete \.safetensors file"):
            one(f"{name}.safetensors")


# --- PyTorch ----------------------------------------------------------------------------------------------------------


class RunsCode:
    """Unpickling it makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_state_dicts_of_pytorch(folder) -> None:
    torch = pytest.importorskip("torch")
    state = {"0.weight": torch.tensor(W, dtype=torch.bfloat16), "2.weight": torch.tensor(A)[None]}
    torch.save(state, "step10.pt")
    momentum = {"state": {0: {"momentum_buffer": torch.ones(M, D)}}}
    torch.save({"epoch": 3, "step": 20, "model_state_dict": state, "optimizer_state_dict": momentum}, "last.pth")
    torch.save(torch.tensor(W), "step30.pt")
    first, second = read_checkpoints(["last.pth", "step10.pt"], D)
    assert (first.step, first.format, second.step) == (10, "bfloat16", 20)
    for found in (first, second):
        assert np.array_equal(found.weights(), W)
        assert np.array_equal(found.second_layer, A)
    assert one("step30.pt").second_layer is None


def test_no_code_of_a_checkpoint_runs(folder) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"0.weight": torch.tensor(W), "extra": RunsCode()}, "evil.pt")
    with pytest.raises(FileFormatError, match="could run code: only tensors are read") as caught:
        one("evil.pt")
    assert not os.path.exists("ran")
    assert "weights_only" not in str(caught.value)  # PyTorch advises to unpickle it after all


def test_damaged_files_of_pytorch(folder) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"W": torch.tensor(W)}, "fine.pt")
    content = (folder / "fine.pt").read_bytes()
    for cut in (0, 3, 40, len(content) // 2, len(content) - 1):
        (folder / "cut.pt").write_bytes(content[:cut])
        with pytest.raises(FileFormatError, match=r"cannot read `cut\.pt`"):
            one("cut.pt")
    torch.save({"W": torch.tensor(W)}, "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(FileFormatError, match=r"not an archive as torch\.save writes them"):
        one("old.pt")
    torch.save({"W": [1.0, 2.0]}, "lists.pt")
    with pytest.raises(FileFormatError, match="no tensors of real numbers"):
        one("lists.pt")


def test_small_files_of_pytorch_that_would_fill_the_memory(folder) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"W": torch.ones(1).expand(10**6, 10**6)}, "views.pt")
    assert os.path.getsize("views.pt") < 10**4
    with pytest.raises(FileFormatError, match="more than 2 GiB"):
        one("views.pt")
    torch.save({"W": torch.tensor(W)}, "fine.pt")
    with zipfile.ZipFile("fine.pt") as source, zipfile.ZipFile("packed.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    with pytest.raises(FileFormatError, match="parts are compressed"):
        one("packed.pt")
    shared: object = {"W": torch.tensor(W)}
    for _ in range(40):
        shared = {"a": shared, "b": shared}
    torch.save(shared, "shared.pt")
    with pytest.raises(FileFormatError, match="nests deeper"):
        one("shared.pt")


# --- which checkpoints ------------------------------------------------------------------------------------------------


def test_patterns_stand_for_files_in_natural_order(folder) -> None:
    for step in (100, 9, 20):
        np.save(f"w{step}.npy", step * W)
    assert expand(["w*.npy"]) == ["w9.npy", "w20.npy", "w100.npy"]
    assert [c.step for c in read_checkpoints(["w100.npy", "w9.npy"], D)] == [9, 100]
    assert sorted(["a²2", "a²1", "²", "10", "9"], key=natural_key) == ["9", "10", "a²1", "a²2", "²"]  # ² is a digit
    np.save("a[1].npy", W)
    assert expand(["a[1].npy"]) == ["a[1].npy"]
    with pytest.raises(FileFormatError, match=r"cannot read `x\*\.npy`: no file fits this pattern"):
        expand(["x*.npy"])


def test_steps_in_names() -> None:
    names = {"epoch3-step40.pt": 40, "iter_7_fp16.npz": 7, "w-0012.float32.npy": 12, "W.npy": None, "v2.d/W.npy": None}
    assert {name: step_in_name(name) for name in names} == names


def test_checkpoints_that_do_not_go_together(folder) -> None:
    np.save("a1.npy", W)
    np.save("b01.npy", W)
    np.save("c2.npy", W[:2])
    np.save("last.npy", W)
    np.savez("d3.npz", W=W, second_layer=A)
    np.savez("e4.npz", W=W, second_layer=A, b=np.ones(M))
    np.savez("f5.npz", W=W, second_layer=A)
    with pytest.raises(InvalidParameterError, match=r"two are at one \(a1.npy and b01.npy\)"):
        read_checkpoints(["a1.npy", "b01.npy"], D)
    with pytest.raises(ShapeError, match=r"`W of c2.npy` must have shape \(3, 5\), which a1.npy has"):
        read_checkpoints(["a1.npy", "c2.npy"], D)
    with pytest.raises(InvalidParameterError, match="all have a step number"):
        read_checkpoints(["a1.npy", "last.npy"], D)
    with pytest.raises(InvalidParameterError, match=r"second layer, or none: d3.npz has one .* 'a1.npy'"):
        read_checkpoints(["a1.npy", "d3.npz"], D)
    with pytest.raises(InvalidParameterError, match=r"bias, or none: e4.npz has one .* 'f5.npz'"):
        read_checkpoints(["e4.npz", "f5.npz"], D)


# --- layers -----------------------------------------------------------------------------------------------------------


def layers(names: Names | None = None, d: int = D, **arrays):
    return find_layers(
        "file", {name.replace("_", "."): np.asarray(x) for name, x in arrays.items()}, d, names or Names()
    )


def test_layers_by_shape() -> None:
    found = layers(fc1_weight=W, fc1_bias=A + 1.0, fc2_weight=A[None])
    assert np.array_equal(found.W, W)
    assert np.array_equal(found.second_layer, A)
    assert np.array_equal(found.bias, A + 1.0)
    keras = layers(dense_kernel=W.T, dense_bias=A, out_kernel=A[:, None], out_bias=np.zeros(1))
    assert np.array_equal(keras.W, W)
    assert np.array_equal(keras.second_layer, A)
    assert np.array_equal(keras.bias, A)
    assert layers(W=W, a=A).second_layer.tolist() == A.tolist()


def test_a_square_first_layer_stands_as_its_second_layer_says() -> None:
    S = np.arange(9.0).reshape(3, 3)
    assert np.array_equal(layers(d=3, l1=S, l2=A[None]).W, S)
    assert np.array_equal(layers(d=3, l1=S, l2=A[:, None]).W, S.T)
    assert np.array_equal(layers(d=3, l1_kernel=S, l2=A).W, S.T)
    assert np.array_equal(layers(d=3, l1_weight=S, l2=A).W, S)


WRONG = [
    ({"fc1": W, "fc2": np.ones((4, M))}, r"fc2 \(4, 3\) is a second layer with more outputs, or one more layer"),
    (
        {"fc1": W, "fc2": np.ones((M, M)), "fc3": A[None]},
        r"fc2 \(3, 3\) is one more layer: two layers with one fixed slope are",
    ),
    ({"fc1": W, "fc2": A[None], "fc2_bias": [0.1]}, "fc2.bias is an output bias"),
    ({"x": W, "y": W, "z": A[None]}, r"x \(3, 5\), y \(3, 5\) could each be the first layer: --first-layer names it"),
    ({"x": W, "y": A[None], "z": A[None]}, r"y \(1, 3\), z \(1, 3\) could each be the second layer: --second-layer"),
    ({"x": W, "y": A[None], "u": A, "v": A}, r"u \(3,\), v \(3,\) could each be the first layer's bias: --first-bias"),
    ({"x": W, "y": A[None], "norm_weight": A}, r"norm.weight \(3,\) is no bias by its name, .* --first-bias says"),
    ({"x": W, "prelu_weight": [0.25], "y": A[None]}, "prelu.weight is a trained slope, or one more layer"),
    ({"x": W, "conv": np.ones((2, 2, 2)), "y": A[None]}, r"conv \(2, 2, 2\) is one more layer"),
    ({"x": np.ones((4, 4))}, r"no matrix in it has d = 5 rows or columns; it holds x \(4, 4\)"),
]


@pytest.mark.parametrize(("arrays", "sentence"), WRONG)
def test_layers_that_cannot_be_told_or_are_others(arrays, sentence) -> None:
    with pytest.raises(FileFormatError, match=sentence):
        layers(**arrays)


def test_layers_by_name() -> None:
    arrays = {"x": W, "y": 2 * W, "z": A[None], "b": A, "c": A}
    assert layers(Names(bias="norm.weight"), x=W, y=A[None], norm_weight=A).bias.tolist() == A.tolist()
    found = layers(Names("y", "z", "c"), **arrays)
    assert np.array_equal(found.W, 2 * W)
    with pytest.raises(FileFormatError, match="it has no array q; it holds x"):
        layers(Names("q"), **arrays)
    with pytest.raises(FileFormatError, match=r"x of shape .* is no second layer of 3 neurons, one output"):
        layers(Names("y", "x"), **arrays)


def test_a_zero_output_bias_is_none(folder) -> None:
    assert layers(fc1=W, fc2=A[None], fc2_bias=[0.0]).bias is None


def test_every_error_has_the_root(folder) -> None:
    (folder / "x.npz").write_bytes(b"PK\x03\x04nothing")
    (folder / "y.npy").write_bytes(b"nothing")
    for name in ("x.npz", "y.npy", "missing.pt", "missing.safetensors", "."):
        with pytest.raises(ImplicitBiasError):
            one(name)


@pytest.mark.parametrize("kind", ["npz", "safetensors", "pt"])
def test_changed_bytes_never_end_in_another_error(folder, kind) -> None:
    rng = np.random.default_rng(0)
    if kind == "pt":
        torch = pytest.importorskip("torch")
        torch.save({"0.weight": torch.tensor(W), "2.weight": torch.tensor(A)[None]}, "fine.pt")
    elif kind == "safetensors":
        pytest.importorskip("safetensors")
        safetensors_file("fine.safetensors", {"W": ("F64", [M, D], W.tobytes()), "a": ("F64", [M], A.tobytes())})
    else:
        np.savez("fine.npz", W=W, second_layer=A, step=3)
    content = (folder / f"fine.{kind}").read_bytes()
    refused = 0
    for _ in range(100):
        changed = bytearray(content)
        changed[rng.integers(len(content))] = rng.integers(256)
        (folder / f"other.{kind}").write_bytes(
            changed[: rng.integers(1, len(content) + 1)] if rng.random() < 0.3 else changed
        )
        try:
            one(f"other.{kind}")
        except ImplicitBiasError:
            refused += 1
    assert refused >= 10
