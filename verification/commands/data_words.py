"""What is said of data before a command works with them: how they were prepared, and what K = X Xᵀ is like."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.datasets import Dataset
from refimpl.display import shown
from refimpl.errors import ImplicitBiasError
from refimpl.preparation import Conditioning, Prepared, conditioning, prepare

__all__ = ["NEED_INVERTIBLE_GRAM", "gram_sentences", "option", "preparation_sentences"]

NEED_INVERTIBLE_GRAM = (
    "descent-converges",
    "descent-stable-rank-bounded",
    "descent-norms-grow",
    "small-initialization-matters",
    "paper-descent-theorem",
)
"""Rows of `verify` whose hypothesis fails wherever K is singular.

Sections 4 and 10 of docs/theory.md ask for K_ii > Σ_{k≠i} |K_ik|, which makes K invertible; section 8 divides by
λ_min(K).
"""

ILL_CONDITIONED = 1e8
"""From here on half of the 16 digits of float64 may go where a system with K is solved."""

WORTH_ADVISING = 10.0
"""A step of preparation is advised if it improves the condition by this factor."""


def option(step: str) -> str:
    """The option of a step of preparation.

    Examples
    --------
    >>> option("unit_norm")
    '--unit-norm'
    """
    return "--" + step.replace("_", "-")


def preparation_sentences(prepared: Prepared) -> list[str]:
    """What was done to the samples, and what that costs."""
    steps = [step.name for step in prepared.steps]
    sentences = [f"prepared by {step.sentence}" for step in prepared.steps]
    if "centre" not in steps and "standardize" not in steps:
        return sentences
    vector = "the vector of the norms before --unit-norm" if "unit_norm" in steps else "the all-ones vector"
    if "add_bias" in steps:
        return [*sentences, f"centred samples have {vector} in the kernel of K; the column of ones takes it out"]
    what = f"centring makes K singular: K times {vector} is 0"
    undone = " (--add-bias undoes it)" if prepared.data.n <= prepared.data.d + 1 else ""
    return [*sentences, f"{what}; that costs the rows {_listed(NEED_INVERTIBLE_GRAM)} of verify{undone}"]


def gram_sentences(prepared: Prepared, found: Conditioning) -> tuple[list[str], list[str]]:
    """What K is like: remarks, and warnings.

    Parameters
    ----------
    prepared : Prepared
    found : Conditioning
        Of its data.

    Returns
    -------
    remarks, warnings : list of str
        Warnings have the number cond(K) and what to do.
    """
    data, steps = prepared.data, [step.name for step in prepared.steps]
    centred = ("centre" in steps or "standardize" in steps) and "add_bias" not in steps
    remarks = []
    if found.singular and data.n > data.d:
        remarks.append(f"K is singular: n = {data.n} > d = {data.d}")
    elif found.rank < data.n - centred:
        remarks.append(f"K is singular to rounding: its rank is {found.rank}, n = {data.n}")
    if remarks and not centred:
        remarks[0] += f"; that costs the rows {_listed(NEED_INVERTIBLE_GRAM)} of verify"
    if not found.condition > ILL_CONDITIONED:
        return remarks, []
    name = "cond(K), of its nonzero eigenvalues," if found.singular else "cond(K)"
    digits = f"up to {min(16, len(f'{found.condition:.0f}') - 1)} of 16 digits may be lost"
    return remarks, [f"{name} is {shown(found.condition)}: {digits}; {_advice(data, steps, found.condition)}"]


def _advice(data: Dataset, steps: Sequence[str], condition: float) -> str:
    """The step that improves the condition most, with the number that it leads to."""
    best, name = condition / WORTH_ADVISING, ""
    for step in ("centre", "standardize", "unit_norm"):
        after = None if step in steps else _condition_after(data, step)
        if after is not None and after < best:
            best, name = after, step
    if name:
        return f"{option(name)} would make it {shown(best)}"
    return "no step of preparation makes it much better: samples or columns are nearly dependent (--drop-column)"


def _condition_after(data: Dataset, step: str) -> float | None:
    try:
        found = conditioning(prepare(data, step).data)
    except ImplicitBiasError:
        return None
    return None if found is None else found.condition


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
