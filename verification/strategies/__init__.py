"""Hypothesis strategies for networks, data, weights and margins, for everybody's property tests.

Dimensions are drawn small and entries as small dyadic rationals k/8 where the case allows it, so that a
failing case shrinks to one that can be read, and so that products of a few of them are exact in float64.
Gaussian and nearly orthogonal data are drawn through one integer seed.

`kkt_points` and `near_kkt_points` draw weights at and near solutions of the margin problem. Two kinds of weights
keep the kinks of the activation under control: `weights_away_from_kinks` keeps every
|z_ji| above a part of ‖w_j‖‖x_i‖, so that finite differences are safe, and `weights_at_exact_kinks` puts chosen
z_ji at exactly 0 (docs/theory.md, section 1: φ'(0) is any number of [γ, 1]).
"""

from __future__ import annotations

from verification.strategies.data import (
    data_below_conditions,
    data_with_copies,
    dyadic_data,
    gaussian_data,
    nearly_orthogonal_data,
)
from verification.strategies.drawing import dyadics, margins, networks, same_draws_everywhere, slopes
from verification.strategies.optima import KKTPoint, kkt_points, near_kkt_points
from verification.strategies.weights import KinkCase, weights_at_exact_kinks, weights_away_from_kinks

__all__ = [
    "KKTPoint",
    "KinkCase",
    "data_below_conditions",
    "data_with_copies",
    "dyadic_data",
    "dyadics",
    "gaussian_data",
    "kkt_points",
    "margins",
    "near_kkt_points",
    "nearly_orthogonal_data",
    "networks",
    "same_draws_everywhere",
    "slopes",
    "weights_at_exact_kinks",
    "weights_away_from_kinks",
]
