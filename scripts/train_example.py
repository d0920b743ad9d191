"""Train a two-layer network with PyTorch or JAX, as their users would, and save checkpoints for `implicit-bias audit`.

    python scripts/train_example.py --out run                       PyTorch: run/step*.pt and run/step*.safetensors
    python scripts/train_example.py --out run-jax --framework jax   JAX: run-jax/step*.npz
    implicit-bias audit --data run/data.npz --weights 'run/step*.pt' --slope 0.5

Everything is float32 with fixed seeds; each step is full-batch gradient descent. The loop also calls a
`verification.Recorder`, whose report must be that of the files. docs/audit.md tells what comes out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import ImplicitBiasError, MissingExtraError
from refimpl.files import make_folder, open_output
from verification import Recorder

SLOPE, WIDTH, STEP_SIZE, SCALE = 0.5, 32, 8.0, 0.02
"""Of the leaky ReLU; neurons; step of descent; standard deviation of the start, in units of 1/√d."""

EVERY = 10
"""The recorder is called at every tenth step; files are written at `saved_steps`."""


def problem(n: int, d: int) -> tuple[Dataset, TwoLayerNetwork]:
    """Gaussian samples rounded to float32, and neurons with a_j = ±1/√m, rounded to float32 too."""
    drawn = datasets.gaussian(n, d, np.random.default_rng(0), norm_ratio=1.2)
    data = Dataset(drawn.X.astype(np.float32), drawn.y)
    a = np.where(np.arange(WIDTH) % 2 == 0, 1.0, -1.0) / np.sqrt(WIDTH)
    return data, TwoLayerNetwork(a.astype(np.float32), LeakyReLU(SLOPE))


def saved_steps(steps: int) -> list[int]:
    """0, 1, 3, 10, 30, ..., and the last."""
    found = {0, steps} | {step for k in range(10) for step in (10**k, 3 * 10**k) if step < steps}
    return sorted(found)


def train_pytorch(data: Dataset, network: TwoLayerNetwork, steps: int, save: Callable[[int, Any], None]) -> None:
    """The loop of a user of PyTorch: two `Linear` layers, the second one frozen, `torch.optim.SGD`."""
    torch = _framework("torch", "torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(data.d, network.m, bias=False),
        torch.nn.LeakyReLU(network.slope),
        torch.nn.Linear(network.m, 1, bias=False),
    )
    with torch.no_grad():
        model[0].weight.normal_(0.0, SCALE / data.d**0.5)
        model[2].weight.copy_(torch.tensor(network.second_layer)[None])
    model[2].weight.requires_grad_(False)
    X, y = (torch.tensor(x, dtype=torch.float32) for x in (data.X, data.y))
    optimizer = torch.optim.SGD([model[0].weight], lr=STEP_SIZE)
    for step in range(steps + 1):
        save(step, model)
        optimizer.zero_grad()
        loss = torch.nn.functional.softplus(-y * model(X)[:, 0]).mean()
        loss.backward()
        optimizer.step()


def train_jax(data: Dataset, network: TwoLayerNetwork, steps: int, save: Callable[[int, Any], None]) -> None:
    """The loop of a user of JAX: a jitted gradient, weights in float32."""
    jax = _framework("jax", "jax")
    jnp, nn = jax.numpy, import_module("jax.nn")
    X, y, a = (jnp.asarray(x, dtype=jnp.float32) for x in (data.X, data.y, network.second_layer))

    def loss(W: Any) -> Any:
        return jnp.mean(nn.softplus(-y * (nn.leaky_relu(X @ W.T, network.slope) @ a)))

    update = jax.jit(lambda W: W - STEP_SIZE * jax.grad(loss)(W))
    W = SCALE / data.d**0.5 * jax.random.normal(jax.random.key(0), (network.m, data.d), dtype=jnp.float32)
    for step in range(steps + 1):
        save(step, W)
        W = update(W)


def save_pytorch(folder: Path, step: int, model: Any) -> None:
    """The state dict, by `torch.save` and as safetensors."""
    torch, safetensors = _framework("torch", "torch"), _framework("safetensors.torch", "safetensors")
    state = {name: value.detach() for name, value in model.state_dict().items()}
    with open_output(folder / f"step{step}.pt") as handle:
        torch.save(state, handle)
    with open_output(folder / f"step{step}.safetensors") as handle:
        handle.write(safetensors.save({name: value.contiguous() for name, value in state.items()}))


def save_jax(folder: Path, step: int, W: Any, a: Any) -> None:
    """W and the second layer as NumPy's archive."""
    with open_output(folder / f"step{step}.npz") as handle:
        np.savez(handle, W=np.asarray(W), second_layer=np.asarray(a, dtype=np.float32), step=step)


def _framework(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(module.partition(".")[0], extra) from error


def main(arguments: list[str] | None = None) -> int:
    """Train, save, and show the recorder's report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", choices=("pytorch", "jax"), default="pytorch")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where data and checkpoints go")
    parser.add_argument("--steps", type=int, default=600, help="of gradient descent (default: 600)")
    parser.add_argument("--samples", type=int, default=20, help="(default: 20)")
    parser.add_argument("--dimension", type=int, default=4000, help="(default: 4000)")
    args = parser.parse_args(arguments)
    try:
        folder = make_folder(args.out)
        data, network = problem(args.samples, args.dimension)
        recorder, saved = Recorder(network, data), set(saved_steps(args.steps))

        def save(step: int, state: Any) -> None:
            W = state[0].weight if args.framework == "pytorch" else state
            if step % EVERY == 0 or step in saved:
                recorder.record(step, W)
            if step in saved and args.framework == "pytorch":
                save_pytorch(folder, step, state)
            elif step in saved:
                save_jax(folder, step, state, network.second_layer)

        with open_output(folder / "data.npz") as handle:
            np.savez(handle, X=data.X, y=data.y)
        train = train_pytorch if args.framework == "pytorch" else train_jax
        train(data, network, args.steps, save)
        Console(width=None if sys.stdout.isatty() else 100).print(
            recorder.report(step_size=STEP_SIZE, flow_time_limit=30)
        )
    except ImplicitBiasError as error:
        print(f"train_example: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
