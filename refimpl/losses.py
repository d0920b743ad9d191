"""Margin losses ℓ(q), right for every margin from -1e300 to 1e300 (docs/theory.md, section 1).

For a margin q: the value ℓ(q), its logarithm, the weight g(q) = -ℓ'(q) >= 0 and its logarithm,
the curvature ℓ''(q), and η(q) = -d log g / dq = ℓ''/g. Of a loss with an exponential tail the logarithms never
underflow, which is what lets the flow run to margins of any size (docs/numerics.md, "Loss-normalized time").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from scipy.special import expit, log_expit

from refimpl.errors import InvalidParameterError
from refimpl.validation import Array, as_real_array

__all__ = ["ExponentialLoss", "HingeLoss", "LogisticLoss", "Loss", "as_loss", "has_exponential_tail", "loss_by_name"]


@runtime_checkable
class Loss(Protocol):
    """What descent needs of a decreasing loss ℓ; the flow needs `exponential_tail` too.

    A loss that has the attribute `exponential_tail`, true, declares what `gradient_flow` assumes of it beyond these
    methods: 0 < η <= 1 everywhere, and log g(q) = -q + a constant, to rounding, from q = 40 on. The theorem of
    docs/theory.md, section 2, the bound on what a weight can do until the next look, and margins without
    their common part rest on it. A loss without the attribute has no such tail (`has_exponential_tail`).
    """

    @property
    def name(self) -> str:
        """The name used in files and on the command line."""
        ...

    def value(self, q: Any) -> Array:
        """ℓ(q)."""
        ...

    def log_value(self, q: Any) -> Array:
        """log ℓ(q)."""
        ...

    def weight(self, q: Any) -> Array:
        """g(q) = -ℓ'(q)."""
        ...

    def log_weight(self, q: Any) -> Array:
        """log g(q)."""
        ...

    def log_weight_decay(self, q: Any) -> Array:
        """η(q) = -d log g(q) / dq."""
        ...

    def inverse_of_log_value(self, log_value: Any) -> Array:
        """ℓ⁻¹(exp(log_value))."""
        ...


@dataclass(frozen=True)
class LogisticLoss:
    """Logistic loss ℓ(q) = log(1 + e^{-q}).

    References
    ----------
    docs/theory.md, section 1.

    Examples
    --------
    >>> loss = LogisticLoss()
    >>> float(loss.value(-1e300)), float(loss.log_value(1e300))
    (1e+300, -1e+300)
    >>> float(loss.log_weight(750.0))   # g itself underflows there
    -750.0
    """

    name: str = "logistic"
    exponential_tail: ClassVar[bool] = True

    def value(self, q: Any) -> Array:
        """ℓ(q) = log(1 + e^{-q})."""
        return np.asarray(-log_expit(as_real_array("q", q)))

    def log_value(self, q: Any) -> Array:
        """log ℓ(q); equal to -q to rounding once q > 40."""
        q = as_real_array("q", q)
        return np.where(q > 40.0, -q, np.log(self.value(np.minimum(q, 40.0))))

    def weight(self, q: Any) -> Array:
        """g(q) = σ(-q); equal to e^{-q} to rounding once q > 40, where SciPy's σ ends at 1e-308."""
        q = as_real_array("q", q)
        g, far = expit(-q), q > 40.0
        return np.where(far, np.exp(-np.maximum(q, 40.0)), g) if far.any() else np.asarray(g)

    def log_weight(self, q: Any) -> Array:
        """log g(q) = log σ(-q)."""
        return np.asarray(log_expit(-as_real_array("q", q)))

    def curvature(self, q: Any) -> Array:
        """ℓ''(q) = σ(q) σ(-q)."""
        q = np.abs(as_real_array("q", q))
        return np.asarray(expit(q) * self.weight(q))

    def log_weight_decay(self, q: Any) -> Array:
        """η(q) = σ(q)."""
        return np.asarray(expit(as_real_array("q", q)))

    def inverse_of_log_value(self, log_value: Any) -> Array:
        """ℓ⁻¹(v) = -log(e^v - 1), given log v."""
        log_v = as_real_array("log_value", log_value)
        with np.errstate(over="ignore"):
            v = np.exp(np.maximum(log_v, -40.0))
        # log(e^v - 1) is log v to rounding for v < e^{-40}, and v + log(1 - e^{-v}) always
        return np.where(log_v < -40.0, -log_v, -(v + np.log(-np.expm1(-v))))


@dataclass(frozen=True)
class ExponentialLoss:
    """Exponential loss ℓ(q) = e^{-q}.

    `value`, `weight` and `curvature` are inf where e^{-q} exceeds the largest float; the
    logarithms are exact everywhere.

    References
    ----------
    docs/theory.md, section 1.

    Examples
    --------
    >>> loss = ExponentialLoss()
    >>> float(loss.value(0.0)), float(loss.log_weight(-1e300)), float(loss.value(-1e300))
    (1.0, 1e+300, inf)
    """

    name: str = "exponential"
    exponential_tail: ClassVar[bool] = True

    def value(self, q: Any) -> Array:
        """ℓ(q) = e^{-q}; inf where that exceeds the largest float."""
        with np.errstate(over="ignore"):
            return np.exp(-as_real_array("q", q))

    def log_value(self, q: Any) -> Array:
        """log ℓ(q) = -q."""
        return -as_real_array("q", q)

    def weight(self, q: Any) -> Array:
        """g(q) = e^{-q}."""
        return self.value(q)

    def log_weight(self, q: Any) -> Array:
        """log g(q) = -q."""
        return self.log_value(q)

    def curvature(self, q: Any) -> Array:
        """ℓ''(q) = e^{-q}."""
        return self.value(q)

    def log_weight_decay(self, q: Any) -> Array:
        """η(q) = 1."""
        return np.ones_like(as_real_array("q", q))

    def inverse_of_log_value(self, log_value: Any) -> Array:
        """ℓ⁻¹(v) = -log v."""
        return -as_real_array("log_value", log_value)


@dataclass(frozen=True)
class HingeLoss:
    """Hinge loss ℓ(q) = max(0, 1 - q), for descent: it has no exponential tail, and its weights end.

    g is 1 where q < 1 and 0 elsewhere, so descent ends once all margins are at least 1; log ℓ and log g are -inf there.

    References
    ----------
    docs/theory.md, section 17.

    Examples
    --------
    >>> loss = HingeLoss()
    >>> loss.value([-1.0, 1.0, 3.0]), loss.weight([-1.0, 1.0, 3.0])
    (array([2., 0., 0.]), array([1., 0., 0.]))
    """

    name: str = "hinge"

    def value(self, q: Any) -> Array:
        """ℓ(q) = max(0, 1 - q)."""
        return np.maximum(0.0, 1.0 - as_real_array("q", q))

    def log_value(self, q: Any) -> Array:
        """log ℓ(q); -inf from q = 1 on."""
        with np.errstate(divide="ignore"):
            return np.log(self.value(q))

    def weight(self, q: Any) -> Array:
        """g(q): 1 where q < 1, else 0."""
        return np.where(as_real_array("q", q) < 1.0, 1.0, 0.0)

    def log_weight(self, q: Any) -> Array:
        """log g(q): 0 where q < 1, else -inf."""
        return np.where(as_real_array("q", q) < 1.0, 0.0, -np.inf)

    def curvature(self, q: Any) -> Array:
        """ℓ''(q) = 0 but at the corner."""
        return np.zeros_like(as_real_array("q", q))

    def log_weight_decay(self, q: Any) -> Array:
        """η(q) = 0 where g > 0; 0 elsewhere too, where it is not defined."""
        return np.zeros_like(as_real_array("q", q))

    def inverse_of_log_value(self, log_value: Any) -> Array:
        """ℓ⁻¹(v) = 1 - v for v > 0; the smallest, 1, for v = 0."""
        with np.errstate(over="ignore"):
            return 1.0 - np.exp(as_real_array("log_value", log_value))


def loss_by_name(name: str) -> Loss:
    """The loss with an exponential tail called `name`: "logistic" or "exponential".

    Raises
    ------
    InvalidParameterError
        For any other name.

    Examples
    --------
    >>> loss_by_name("logistic")
    LogisticLoss(name='logistic')
    """
    for loss in (LogisticLoss(), ExponentialLoss()):
        if isinstance(name, str) and loss.name == name:
            return loss
    raise InvalidParameterError("loss", 'be "logistic" or "exponential"', name)


def as_loss(loss: Any) -> Loss:
    """What every argument `loss` may be: a `Loss`, the name of one ("hinge" too), or None for the logistic loss.

    Raises
    ------
    InvalidParameterError
        For anything else, a class of losses included.

    Examples
    --------
    >>> as_loss(None), as_loss("exponential"), as_loss("hinge")
    (LogisticLoss(name='logistic'), ExponentialLoss(name='exponential'), HingeLoss(name='hinge'))
    """
    if loss is None:
        return LogisticLoss()
    if isinstance(loss, str):
        return HingeLoss() if loss == HingeLoss.name else loss_by_name(loss)
    if isinstance(loss, type) or not isinstance(loss, Loss):
        raise InvalidParameterError("loss", 'be "logistic", "exponential" or a loss such as LogisticLoss()', loss)
    return loss


def has_exponential_tail(loss: Loss) -> bool:
    """Whether `loss` declares the tail that `gradient_flow` assumes (see `Loss`).

    Examples
    --------
    >>> has_exponential_tail(LogisticLoss())
    True
    """
    return getattr(loss, "exponential_tail", False) is True


def log_sum_exp(x: Array) -> float:
    """log Σ e^{x_i}, without overflow or underflow."""
    largest = float(x.max())
    return largest + float(np.log(np.sum(np.exp(x - largest)))) if np.isfinite(largest) else largest


def mean_log_value(loss: Loss, q: Array) -> float:
    """log L = log((1/n) Σ ℓ(q_i)), finite also where L underflows; -inf where it is 0."""
    return log_sum_exp(loss.log_value(q)) - float(np.log(q.size))


def sample_weights(loss: Loss, q: Array) -> Array:
    """w = g/Σg, the softmax of log g, as in docs/theory.md (7.2), of margins or of each column of them."""
    log_g = loss.log_weight(q)
    g = np.exp(log_g - np.maximum.reduce(log_g))  # a ufunc's own call: this is most of the time of a flow's rates
    return np.asarray(g / np.add.reduce(g))


def log_mean_weight(loss: Loss, q: Array) -> float:
    """log ḡ = log((1/n) Σ g_i), the logarithm of ds/dt (docs/theory.md, section 7)."""
    return log_sum_exp(loss.log_weight(q)) - float(np.log(q.size))


def smoothed_margin(loss: Loss, q: Array, norm: float) -> float:
    """ℓ⁻¹(nL)/‖W‖: the smoothed normalized margin (docs/theory.md, section 7, "Monotone")."""
    return float(loss.inverse_of_log_value(log_sum_exp(loss.log_value(q)))) / norm
