"""The error bound of the closed form."""

from __future__ import annotations

from fractions import Fraction

from verification.witnesses.least_norm import SolveStatus
from verification.witnesses.limit_formula import closed_form

from . import exact_programs as exact
from .programs_given import distance, instance


def test_the_bound_of_the_closed_form_carries_the_condition():
    """M λ = 1 over Q: on nearly dependent samples the residual is tiny and λ is wrong by eps cond M all the same."""
    compared = 0
    for seed in range(400):
        drawn = instance(seed)
        if drawn is None:
            continue
        network, data = drawn
        gamma = Fraction(network.slope)
        slopes = [[Fraction(1) if a * y > 0 else gamma for a in network.second_layer] for y in data.y]
        rows = exact.weight_rows(network, data, slopes)
        lam = exact.solve([[exact.dot(p, q) for q in rows] for p in rows], [Fraction(1)] * data.n)
        found = closed_form(network, data)
        if lam is None:
            assert found.status is SolveStatus.SINGULAR or found.error_estimate > 1e-3, seed
            continue
        if found.status is SolveStatus.SOLVED:
            compared += 1
            W = [exact.dot(lam, column) for column in zip(*rows, strict=True)]
            assert distance(found.weights(), W) <= found.error_estimate, seed
            if found.error_estimate < 1e-3:
                assert found.solves_program == (min(lam) >= 0), seed
    assert compared > 150
