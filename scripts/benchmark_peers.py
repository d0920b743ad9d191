"""The same work in other libraries, written as their users would write it, for `benchmark.py`.

Every function imports its library when it is called, so that a missing one skips its rows only. All of
them compute on the CPU, in float64 but for `torch_sgd`, and take W, a, X, y as NumPy arrays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from subprocess import CalledProcessError, run
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

from refimpl import Dataset
from refimpl.validation import Array

__all__ = [
    "diffrax_flow",
    "earlier_flow",
    "earlier_version",
    "jax_loss_and_gradient",
    "torch_descent",
    "torch_loss_and_gradient",
    "torch_sgd",
    "torchdiffeq_flow",
    "verify_command",
]

EARLIER = "0864187"
"""The last version in which crossings were found by Brent's method, to compare with."""

RTOL, ATOL, END = 1e-6, 1e-9, 1e7
"""Tolerances and final plain time of the general ODE solvers."""


def torch_loss_and_gradient(W: Array, a: Array, slope: float, X: Array, y: Array) -> Callable[[], Array]:
    """A call that computes loss and gradient by PyTorch's autograd and returns the gradient."""
    torch: Any = import_module("torch")
    X_, y_, a_ = (torch.tensor(value) for value in (X, y, a))
    W_ = torch.tensor(W).requires_grad_(True)
    activation, softplus = torch.nn.LeakyReLU(slope), torch.nn.functional.softplus

    def work() -> Array:
        W_.grad = None
        margins = y_ * (activation(X_ @ W_.T) @ a_)
        softplus(-margins).mean().backward()
        return np.asarray(W_.grad.numpy())

    return work


def torch_sgd(W: Array, a: Array, slope: float, data: Dataset) -> tuple[Callable[[], None], Any]:
    """A call that takes one step of `torch.optim.SGD` in float32, and its weights."""
    torch: Any = import_module("torch")
    X_, y_, a_ = (torch.tensor(value, dtype=torch.float32) for value in (data.X, data.y, a))
    W_ = torch.nn.Parameter(torch.tensor(W, dtype=torch.float32))
    optimizer, activation = torch.optim.SGD([W_], lr=0.1), torch.nn.LeakyReLU(slope)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.softplus(-y_ * (activation(X_ @ W_.T) @ a_)).mean().backward()
        optimizer.step()

    return step, W_


def jax_loss_and_gradient(W: Array, a: Array, slope: float, X: Array, y: Array) -> Callable[[], Array]:
    """A call of the compiled `value_and_grad` of JAX that returns the gradient."""
    jax, value_and_grad = _jax_with_loss(a, slope, X, y)
    compiled, W_ = jax.jit(value_and_grad), jax.numpy.asarray(W)

    def work() -> Array:
        return np.asarray(compiled(W_)[1].block_until_ready())

    return work


_EARLIER_RUN = """
import sys
from time import process_time
import numpy as np
from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_flow
given = np.load(sys.argv[1])
network = TwoLayerNetwork(given["a"], LeakyReLU(float(given["slope"])))
started = process_time()
result = gradient_flow(network, Dataset(given["X"], given["y"]), given["W0"])
seconds = process_time() - started
np.savez(sys.argv[2], seconds=seconds, events=len(result.events))
"""


@contextmanager
def earlier_version(*packages: str) -> Iterator[str]:
    """A folder with these packages as they were at the version `EARLIER`, from the git repository here."""
    root = Path(__file__).parent.parent
    with TemporaryDirectory() as folder:
        archive = str(Path(folder) / "earlier.tar")
        try:
            run(["git", "archive", "-o", archive, EARLIER, *packages], cwd=root, check=True, capture_output=True)
        except (CalledProcessError, FileNotFoundError) as error:
            raise LookupError(f"no version {EARLIER} in a git repository here") from error
        run(["tar", "-xf", archive, "-C", folder], check=True)
        yield folder


def earlier_flow(
    W0: Array, a: Array, slope: float, X: Array, y: Array, checkout: str | None = None
) -> tuple[int, float]:
    """Events and seconds of the flow in another checkout, or at the version `EARLIER`, in a process of its own."""
    with nullcontext(checkout) if checkout else earlier_version("refimpl") as code, TemporaryDirectory() as folder:
        given, found = (str(Path(folder) / name) for name in ("given.npz", "found.npz"))
        np.savez(given, W0=W0, a=a, slope=slope, X=X, y=y)
        run([sys.executable, "-c", _EARLIER_RUN, given, found], cwd=code, check=True)
        with np.load(found) as answer:
            return int(answer["events"]), float(answer["seconds"])


_VERIFY = "import sys; from verification.cli import main; main(['verify', '--json', *sys.argv[1:]])"


def verify_command(code: str | Path, *options: str) -> dict[str, Any]:
    """The report of `implicit-bias verify` by the packages in the folder `code`, in a process of its own."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        run([sys.executable, "-c", _VERIFY, str(report), *options], cwd=code, check=True, capture_output=True)
        found: dict[str, Any] = json.loads(report.read_text())
        return found


def torchdiffeq_flow(W0: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, float]:
    """W at t = 1e7 by torchdiffeq's dopri5, and the seconds it took."""
    torch: Any = import_module("torch")
    odeint = import_module("torchdiffeq").odeint
    X_, y_, a_, W_ = (torch.tensor(value) for value in (X, y, a, W0))

    def velocity(t: Any, W: Any) -> Any:
        Z = W @ X_.T
        Phi = torch.where(Z >= 0.0, 1.0, slope).to(Z.dtype)
        g = torch.sigmoid(-y_ * (a_ @ (Z * Phi)))
        return (a_[:, None] * Phi * (g * y_)) @ X_ / len(y_)

    with torch.no_grad():
        started = process_time()
        times = torch.tensor([0.0, END], dtype=torch.float64)
        W = odeint(velocity, W_, times, rtol=RTOL, atol=ATOL, method="dopri5")[-1]
        return np.asarray(W.numpy()), process_time() - started


def diffrax_flow(W0: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, float]:
    """W at t = 1e7 by diffrax's Tsit5, and the seconds of the second, compiled, call."""
    diffrax: Any = import_module("diffrax")
    jax, value_and_grad = _jax_with_loss(a, slope, X, y)
    term = diffrax.ODETerm(lambda t, W, args: -value_and_grad(W)[1])
    control = diffrax.PIDController(rtol=RTOL, atol=ATOL)

    @jax.jit  # type: ignore[untyped-decorator]
    def solve(W: Any) -> Any:
        answer = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), 0.0, END, None, W, stepsize_controller=control, max_steps=10**6
        )
        return answer.ys[-1]

    W = jax.numpy.asarray(W0)
    solve(W).block_until_ready()
    started = process_time()
    end = solve(W).block_until_ready()
    return np.asarray(end), process_time() - started


def torch_descent(
    W0: Array, a: Array, slope: float, X: Array, y: Array, step_size: float, steps: int, every: int
) -> tuple[list[float], float]:
    """Stable ranks by `svdvals(W)` after every `every`-th step of descent in PyTorch, and the seconds it took."""
    torch: Any = import_module("torch")
    X_, y_, a_ = (torch.tensor(value) for value in (X, y, a))
    W = torch.tensor(W0).requires_grad_(True)
    activation, softplus = torch.nn.LeakyReLU(slope), torch.nn.functional.softplus
    optimizer = torch.optim.SGD([W], lr=step_size)
    ranks: list[float] = []
    started = perf_counter()
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        softplus(-y_ * (activation(X_ @ W.T) @ a_)).mean().backward()
        optimizer.step()
        if step % every == 0:
            sigma = torch.linalg.svdvals(W.detach())
            ranks.append(float((sigma**2).sum() / sigma[0] ** 2))
    return ranks, perf_counter() - started


def _jax_with_loss(a: Array, slope: float, X: Array, y: Array) -> tuple[Any, Callable[[Any], Any]]:
    """JAX in float64, and W -> (loss, gradient)."""
    jax: Any = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    X_, y_, a_ = (jnp.asarray(value) for value in (X, y, a))

    def loss(W: Any) -> Any:
        margins = y_ * (jax.nn.leaky_relu(X_ @ W.T, slope) @ a_)
        return jnp.mean(jax.nn.softplus(-margins))

    return jax, jax.value_and_grad(loss)
