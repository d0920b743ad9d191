"""Evidence that nothing was done to, computed once for all tests of claims."""

import pytest

from verification.claims.evidence import Evidence

from .given import fresh


@pytest.fixture(scope="package")
def honest() -> Evidence:
    evidence = fresh()
    assert len(evidence.flows) == 3
    return evidence
