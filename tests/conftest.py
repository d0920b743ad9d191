"""Hypothesis profiles: "ci" draws the same cases every time, "thorough" draws many (HYPOTHESIS_PROFILE=thorough)."""

import os

from hypothesis import HealthCheck, settings

_SLOW_DRAWS = [HealthCheck.too_slow, HealthCheck.filter_too_much]

settings.register_profile(
    "ci", derandomize=True, max_examples=30, deadline=None, database=None, suppress_health_check=_SLOW_DRAWS
)
settings.register_profile(
    "thorough", max_examples=500, deadline=None, print_blob=True, suppress_health_check=_SLOW_DRAWS
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
