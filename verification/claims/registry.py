"""Claims from elsewhere: loaded by name, found where packages are installed, checked, chosen, explained."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import Any

from refimpl.errors import ImplicitBiasError, InvalidParameterError
from verification.claims import CLAIMS
from verification.claims.base import Claim
from verification.user_code import load

__all__ = ["GROUP", "among", "chosen", "explain", "installed_claims", "load_claims", "one_line", "sections_of"]

GROUP = "implicit_bias.claims"
"""The group of entry points by which a package offers claims."""


def load_claims(name: str) -> tuple[Claim, ...]:
    """The claims that a name such as `package.module` or `package.module:OBJECT` stands for.

    Parameters
    ----------
    name : str
        A module with `CLAIM` or `CLAIMS`, or, after a colon, an object: one `Claim` or several. The current folder is
        searched too.

    Raises
    ------
    InvalidParameterError
        If it cannot be imported, or holds no claim.

    Examples
    --------
    >>> [claim.id for claim in load_claims("verification.claims.flow_zero_loss")]
    ['flow-zero-loss']
    """
    try:
        found = load(name)
    except (ImplicitBiasError, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever the module does when it is imported, SystemExit too
        form = "package.module, without .py" if name.endswith(".py") else "package.module"
        why = f"name a module that can be imported, such as {form} ({type(error).__name__}: {error})"
        raise InvalidParameterError("claims", why, name) from error
    return _claims_in(found, name)


def _claims_in(found: Any, name: str) -> tuple[Claim, ...]:
    """A claim, several, or those of a module."""
    if inspect.ismodule(found):
        found = getattr(found, "CLAIMS", getattr(found, "CLAIM", None))
    several = (found,) if isinstance(found, Claim) else found
    if not isinstance(several, (list, tuple)) or not several or not all(isinstance(c, Claim) for c in several):
        raise InvalidParameterError("claims", "name a module with a `CLAIM` or `CLAIMS`, or such an object", name)
    return tuple(several)


def installed_claims() -> tuple[Claim, ...]:
    """The claims of installed packages, by their entry points in the group `implicit_bias.claims`, in order of names.

    An entry point names a module or an object, as in `load_claims`. The command uses them; `verify` in Python takes
    only what it is given.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(claim for point in points for claim in load_claims(point.value))


def among(claims: Any) -> tuple[Claim, ...]:
    """The built-in claims, and those given after them.

    Raises
    ------
    InvalidParameterError
        If one is no `Claim`, or two have the same id.
    """
    if claims is None:
        return CLAIMS
    if isinstance(claims, Claim) or not isinstance(claims, Iterable) or isinstance(claims, str):
        raise InvalidParameterError("claims", "be a sequence of `Claim`s, such as [MY_CLAIM]", claims)
    try:
        claims = iter(claims)
    except TypeError as error:  # an array without dimensions calls itself iterable
        raise InvalidParameterError("claims", "be a sequence of `Claim`s, such as [MY_CLAIM]", claims) from error
    given: list[Claim] = []
    known = {claim.id for claim in CLAIMS}
    for claim in claims:
        if not isinstance(claim, Claim):
            raise InvalidParameterError("claims", "hold `Claim`s only", claim)
        if claim.id in known:
            raise InvalidParameterError("claims", "have ids that no other claim has", claim.id)
        known.add(claim.id)
        given.append(claim)
    return (*CLAIMS, *given)


def chosen(claims: Sequence[Claim], only: Any) -> tuple[Claim, ...]:
    """Those whose ids are in `only`, in the order of `claims`; all of them for None.

    Raises
    ------
    InvalidParameterError
        For an id that no claim has; the message names the nearest one, or those that it is a part of.
    """
    if only is None:
        return tuple(claims)
    wanted = [only] if isinstance(only, str) else only
    if not isinstance(wanted, Iterable):
        raise InvalidParameterError("only", "be ids of claims, such as ['flow-zero-loss']", only)
    wanted = list(wanted)
    known = {claim.id for claim in claims}
    for name in wanted:
        if name not in known:
            raise InvalidParameterError(
                "only", f"name claims{_nearest(str(name), known)}; --list-claims has them", name
            )
    if not wanted:
        raise InvalidParameterError("only", "name at least one claim", wanted)
    return tuple(claim for claim in claims if claim.id in wanted)


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), 1) or [full for full in known if name and name in full]
    return f" (did you mean {', '.join(sorted(near))}?)" if near else ""


def one_line(claim: Claim, width: int = 120) -> str:
    """Id and title, the title below itself where it is longer than its column."""
    return textwrap.fill(claim.title, width, initial_indent=f"{claim.id:34s} ", subsequent_indent=35 * " ")


def sections_of(claim: Claim) -> tuple[int, ...]:
    """Sections of docs/theory.md that the claim, or its module, cites first."""
    cited = f"{claim.source} {_module_docstring(claim)}"
    found = re.findall(r"theory\.md,? (?:sections? (\d+)(?:(?: and |, )(\d+))?|\((\d+)\.\d+\))", cited)
    return tuple(dict.fromkeys(int(number) for group in found for number in group if number))


def explain(claim: Claim, width: int = 120) -> str:
    """Statement, source, hypothesis, how it is measured, and what the columns of a report mean; in lines of `width`.

    Examples
    --------
    >>> print(explain(chosen(CLAIMS, ["descent-norms-grow"])[0]).partition("Columns")[0].rstrip())
    descent-norms-grow: Every neuron's weights grow as the loss goes to 0
    <BLANKLINE>
    Statement   Every neuron grows with the accumulated weights of the samples (docs/theory.md, section 8).
    Source      Frei et al., arXiv 2210.07082; docs/theory.md, section 8
    Hypothesis  γ > 0 and K invertible, which the bound of section 8 needs.
    Measured    Largest (λ_min(K) γ² a_j² Σ G_i²)/‖w_j(t) - w_j(0)‖² over neurons, recorded steps and starts.
    <BLANKLINE>
                The right-hand sides grow without bound as long as the loss goes to 0, because Σ G_i diverges.
    """
    parts = {
        "Statement": _module_docstring(claim) or claim.title,
        "Source": claim.source,
        "Hypothesis": inspect.getdoc(claim.hypothesis) or "(its function has no docstring)",
        "Measured": inspect.getdoc(claim.measure) or "(its function has no docstring)",
        "Columns": "\n".join(wrap(f"{name}: {what}", width - 12) for name, what in COLUMNS.items()),
    }
    fitted = {name: text if name == "Columns" else refilled(text, width - 12) for name, text in parts.items()}
    indented = (f"{name:12s}{text.strip()}".replace("\n", "\n" + 12 * " ") for name, text in fitted.items())
    lines = (line.rstrip() for part in indented for line in part.split("\n"))
    return f"{claim.id}: {claim.title}\n\n" + "\n".join(lines)


def wrap(text: str, width: int = 108) -> str:
    """In lines of at most `width` characters, those after the first indented."""
    return textwrap.fill(text, width, subsequent_indent="  ")


def refilled(text: str, width: int) -> str:
    """A docstring with each paragraph in lines of at most `width`; one with indented lines stays as it is."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(part if "\n " in part else textwrap.fill(part, width) for part in paragraphs)


COLUMNS = {
    "hypothesis": "the condition under which the claim is made, and whether it holds on these data",
    "slack": "how far the data are from the edge of the hypothesis: the factor by which what it bounds from above, "
    "such as all inner products of different samples, could grow before it fails (1 or more where it holds)",
    "measured, value": "what was measured, the worst over all starts",
    "bound": "the claim says value <= bound",
    "tolerance": "what the numerics may be off by, from an error estimate; value <= bound + tolerance agrees",
    "conclusion": "HOLDS, FAILS or UNDECIDED, whatever the hypothesis",
    "verdict": "HOLDS_CERTIFIED (proven in exact arithmetic), HOLDS_NUMERICALLY, VIOLATED, VACUOUS (the bound says "
    "nothing), HYPOTHESIS_NOT_MET, INCONCLUSIVE (the numerics do not decide)",
}
"""What the columns of a report mean."""


def _module_docstring(claim: Claim) -> str:
    """Of the module that measures, if the claim has one of its own."""
    module = sys.modules.get(getattr(claim.measure, "__module__", "") or "")
    own = getattr(module, "CLAIM", None) is claim
    return (inspect.getdoc(module) or "").strip() if own else ""
