"""The installed command where things go wrong around it: encodings, closed outputs, signals, names, numbers, settings.

Each test starts the command as its users do. HYPOTHESIS_PROFILE=thorough runs every command under every encoding, and
presses Ctrl-C at random times.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import InvalidParameterError
from verification import cli
from verification.commands import max_margin as max_margin_command
from verification.commands import options

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
COMMAND = str(Path(sys.executable).with_name("implicit-bias"))
SMALL = ["--slope", "0.5", "--positive", "2", "--negative", "1"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and descriptors of POSIX")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two samples in data.npz, made the working one."""
    np.savez(tmp_path / "data.npz", X=[[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], y=[1.0, -1.0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def environment(**changes: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MPL", "LC_"))}
    return plain | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"} | changes


def started(*arguments: str, env: dict[str, str] | None = None, **where) -> subprocess.CompletedProcess:
    where = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | where
    done = subprocess.run([COMMAND, *arguments], env=env or environment(), timeout=120, check=False, **where)
    if done.stderr is not None:
        done.stderr = without_reading(done.stderr.decode()).encode()
    return done


def without_reading(error: str) -> str:
    """Standard error without what every command says of the data that it read."""
    return "".join(line for line in error.splitlines(keepends=True) if not line.startswith("... "))


def one_sentence(error: bytes) -> str:
    text = without_reading(error.decode())
    assert "Traceback" not in text
    assert text.count("\n") == 1, text
    return text


PROBLEM = ["--data", "data.npz", *SMALL]

# --- encodings ------------------------------------------------------------------------------------

ENCODINGS = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "cp437": {"PYTHONIOENCODING": "cp437"},
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_table_in_an_encoding_that_lacks_its_characters(name, folder) -> None:
    done = started("max-margin", *PROBLEM, env=environment(**ENCODINGS[name]))
    assert (done.returncode, without_reading(done.stderr.decode())) == (0, "")
    text = done.stdout.decode({"C": "ascii"}.get(name, name))
    assert "||W||" in text
    assert "|z" in text
    widths = {len(line) for line in text.splitlines()}
    assert len(widths) == 1  # words for characters leave the columns straight


@pytest.mark.parametrize("arguments", [["--help"], ["descend", "--help"]], ids=" ".join)
def test_help_in_ascii(arguments) -> None:
    done = started(*arguments, env=environment(PYTHONIOENCODING="ascii"))
    assert (done.returncode, without_reading(done.stderr.decode())) == (0, "")
    done.stdout.decode("ascii")


def test_json_on_a_stream_that_lacks_characters_is_the_same_json(folder) -> None:
    done = started("verify", *PROBLEM, "--json", "-", env=environment(PYTHONIOENCODING="ascii"))
    plain = started("verify", *PROBLEM, "--json", "-")
    a, b = (json.loads(out.decode(code)) for out, code in ((done.stdout, "ascii"), (plain.stdout, "utf-8")))
    assert [row["quantity"] for row in a["claims"]] == [row["quantity"] for row in b["claims"]]
    assert any(not row["quantity"].isascii() for row in a["claims"])
    assert done.returncode == plain.returncode == 0


# --- standard output and error that fail ----------------------------------------------------------


@contextlib.contextmanager
def broken(kind: str):
    """Options of a process whose standard output is closed, or full."""
    if kind == "closed":
        yield {"stdout": None, "preexec_fn": lambda: os.close(1)}
    else:
        with open("/dev/full", "wb") as full:
            yield {"stdout": full}


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("kind", ["closed", "full"])
def test_results_are_not_lost_with_standard_output(kind, unbuffered, folder) -> None:
    with broken(kind) as where:
        done = started(
            "max-margin", *PROBLEM, "--json", "m.json", env=environment(PYTHONUNBUFFERED=unbuffered), **where
        )
    assert done.returncode == 2
    assert "standard output" in one_sentence(done.stderr)
    assert json.loads((folder / "m.json").read_text())["status"] == "SOLVED"


@pytest.mark.parametrize("kind", ["closed", "full"])
def test_help_that_cannot_be_shown(kind) -> None:
    with broken(kind) as where:
        done = started("--help", **where)
    assert done.returncode == 2
    assert "standard output" in one_sentence(done.stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_no_fault(unbuffered, folder) -> None:
    read, write = os.pipe()
    os.close(read)
    env = environment(PYTHONUNBUFFERED=unbuffered)
    done = started("flow", *PROBLEM, "--save", "f.npz", stdout=write, env=env)
    os.close(write)
    assert (done.returncode, without_reading(done.stderr.decode())) == (141, "")
    assert (folder / "f.npz").exists()


def test_messages_that_cannot_be_shown(folder) -> None:
    with open("/dev/full", "wb") as full:
        assert started("flow", "--slope", "7", stderr=full).returncode == 2
    done = started("flow", "--slope", "7", stderr=None, preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (2, b"")


def test_what_one_output_takes_with_it(folder, capsys, monkeypatch) -> None:
    """In the process: an output that fails, for any reason, leaves the others and the tables."""
    (folder / "locked").mkdir()

    def deleted(*args, **kwargs):
        (folder / "locked").rmdir()
        return original(*args, **kwargs)

    from verification.commands import flow

    original = flow.gradient_flow
    monkeypatch.setattr(flow, "gradient_flow", deleted)
    code = cli.main(["flow", *PROBLEM, "--json", "locked/f.json", "--save", "f.npz", "--plot", "f.png"])
    captured = capsys.readouterr()
    assert code == 2
    assert re.search("no folder `.*locked`", captured.err)
    assert "CONVERGED" in captured.out
    assert (folder / "f.npz").exists()
    assert (folder / "f.png").exists()


# --- signals --------------------------------------------------------------------------------------

PRESSED_AT_IMPORT = """
import os, signal, sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
from verification.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("numpy._core.numeric", ["flow"]),
        ("scipy.special", ["flow"]),
        ("verification.commands.search", ["search"]),
        ("rich.console", ["self-test"]),
        ("cvxpy", ["max-margin"]),
    ],
)
def test_an_interrupt_during_imports(module, arguments) -> None:
    script = PRESSED_AT_IMPORT.replace("MODULE", repr(module))
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment(), capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 130
    assert one_sentence(done.stderr) == "implicit-bias: interrupted.\n"


def pressed(arguments: list[str], wait: float, number: int = signal.SIGINT) -> tuple[int, str, float]:
    """Exit code, standard error, and the seconds until the end after a signal."""
    process = subprocess.Popen(
        [COMMAND, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(wait)
    process.send_signal(number)
    sent = time.monotonic()
    try:
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, error, time.monotonic() - sent


@pytest.mark.parametrize("arguments", [["search", "--seconds", "300"], ["verify", "--preset", "mixture"]], ids=" ".join)
def test_one_interrupt_ends_long_work(arguments) -> None:
    code, error, seconds = pressed(arguments, 3.0)
    assert code == 130
    assert error == "implicit-bias: interrupted.\n"
    assert seconds < 10.0  # a second, and a margin for machines that do other things


def test_a_closed_terminal_and_sigterm_keep_what_there_is(folder) -> None:
    code, error, _ = pressed(["search", "--seconds", "300", "--json", "s.json"], 6.0, signal.SIGTERM)
    assert (code, error) == (143, "implicit-bias: interrupted.\n")
    assert json.loads((folder / "s.json").read_text())["condition"] == "refined"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_a_file_is_written_leaves_no_half(name, folder) -> None:
    script = f"""
import os, signal, sys
from verification.cli import main
def pressed(*paths, **options):
    os.kill(os.getpid(), signal.{name})
os.replace = os.link = pressed
sys.exit(main())
"""
    before = sorted(os.listdir())
    done = subprocess.run(
        [sys.executable, "-c", script, "flow", *PROBLEM, "--json", "f.json"],
        env=environment(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 128 + getattr(signal, name)
    assert one_sentence(done.stderr) == "implicit-bias: interrupted.\n"
    assert sorted(os.listdir()) == before


@pytest.mark.skipif(not THOROUGH, reason="HYPOTHESIS_PROFILE=thorough")
@pytest.mark.parametrize("seed", range(60))
def test_an_interrupt_at_any_time(seed, folder) -> None:
    rng = random.Random(seed)
    arguments = rng.choice(
        [["verify"], ["self-test"], ["search", "--seconds", "60"], ["max-margin"], ["certify"], ["flow"]]
    )
    code, error, _ = pressed(arguments, rng.uniform(0.2, 3.0))
    assert (code, error) in ((130, "implicit-bias: interrupted.\n"), (0, ""))


@pytest.mark.skipif(not THOROUGH, reason="HYPOTHESIS_PROFILE=thorough")
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", ["verify", "flow", "descend", "certify", "self-test", "vectors list"])
def test_every_command_in_every_encoding(encoding, command) -> None:
    done = started(*command.split(), env=environment(**ENCODINGS[encoding]))
    assert (done.returncode, without_reading(done.stderr.decode())) == (0, "")


# --- what is shown --------------------------------------------------------------------------------


def test_progress_is_for_terminals(folder) -> None:
    import pty

    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "verify", *PROBLEM], env=environment(TERM="xterm"), stdout=subprocess.DEVNULL, stderr=end
    )
    os.close(end)
    seen = b""
    while select.select([terminal], [], [], 60.0)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    assert process.wait(timeout=60) == 0
    assert b"CVXPY" in seen or b"flow" in seen
    assert b"0:00:0" in seen


def test_warnings_of_other_packages_are_not_shown() -> None:
    script = """
import sys, types, warnings
import verification.commands.vectors as vectors
def run(args):
    import logging
    exec(compile("import warnings; warnings.warn('theirs')", "cvxpy.py", "exec"), {"__name__": "cvxpy.settings"})
    logging.getLogger("matplotlib").warning("theirs")
    warnings.warn("ours")
    return 0
vectors._list = run
from verification.cli import main
sys.exit(main(["vectors", "list", *sys.argv[1:]]))
"""

    def told(*flags: str, after: tuple[str, ...] = ()) -> tuple[int, str]:
        words = [sys.executable, *flags, "-c", script, *after]
        done = subprocess.run(words, env=environment(), capture_output=True, timeout=120, check=False)
        return done.returncode, done.stderr.decode()

    code, error = told()
    assert code == 0
    assert "theirs" not in error
    assert "ours" in error
    assert told(after=("--debug",))[1].count("theirs") == 2
    code, error = told("-W", "error::UserWarning")
    assert code == 70
    assert "UserWarning: theirs" in error


HOSTILE = ["[bold red]x", "[/x]", "[link=a]x", ":smile:", "a\x1b[2Jb", "a\nb", "\u202egpj", "x\udcff"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_and_not_obeyed(name, folder, capsys) -> None:
    shown = name.replace("\x1b", "\\x1b").replace("\n", "\\n").replace("\u202e", "\\u202e").replace("\udcff", "\\xff")
    for arguments in (
        ["flow", "--data", f"{name}.csv"],
        ["flow", f"{name}"],
        ["vectors", "export", "data.npz/" + name],
    ):
        with contextlib.suppress(SystemExit):
            assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert shown.replace("\\", "") in error.replace("\\", "")
        assert not set(error.replace("\n", "")) & {"\x1b", "\u202e", "\udcff"}
    if "\n" not in name and "/" not in name:
        assert cli.main(["vectors", "export", name]) == 0
        assert shown in capsys.readouterr().out
        (folder / f"{name}.npz").write_bytes((folder / "data.npz").read_bytes())
        assert cli.main(["certify", "--data", f"{name}.npz"]) == 3


def test_the_streams_are_given_back(capsys) -> None:
    before = sys.stdout, sys.stderr, sys.stdout.errors, signal.getsignal(signal.SIGINT), sys.unraisablehook
    cli.main(["vectors", "list"])
    assert before == (sys.stdout, sys.stderr, sys.stdout.errors, signal.getsignal(signal.SIGINT), sys.unraisablehook)


# --- errors ---------------------------------------------------------------------------------------


class Panic(BaseException):
    """As a panic of Rust reaches Python."""


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (ZeroDivisionError("division by zero"), 70, "unexpected error (ZeroDivisionError: division by zero)"),
        (RecursionError("maximum recursion depth exceeded"), 70, "RecursionError"),
        (AssertionError(), 70, "unexpected error (AssertionError)"),
        (SystemExit(0), 70, "unexpected error (SystemExit: 0)"),
        (Panic("called `unwrap`\nhere"), 70, "Panic: called `unwrap`\\nhere"),
        (MemoryError(), 2, "more memory than there is."),
        (MemoryError("Unable to allocate 7 TiB"), 2, "more memory than there is (Unable to allocate 7 TiB)."),
        (OSError(28, "No space left on device", "/tmp/x"), 2, "No space left on device (`/tmp/x`)."),
        (InvalidParameterError("slope", "lie in [0, 1]", 7), 2, "`--slope` must lie in [0, 1]; got 7."),
        (KeyboardInterrupt(), 130, "interrupted."),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_has_its_exit_code_and_one_sentence(fault, code, words, folder, capsys, monkeypatch) -> None:
    def failing(*args):
        raise fault

    monkeypatch.setattr(max_margin_command, "max_margin", failing)
    assert cli.main(["max-margin", *PROBLEM]) == code
    captured = capsys.readouterr()
    error = without_reading(captured.err)
    assert words in error
    assert error.count("\n") == bool(words)
    assert "Traceback" not in error
    assert cli.main(["max-margin", *PROBLEM, "--debug"]) == code
    assert f"{type(fault).__name__}" in capsys.readouterr().err.split("implicit-bias:")[0]
    monkeypatch.setenv("IMPLICIT_BIAS_DEBUG", "1")
    assert cli.main(["max-margin", *PROBLEM]) == code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("limit", "neurons"), [(330_000_000, "2"), (900_000_000, "10000000")])
def test_low_memory_is_one_sentence(limit, neurons, folder) -> None:
    """With 330 MB the linear algebra of SciPy hung, and with 300 MB it ended the process with exit code 1."""
    import resource

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = started("flow", "--positive", neurons, preexec_fn=limited)
    assert done.returncode == 2
    assert "memory" in one_sentence(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "--positive", "1e12"], "GiB of memory"),
        (["flow", "--positive", "9" * 30], "GiB of memory"),
        (["max-margin", "--negative", "1000000000000"], "GiB of memory"),
        (["descend", "--steps", "1e12", "--record-every", "1e9"], "116 days"),
        (["verify", "--steps", "1e12"], "116 days"),
        (["descend", "--steps", "1e400"], "whole number"),
        (["descend", "--steps", "9" * 5000], "whole number"),
        (["descend", "--steps", "1.5"], "whole number"),
        (["search", "--samples", "1000000"], "`--samples` must be at most 512"),
        (["search", "--neurons", "1e15"], "samples * neurons"),
        (["search", "--tries", "-1"], "tries"),
        (["search", "--seconds", "1e400"], "seconds"),
        (["search", "--seconds", "nan"], "seconds"),
        (["certify", "--slope", "1e999999999"], "slope"),
        (["certify", "--slope", "1e-999999999"], "slope"),
        (["certify", "--slope", "1e400"], "slope"),
        (["certify", "--slope", "9" * 5000], "slope"),
        (["certify", "--slope", "1/" + "9" * 5000], "slope"),
        (["certify", "--slope", "3/2"], "slope"),
        (["certify", "--slope", "nan"], "slope"),
        (["certify", "--slope", "1/0"], "slope"),
        (["flow", "--slope", "1e400"], "slope"),
        (["flow", "--max-time", "1e400"], "`--max-time`"),
        (["flow", "--init-scale", "nan"], "scale"),
        (["verify", "--init-scales", "1,2,nan"], "scales"),
        (["descend", "--step-size", "1e400"], "`--step-size`"),
    ],
)
def test_numbers_that_cannot_be_are_refused_at_once(arguments, words, capsys) -> None:
    began = time.monotonic()
    try:
        code = cli.main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error) < 1500
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("-3", -3), ("1e6", 10**6), ("2.0", 2), ("12345678901234567890", 12345678901234567890)],
)
def test_counts(text, value) -> None:
    assert options.count(text) == value


def test_search_keeps_to_its_time(capsys) -> None:
    for arguments in (["--seconds", "1"], ["--seconds", "1", "--samples", "60", "--neurons", "20"]):
        began = time.process_time()
        assert cli.main(["search", *arguments]) == 0
        assert time.process_time() - began < 6.0
        assert "flows followed" in capsys.readouterr().out


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_do_not_depend_on_settings_of_matplotlib(folder) -> None:
    def picture(name: str, **env: str) -> bytes:
        done = started("flow", *PROBLEM, "--plot", name, env=environment(**env))
        assert (done.returncode, without_reading(done.stderr.decode())) == (0, "")
        return (folder / name).read_bytes()

    plain = picture("a.png")
    (folder / "matplotlibrc").write_text("text.usetex: True\nlines.linewidth: 9\nbackend: tkagg\nnonsense: 1\n")
    settings = {"MPLBACKEND": "nonsense", "MPLCONFIGDIR": "/proc/nowhere", "HOME": "/proc"}
    assert picture("b.png", **settings) == plain


# --- help -----------------------------------------------------------------------------------------


def examples(command: str) -> list[list[str]]:
    """The command lines under "examples:" in the help of a command, as words."""
    parser = cli.build_parser(command)._subparsers._group_actions[0].choices[command]
    lines = parser.epilog.split("\n\n")[0].splitlines()
    assert lines[0] == "examples:"
    return [line.split("      (")[0].split() for line in lines[1:]]


EXAMPLES = [(command, words) for command in cli.COMMANDS for words in examples(command)]
SLOW = (
    "search --seconds 60",
    "self-test --dtype",
    "verify --preset correlated",
    "conformance --implementation verification.adapters",
)


def test_every_command_has_examples() -> None:
    assert {command for command, _ in EXAMPLES} == set(cli.COMMANDS)
    for command, words in EXAMPLES:
        assert words[0] == "implicit-bias"
        cli.build_parser(words[1]).parse_args(words[1:])
        assert words[1] == command or (command, words[1]) in {("search", "verify"), ("vectors", "conformance")}


IRIS = "Id,length,width,species\n1,5.1,1.4,setosa\n2,7.0,4.7,versicolor\n3,6.3,6.0,virginica\n4,4.9,1.3,setosa\n"


@pytest.fixture
def user_files(folder, monkeypatch):
    """What the examples of the help name."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 40)), np.array([1.0, -1.0] * 3)
    np.savez(folder / "data.npz", X=X, y=y)
    rows = [",".join([*(repr(float(x)) for x in row), str(int(label))]) for row, label in zip(X, y, strict=True)]
    for name in ("data.csv", "measurements.csv", "small.csv"):
        (folder / name).write_text("\n".join(rows) + "\n")
    (folder / "iris.csv").write_text(IRIS)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    (folder / "found").mkdir()
    (folder / "found" / "limits-closest.csv").write_text("x0,x1,label\n1.0,-0.2,1\n-0.2,1.0,1\n")
    W = rng.standard_normal((16, 40))
    np.save(folder / "W.npy", W)
    np.savez(folder / "trained.npz", W=W, second_layer=np.tile([0.25, -0.25], 8))
    (folder / "skips.txt").write_text("vectors/*  # not here\nproperties/*  # nor these\n")
    text = "from verification.conformance.subjects.styles import RIGHT\nnetwork = next(iter(RIGHT.values()))\n"
    text += "from dataclasses import replace\nfrom verification.claims.flow_zero_loss import CLAIM as known\n"
    text += "CLAIM = replace(known, id='mine')\n"
    (folder / "mypackage").mkdir()
    (folder / "mypackage" / "__init__.py").touch()
    (folder / "mypackage" / "mymodule.py").write_text(text)
    (folder / "proof.json").write_text("{}")
    (folder / "grid.toml").write_text('[grid]\ndata = "data.npz"\nslope = 0.5\nwidth = 3\n')
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize("words", [words for _, words in EXAMPLES], ids=" ".join)
def test_examples_of_the_help_run(words, user_files, capsys) -> None:
    line = " ".join(words[1:])
    if line.startswith(SLOW) or words[1] == "conformance":
        pytest.skip("takes long, or has tests of its own")
    written = {"search": "found/limits-closest.csv", "certify": "proof.json"}.get(words[1])
    if written is not None and "--out" in words:
        (user_files / written).unlink()
    code = cli.main([*words[1:], *(["--seconds", "1"] if words[1] == "search" else [])])
    assert code in ((1,) if "--check" in words else (0, 3)), capsys.readouterr().err


def test_help_loads_little() -> None:
    script = """
import sys
from verification.cli import COMMANDS, main
try:
    main(["--help"])
except SystemExit:
    print([x for x in ("numpy", "scipy", "rich", "cvxpy", "matplotlib") if x in sys.modules], file=sys.stderr)
for name in COMMANDS:
    try:
        main([name, "--help"])
    except SystemExit:
        pass
print([x for x in ("cvxpy", "matplotlib", "hypothesis", "pandas") if x in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, timeout=120, check=False
    )
    assert done.stderr.decode().split() == ["[]", "[]"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "data.npz"], "data.npz (--data FILE names the data); `implicit-bias verify --help`"),
        (["flow", "--init-scales", "3"], "arguments: --init-scales 3; `implicit-bias flow --help` shows the options."),
        (
            ["verify", "--preset", "small", "--data", "x"],
            "not allowed with argument --preset; `implicit-bias verify --help`",
        ),
        (["verifi"], "'self-test'); `implicit-bias --help` shows the options."),
    ],
)
def test_bad_options_are_one_sentence_that_names_the_help(arguments, words, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert words in error
    assert error.count("\n") == 1


def test_weights_of_a_checkpoint_are_for_audit(tmp_path, capsys) -> None:
    (tmp_path / "step1.pt").write_bytes(b"")
    assert cli.main(["kkt", "--weights", str(tmp_path / "step1.pt")]) == 2
    assert "`implicit-bias audit` reads checkpoints" in capsys.readouterr().err
