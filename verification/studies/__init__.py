"""Surveys of many flows, and the search for counterexamples."""
