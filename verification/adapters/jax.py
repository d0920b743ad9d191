"""See `verification.conformance.subjects.jax`."""

from verification.conformance.subjects.jax import JaxImplementation, implementation

__all__ = ["JaxImplementation", "implementation"]
