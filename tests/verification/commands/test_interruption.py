"""Ctrl-C reaches the caller: what keeps what it has hands it over with the interrupt, and a loop over runs stops."""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork, gradient_descent, gradient_flow
from refimpl.errors import RunInterrupted
from refimpl.flow import FlowStatus
from verification.claims.run import verify
from verification.conformance.self_test import self_test
from verification.studies.search import search
from verification.studies.survey import survey

NETWORK = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
DATA = Dataset([[1.0, 0.125, 0.0], [0.0, 1.0, 0.125]], [1, -1])
W0 = 0.01 * np.random.default_rng(0).standard_normal((3, 3))


class Pressed(LogisticLoss):
    """Presses Ctrl-C, once, when g or log g is asked for the k-th time: somewhere inside a run."""

    def __init__(self, k):
        self.k, self.calls = k, 0

    def press(self):
        self.calls += 1
        if self.calls == self.k:
            raise KeyboardInterrupt

    def weight(self, q):
        self.press()
        return super().weight(q)

    def log_weight(self, q):
        self.press()
        return super().log_weight(q)


def calls_of(run):
    loss = Pressed(0)
    run(loss)
    return loss.calls


@pytest.mark.parametrize("method", ["piecewise", "adaptive"])
def test_a_flow_hands_over_the_path_so_far(method):
    whole = gradient_flow(NETWORK, DATA, W0, method=method)
    total = calls_of(lambda loss: gradient_flow(NETWORK, DATA, W0, loss, method=method))
    for k in (total // 3, total // 2, total - 1):
        with pytest.raises(RunInterrupted) as stop:
            gradient_flow(NETWORK, DATA, W0, Pressed(k), method=method)
        kept = stop.value.result
        assert kept.status is FlowStatus.INTERRUPTED
        assert kept.limit is None
        assert kept.trajectory.s[-1] <= whole.trajectory.s[-1]
        np.testing.assert_array_equal(kept.trajectory.s[:2], whole.trajectory.s[:2])


def test_an_interrupted_repetition_hands_over_the_flow_that_had_ended():
    once = calls_of(lambda loss: gradient_flow(NETWORK, DATA, W0, loss))
    with pytest.raises(RunInterrupted) as stop:
        gradient_flow(NETWORK, DATA, W0, Pressed(once + 20), estimate_error=True)
    kept = stop.value.result
    assert kept.status is FlowStatus.CONVERGED
    assert "error_estimate" not in kept.diagnostics


LOOPS = {
    "flow": lambda loss: [gradient_flow(NETWORK, DATA, W0, loss) for _ in range(3)],
    "descent": lambda loss: [gradient_descent(NETWORK, DATA, W0, 0.1, 30, loss) for _ in range(3)],
    "verify": lambda loss: [verify(NETWORK, DATA, loss=loss) for _ in range(2)],
    "survey": lambda loss: survey(NETWORK, DATA, [W0, 2 * W0, 4 * W0], loss),
}


@pytest.mark.parametrize("name", LOOPS)
def test_one_interrupt_ends_a_loop_over_runs(name):
    total = calls_of(LOOPS[name])
    for k in np.linspace(1, total, 8).astype(int):
        loss = Pressed(int(k))
        with pytest.raises(KeyboardInterrupt):
            LOOPS[name](loss)
        assert loss.calls < loss.k + 20  # what it still does is to note where it is


class Interrupting:
    """Takes the place of a function and presses Ctrl-C in the k-th call."""

    def __init__(self, function, k):
        self.function, self.k, self.calls = function, k, 0

    def __call__(self, *args, **options):
        self.calls += 1
        if self.calls == self.k:
            raise KeyboardInterrupt
        return self.function(*args, **options)


@pytest.mark.parametrize("k", [1, 40, 700])
def test_one_interrupt_ends_the_self_test(k, monkeypatch):
    pressed = Interrupting(LogisticLoss.log_weight, k)
    monkeypatch.setattr(LogisticLoss, "log_weight", lambda self, q: pressed(self, q))
    with pytest.raises(KeyboardInterrupt):
        self_test()
    assert pressed.calls < k + 20


@pytest.mark.parametrize("k", [3, 30_000, 60_000])
def test_one_interrupt_ends_the_search_which_hands_over_what_it_found(k, monkeypatch):
    pressed = Interrupting(LogisticLoss.log_weight, k)
    monkeypatch.setattr(LogisticLoss, "log_weight", lambda self, q: pressed(self, q))
    with pytest.raises(RunInterrupted) as stop:
        search(tries=8, samples=3, neurons=2)
    assert pressed.calls < k + 20
    assert stop.value.result.flows > 0


def test_a_signal_while_the_command_is_imported_leaves_no_traceback(tmp_path) -> None:
    """Ctrl-C arrives when the first of its modules is looked for, which is before any guard of `shell` stands."""
    early = (
        "import os, signal, sys\n"
        "from verification import cli\n"
        "class Press:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'verification.shell':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press())\n"
        "sys.exit(cli.main(['verify']))\n"
    )
    done = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "implicit-bias: interrupted.\n")


START = """
import os, signal, sys
target = sys.argv.pop()
class Press:
    def find_spec(self, name, path=None, module=None):
        if name == target:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
from verification.__main__ import main
sys.argv.append("--version")
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["verification.cli", "verification.shell", "argparse", "verification.streams"])
def test_a_signal_at_any_import_of_the_command_ends_it_with_one_sentence(module) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START, module], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "implicit-bias: interrupted.\n")


def test_what_the_command_imports_before_the_signal_is_handled_takes_no_time() -> None:
    before = "import sys; before = set(sys.modules); import verification.__main__; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", before], capture_output=True, text=True, timeout=60, check=True)
    light = {"__future__", "signal", "enum", "types", "operator", "functools", "collections", "keyword", "reprlib"}
    light |= set(sys.builtin_module_names)
    ours = {"verification", "verification.__main__", "verification.cli"}
    assert {name for name in done.stdout.split() if not name.startswith("_") and name not in light} <= ours


def test_the_installed_command_starts_there_and_so_does_python_m() -> None:
    setup = ConfigParser()
    setup.read(Path(__file__).parents[3] / "setup.cfg")
    started = setup["options.entry_points"]["console_scripts"].split()
    assert started == ["implicit-bias", "=", "verification.__main__:main"]
    done = subprocess.run(
        [sys.executable, "-m", "verification", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "implicit-bias")


def test_importing_the_package_leaves_signals_alone() -> None:
    line = "import signal, verification, verification.cli; print(signal.getsignal(2) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"
