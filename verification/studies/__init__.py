"""Surveys of many flows, the search for counterexamples, and sweeps over grids of settings."""
