"""Constants of the paper, in one table: where each comes from and whether it was checked.

The paper is Frei, Vardi, Bartlett, Srebro, Hu, *Implicit Bias in Leaky ReLU Networks Trained on
High-Dimensional Data*, ICLR 2023, arXiv 2210.07082. A constant without a `source` was recalled and is marked †
wherever it is shown. One verdict rests on such constants, that of `paper-descent-theorem`; none on the flow does
(docs/theory.md, sections 5 and 11).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PAPER_CONSTANTS", "DescentSettings", "PaperConstant", "descent_settings", "flow_condition_slack"]


@dataclass(frozen=True)
class PaperConstant:
    """One constant of the paper.

    Attributes
    ----------
    value : float
    meaning : str
        Where it stands, in the paper's letters.
    source : str
        The printed text that it was compared with; empty if it was recalled.
    """

    value: float
    meaning: str
    source: str = ""

    @property
    def mark(self) -> str:
        """ "" where it was compared with a printed text, else †."""
        return "" if self.source else "†"


PAPER_CONSTANTS: dict[str, PaperConstant] = {
    "flow_condition": PaperConstant(
        3.0,
        "gradient flow: R_min² >= 3 γ⁻³ R² n max_{i≠k} |<x_i, x_k>|",
        "Frei, Vardi, Bartlett, Srebro, COLT 2023, Lemma 16",
    ),
    "descent_C_R": PaperConstant(10.0, "gradient descent: C_R = 10 R² γ⁻² + 10"),
    "descent_condition": PaperConstant(5.0, "gradient descent: R_min² >= 5 γ⁻² C_R n max_{i≠k} |<x_i, x_k>|"),
    "descent_step": PaperConstant(5.0, "gradient descent: α <= γ² / (5 n R_max² R² C_R max(1, H))"),
    "descent_initialization": PaperConstant(72.0, "gradient descent: ω <= α γ² R_min / (72 R C_R n √(m d log(4m/δ)))"),
    "margin_bound": PaperConstant(2.0, "gradient flow: ‖z‖ <= 2/(κ+γ) ‖z*‖"),
}


def flow_condition_slack(R_min: float, R_max: float, p: float, n: int, slope: float) -> float:
    """R_min² / (3 γ⁻³ R² n p) with R = R_max/R_min: at least 1 where the paper's condition holds.

    Infinite if p = 0 (orthogonal data, or one sample); 0 if the slope is 0 and p > 0.

    Examples
    --------
    >>> flow_condition_slack(R_min=1.0, R_max=1.0, p=0.01, n=10, slope=1.0)
    3.3333333333333335
    """
    if p == 0.0:
        return float("inf") if slope > 0.0 else 0.0
    constant = PAPER_CONSTANTS["flow_condition"].value
    return (R_min / R_max) ** 2 * slope**3 * (R_min**2 / p) / (constant * n)


@dataclass(frozen=True)
class DescentSettings:
    """What the paper's theorem on gradient descent asks for (docs/theory.md, section 4).

    Attributes
    ----------
    slack : float
        R_min² / (5 γ⁻² C_R n p): at least 1 where the condition on the data holds.
    step_size : float
        The largest α.
    scale : float
        The largest ω.
    """

    slack: float
    step_size: float
    scale: float


def descent_settings(
    R_min: float, R_max: float, p: float, n: int, d: int, m: int, slope: float, smoothness: float, delta: float
) -> DescentSettings:
    """Slack, largest step size and largest initialization of the paper's theorem on gradient descent.

    `delta` is the probability δ with which its conclusions may fail; every constant is †.

    Examples
    --------
    >>> settings = descent_settings(1.0, 1.0, 1e-4, n=2, d=100, m=4, slope=1.0, smoothness=1.0, delta=0.1)
    >>> settings.slack, settings.step_size
    (50.0, 0.005)
    """
    if slope**2 == 0.0:  # γ⁻² exceeds every float: nothing is allowed
        return DescentSettings(0.0, 0.0, 0.0)
    value = {name: constant.value for name, constant in PAPER_CONSTANTS.items()}
    R = R_max / R_min
    C_R = value["descent_C_R"] * R**2 / slope**2 + value["descent_C_R"]
    slack = R_min**2 * slope**2 / (value["descent_condition"] * C_R * n * p) if p > 0.0 else float("inf")
    step = slope**2 / (value["descent_step"] * n * R_max**2 * R**2 * C_R * max(1.0, smoothness))
    root = math.sqrt(m * d * math.log(4.0 * m / delta))
    scale = step * slope**2 * R_min / (value["descent_initialization"] * R * C_R * n * root)
    return DescentSettings(slack, step, scale)
