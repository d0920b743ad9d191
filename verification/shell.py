"""What the command `implicit-bias` does: subcommands, one sentence for each error, exit codes.

Little is imported before the guards of `main` stand: NumPy, SciPy and the subcommand that was asked for load inside.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from threading import current_thread, main_thread
from typing import Any, NoReturn

from verification.help_format import HelpFormatter
from verification.streams import give_up_if_broken, prepare_streams, printable, remark, write_output

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS = {
    "verify": "which claims of the theory hold on a data set, with what slack",
    "flow": "gradient flow to its limit",
    "descend": "gradient descent: loss, margins, ranks and norms by step",
    "max-margin": "the max-margin problem in parameter space, by CVXPY and in closed form",
    "kkt": "KKT residuals of given weights",
    "audit": "what the theory says of checkpoints of a network that was trained elsewhere",
    "certify": "prove in exact arithmetic that every KKT point is the closed form, or check such a proof",
    "sweep": "a grid of flows, descents or verifications, kept in a file as it is computed",
    "search": "look for data just below a condition on which a conclusion fails",
    "conformance": "judge any implementation by golden vectors and properties",
    "vectors": "list the golden vectors, or export them for another language",
    "self-test": "run the checks against implementations that are wrong on purpose",
}
"""Subcommand -> what it does; its module is `verification.commands` with underscores."""

BAD_INPUT, UNEXPECTED, INTERRUPTED, NO_READER = 2, 70, 130, 141

EXAMPLES = """examples:
  implicit-bias verify                        the claims on built-in data
  implicit-bias verify --data data.csv        the claims on yours
  implicit-bias flow --plot flow.png          one gradient flow, drawn

`implicit-bias COMMAND --help` shows the options of a command.

exit codes: 0 nothing violated; 1 violated, or refused; 2 bad input, or an output that cannot be written;
3 inconclusive; 70 an unexpected error, which is a fault of this program; 130 interrupted"""

PARAMETERS = {
    "global": "optimum",
    "drop_columns": "drop_column",
    "scales": "init_scales",
    "scale": "init_scale",
    "descent_steps": "steps",
}
"""Parameters in Python whose option has another name (`argparse`'s, with underscores)."""

LEAST_ADDRESS_SPACE = 640 << 20
"""Bytes of address space without which the linear algebra of NumPy and SciPy ends the process or hangs."""

DEBUG = "IMPLICIT_BIAS_DEBUG"
"""With this in the environment, as with --debug, errors come with a traceback, and no warning is hidden."""

OTHERS = "numpy|scipy|cvxpy|clarabel|matplotlib|hypothesis|rich|joblib|flint|pandas|torch|jax|PIL|fontTools|distributed"
"""Packages whose warnings the user can do nothing about."""


class _Answered(SystemExit):
    """The parser has said all that there is to say: help, the version, or what is wrong with the arguments."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, whatever was typed, and that notices when help gets lost."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"formatter_class": HelpFormatter})

    def print_help(self, file: Any = None) -> None:
        write_output(self.format_help())

    def error(self, message: str) -> NoReturn:
        remark(f"{self.prog}: error: {printable(message)}; `{self.prog} --help` shows the options.\n")
        raise _Answered(BAD_INPUT)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        remark(message or "")
        raise _Answered(status)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("implicit-bias-refimpl")
        except PackageNotFoundError:
            found = "unknown (not installed)"
        write_output(f"implicit-bias {found}\n")
        parser.exit()


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser with all subcommands; only the chosen one has its options (and is imported)."""
    parser = _Parser(
        prog="implicit-bias",
        description="Is the theory of implicit bias true of your numbers, and is your implementation right?",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    parser.add_argument("--debug", action="store_true", help=f"show tracebacks and all warnings (or set {DEBUG}=1)")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, what in COMMANDS.items():
        if name == chosen:
            import_module(f"verification.commands.{name.replace('-', '_')}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=what)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 2, with one sentence on standard error, for bad input.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process, which then is all the command's: it ignores further signals when it is done.

    Returns
    -------
    int

    Raises
    ------
    SystemExit
        After --help, --version and bad options, as argparse does.
    """
    stop = _Stop()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or bool(os.environ.get(DEBUG))
    try:
        with ExitStack() as stack:
            stack.enter_context(stop.on_signals(for_good=arguments is None))
            stack.enter_context(prepare_streams())
            stack.enter_context(_quiet(debug))
            return _guarded(given, debug, stop)
    except KeyboardInterrupt:  # between two guards
        remark("implicit-bias: interrupted.\n")
        return stop.exit_code


def _guarded(given: list[str], debug: bool, stop: _Stop) -> int:
    """The exit code, with everything printed that will be."""
    options: dict[str, str] = {}
    try:
        code = _carry_out(given, options)
        write_output("")
        if stop.signal:
            remark("implicit-bias: interrupted.\n")
            return stop.exit_code
        return code
    except _Answered:
        raise
    except BaseException as error:
        if debug:
            _show_traceback(error)
        code, sentence = _told(error, stop)
        if str(getattr(error, "path", "")) not in options:  # else a file has the name of a parameter
            sentence = by_option(sentence, options)
        if sentence:
            remark(f"implicit-bias: {printable(sentence)}\n")
        give_up_if_broken(sys.stdout)
        return code


def by_option(sentence: str, options: dict[str, str]) -> str:
    """A sentence about parameters, with the options that people typed for them.

    Examples
    --------
    >>> by_option("`scales` must be numbers; got 'x'.", {"scales": "--init-scales"})
    "`--init-scales` must be numbers; got 'x'."
    """
    for parameter, option in options.items():
        sentence = sentence.replace(f"`{parameter}`", f"`{option}`")
    return sentence


def _options_of(args: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, str]:
    """Parameter of Python -> option or argument of the chosen command."""
    (actions,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    found = {}
    for action in actions.choices[args.command]._actions:
        found[action.dest] = action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)
    empty = [found[name] for name, value in vars(args).items() if value == "" and name in found]
    if empty:  # only a file name that is none is told without itself
        found["path"] = empty[0]
    found |= {name: found[option] for name, option in PARAMETERS.items() if option in found}
    if getattr(args, "explain", None) is not None:
        found["only"] = found["explain"]
    if "positive" in found:
        found["positive + negative"] = "--positive + --negative"
    return found | {name.replace("_", "-"): option for name, option in found.items()}


def _carry_out(given: list[str], options: dict[str, str]) -> int:
    """Run the subcommand; `options` is filled with what `by_option` needs."""
    chosen = next((word for word in given if not word.startswith("-")), None)
    if chosen in COMMANDS and not {"-h", "--help"} & set(given):
        _require_address_space()
    parser = build_parser(chosen)
    args, rest = parser.parse_known_args([word for word in given if word != "--debug"])  # taken anywhere
    if rest:
        parser.prog = f"{parser.prog} {chosen}"
        stray = not rest[0].startswith("-") and hasattr(args, "data")
        parser.error(f"unrecognized arguments: {' '.join(rest)}{' (--data FILE names the data)' if stray else ''}")
    args.command = chosen
    options.update(_options_of(args, parser))
    args.command_line = shlex.join(["implicit-bias", *given])
    return int(args.run(args))


def _require_address_space() -> None:
    """Refuse a limit (`ulimit -v`) under which the linear algebra of the libraries ends the process, or hangs.

    Raises
    ------
    MemoryError
    """
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
    except ImportError:
        return
    limit = getrlimit(RLIMIT_AS)[0]
    if limit not in (RLIM_INFINITY, -1) and limit < LEAST_ADDRESS_SPACE:
        have, need = limit >> 20, LEAST_ADDRESS_SPACE >> 20
        raise MemoryError(f"the limit on address space is {have} MiB, and the libraries need {need}")


def _told(error: BaseException, stop: _Stop) -> tuple[int, str]:
    """The exit code and the sentence for what ended the command."""
    if stop.signal or isinstance(error, KeyboardInterrupt):
        return stop.exit_code, "interrupted."
    errors = sys.modules.get("refimpl.errors")  # an import here would meet the modules that Ctrl-C left half loaded
    if errors is not None and isinstance(error, errors.ImplicitBiasError):
        return BAD_INPUT, f"error: {error}"
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and "failed to map" in str(error)):
        why = f" ({error})" if str(error) else ""
        return BAD_INPUT, f"error: this needs more memory than there is{why}."
    if isinstance(error, BrokenPipeError):
        return NO_READER, ""
    if isinstance(error, OSError):
        name = "" if error.filename is None else f" (`{error.filename}`)"
        return BAD_INPUT, f"error: {error.strerror or error}{name}."
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return UNEXPECTED, (
        f"unexpected error ({what}). This is a fault of the program, not of your input: please report it with the "
        f"command line; --debug, or {DEBUG}=1 in the environment, shows where it happened."
    )


def _show_traceback(error: BaseException) -> None:
    from traceback import print_exception

    with suppress(OSError, ValueError):
        print_exception(error, file=sys.stderr)


class _Stop:
    """The first signal that asked the command to stop."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def exit_code(self) -> int:
        """128 and the signal's number: 130 for Ctrl-C."""
        return 128 + self.signal if self.signal else INTERRUPTED

    def __call__(self, number: int, frame: object) -> None:
        """Keep what there is, and end: as Ctrl-C does, for SIGTERM and a closed terminal too."""
        self.signal = self.signal or number
        raise KeyboardInterrupt

    @contextmanager
    def on_signals(self, for_good: bool) -> Iterator[None]:
        """Be called for each signal that is not ignored already (`nohup`, a shell's background jobs)."""
        before: dict[int, Any] = {}
        if current_thread() is main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, self)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if for_good else handler)


@contextmanager
def _quiet(debug: bool) -> Iterator[None]:
    """No warnings of other packages, unless -W, PYTHONWARNINGS, a filter that makes errors of them, or --debug asks."""
    if debug or sys.warnoptions or any(action == "error" for action, *_ in warnings.filters):
        yield
        return
    import logging

    silent, hook = logging.NullHandler(), sys.unraisablehook
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=rf"({OTHERS})(\.|$)")
        logging.getLogger().addHandler(silent)  # else Python prints what nobody handles
        sys.unraisablehook = _ignore
        try:
            yield
        finally:
            sys.unraisablehook = hook
            logging.getLogger().removeHandler(silent)


def _ignore(unraisable: Any) -> None:
    """An error in a destructor concerns nobody; a signal that arrived there is kept by `_Stop`."""
