"""The pages of one flow and of one descent, and the pictures that a report shows of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from refimpl.descent import DescentResult
from refimpl.flow import FlowResult
from verification.page.document import Page, Picture, Section, Table

__all__ = ["descent_pictures", "flow_pictures", "margins_picture", "page_of_descent", "page_of_flow"]

HEAD = ("sample", "margin", "multiplier λ")

Facts = Sequence[tuple[str, str]]
"""What a command's table says: name and value."""


def page_of_flow(result: FlowResult, facts: Facts, origin: str, command: str, environment: dict[str, Any]) -> Page:
    """One flow: where it went, its path, its limit."""
    outcome = result.message
    sections = [
        Section("Outcome", tables=[Table("Where the flow went", ("what", "value"), facts)]),
        Section("Path", pictures=flow_pictures(origin, result)),
    ]
    limit = result.limit
    if limit is not None:
        from verification.plots import panels

        says = f"Singular values of the limit relative to the largest; rank {limit.rank}"
        caption = "A limit of rank two has two singular values above the dotted line."
        picture = Picture(lambda axis: panels.draw_limit_spectra(axis, [("limit", limit)]), says, caption)
        rows = [
            (str(i + 1), f"{q:.12g}", f"{lam:.6g}")
            for i, (q, lam) in enumerate(zip(limit.margins, limit.multipliers, strict=True))
        ]
        table = Table(
            "Margins and multipliers of the limit", ("sample", "margin", "multiplier λ"), rows, numbers=(1, 2)
        )
        sections.append(Section("Limit", pictures=[picture], more=[Section("Every sample", tables=[table])]))
    return Page(f"Gradient flow on {origin}", outcome, [], sections, command, environment)


def page_of_descent(
    result: DescentResult,
    head: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    origin: str,
    command: str,
    environment: dict[str, Any],
) -> Page:
    """One descent: about ten of its steps, and its path."""
    sections = [
        Section("Steps", tables=[Table("Some of the recorded steps", head, rows, numbers=(1, 2, 3, 4, 5))]),
        Section("Path", pictures=descent_pictures(result)),
    ]
    return Page(f"Gradient descent on {origin}", result.message, [], sections, command, environment)


def flow_pictures(name: str, result: FlowResult) -> list[Picture]:
    """Margins, weights, loss with events, and pattern of a flow."""
    from verification.plots import panels  # matplotlib takes a second to import

    end, n = result.trajectory, result.trajectory.margins.shape[1]
    about = _about(name, result)
    kinds = {kind: sum(event.kind == kind for event in result.events) for kind in panels.EVENTS}
    told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    return [
        margins_picture(name, result),
        _picture(
            panels.draw_weights,
            result,
            f"Sample weights {about}; the largest at the end is {end.sample_weights[-1].max():.4g}",
            "Samples whose weight goes to 0 are no support vectors.",
        ),
        _picture(
            panels.draw_flow_loss,
            result,
            f"Log of the loss, and events so far, {name}: {told}; log of the loss at the end {end.log_loss[-1]:.4g}",
            "An event is a unit that reaches the kink of its activation, or leaves it.",
        ),
        _picture(
            panels.draw_pattern,
            result,
            f"Side of each unit over time, {name}: {result.initial_pattern.shape[0]} neurons with {n} samples each",
            "Once no colour changes any more, the limit is a small problem that is solved exactly.",
        ),
    ]


def margins_picture(name: str, result: FlowResult) -> Picture:
    """Normalized margins of a flow."""
    from verification.plots import panels

    q = result.trajectory.margins[-1]
    says = f"Normalized margins {_about(name, result)}; at the end margins lie between {q.min():.4g} and {q.max():.4g}"
    return _picture(panels.draw_margins, result, says, "Where all margins are tight, the lines meet.")


def _about(name: str, result: FlowResult) -> str:
    path = result.trajectory
    return f"of {path.margins.shape[1]} samples against loss-normalized time up to s = {path.s[-1]:.4g}, {name}"


def descent_pictures(result: DescentResult) -> list[Picture]:
    """Stable rank, singular values, and loss of a descent."""
    from verification.plots import panels

    path = result.trajectory
    steps = f"{path.step[-1]:,} steps"
    return [
        _picture(
            panels.draw_stable_rank,
            result,
            f"Stable rank of W(t) over {steps}, from {path.stable_rank[0]:.4g} to {path.stable_rank[-1]:.4g}",
            "From a small start one step is enough to make the stable rank drop.",
        ),
        _picture(
            panels.draw_singular_values,
            result,
            f"Largest singular values of W(t) over {steps}",
            "The first two grow, the others stay.",
        ),
        _picture(
            panels.draw_descent_loss,
            result,
            f"Log of the loss and smallest margin over {steps}; at the end {path.log_loss[-1]:.4g} and "
            f"{path.smallest_margin[-1]:.4g}",
            "Both go on for ever, like the logarithm of the number of steps.",
        ),
    ]


def _picture(draw: Callable[[Any, Any], None], what: Any, says: str, caption: str) -> Picture:
    return Picture(lambda axis: draw(axis, what), says, caption)
