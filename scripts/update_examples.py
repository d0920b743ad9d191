"""Run the commands of docs/examples.md and put what they print below them.

    python scripts/update_examples.py            rewrite the page
    python scripts/update_examples.py --check    change nothing; exit with 1 if the page is stale

The commands of all ```console blocks run in order, in an empty folder; lines that begin with pip are left out. Where a
block is followed by the line <!-- output --> and a ```text block, that block holds what the last command of the
block prints, standard error included. Times, and numbers that are rounding, may differ without the page being stale.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from refimpl.errors import ImplicitBiasError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "examples.md"

BLOCK = re.compile(
    r"```console\n(?P<commands>.*?)```\n(?P<between>\n<!-- output -->\n```text\n)?(?(between)(?P<output>.*?)```\n)",
    re.S,
)

COMMAND = "import sys; from verification.cli import main; sys.exit(main())"

MEASURED = (0, 1, 3)
"""Exit codes with which a command has printed a result."""

ROUNDING, SAME = 1e-9, 0.02
"""Numbers below the first count as equal, others if they differ by at most the second part."""

NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
TIME = re.compile(r"\d[\d.,]* (s|seconds|min)\b|(?<=│ )seconds\s+│[^│]*")


def main(arguments: list[str] | None = None) -> int:
    """Rewrite or check the page; the exit code is 1 if it was to be checked and is stale, and 2 if a command fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if the page is stale")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page (default: docs/examples.md)")
    args = parser.parse_args(arguments)
    before = args.page.read_text(encoding="utf-8")
    try:
        with tempfile.TemporaryDirectory() as folder:
            after = updated(before, Path(folder))
    except ImplicitBiasError as error:
        print(f"update_examples: error: {error}", file=sys.stderr)
        return 2
    if not args.check:
        args.page.write_text(after, encoding="utf-8")
        return 0
    stale = stale_lines(before, after)
    for line in stale:
        print(line)
    return 1 if stale else 0


def updated(page: str, folder: Path) -> str:
    """The page with fresh outputs; the commands run in `folder`.

    Raises
    ------
    ImplicitBiasError
        If a command ends with another code than `MEASURED`.
    """

    def fresh(block: re.Match[str]) -> str:
        printed = ""
        for line in block["commands"].splitlines():
            if line.strip() and not line.startswith("pip "):
                printed = run(line, folder)
        if not block["between"]:
            return block[0]
        return f"```console\n{block['commands']}```\n{block['between']}{printed}```\n"

    return BLOCK.sub(fresh, page)


def run(line: str, folder: Path) -> str:
    """What one command prints, on standard output and error."""
    words = shlex.split(line, comments=True)
    if words[0] == "implicit-bias":
        words = [sys.executable, "-c", COMMAND, *words[1:]]
    elif words[0] == "python" and len(words) > 1 and (ROOT / words[1]).is_file():
        words = [sys.executable, str(ROOT / words[1]), *words[2:]]
    else:
        raise ImplicitBiasError(f"`{line}` is neither implicit-bias nor python with a script of this project.")
    env = os.environ | {"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False
    )
    if done.returncode not in MEASURED:
        raise ImplicitBiasError(f"`{line}` ended with {done.returncode}: {done.stdout.strip()[-300:]}")
    printed = "\n".join(text.rstrip() for text in done.stdout.splitlines())
    return f"{printed}\n" if printed else ""


def stale_lines(before: str, after: str) -> list[str]:
    """Lines of outputs that differ in more than times and rounding, old (-) and new (+)."""
    found = []
    for old, new in zip(BLOCK.finditer(before), BLOCK.finditer(after), strict=True):
        one, other = ((block["output"] or "").splitlines() for block in (old, new))
        pairs = [*zip(one, other, strict=False)]
        found += [f"{sign} {line}" for pair in pairs if not same(*pair) for sign, line in zip("-+", pair, strict=True)]
        found += [f"- {line}" for line in one[len(pairs) :]] + [f"+ {line}" for line in other[len(pairs) :]]
    return found


def same(one: str, other: str) -> bool:
    """Whether two lines say the same: widths of tables, times and rounding aside.

    Examples
    --------
    >>> same("│ σ₃/σ₁ │ 6.7e-17 │", "│ σ₃/σ₁ │   1e-16 │"), same("rank 2 in 3.1 s", "rank 3 in 2.9 s")
    (True, False)
    """
    one, other = (" ".join(re.sub(r"[━─═]+", "-", TIME.sub("", line)).split()) for line in (one, other))
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(_near(*(float(text.replace(",", "")) for text in pair)) for pair in pairs)


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= max(ROUNDING, SAME * max(abs(a), abs(b))) if a != int(a) or b != int(b) else a == b


if __name__ == "__main__":
    sys.exit(main())
