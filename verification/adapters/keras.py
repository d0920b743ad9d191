"""See `verification.conformance.subjects.keras`."""

from verification.conformance.subjects.keras import KerasImplementation, implementation

__all__ = ["KerasImplementation", "implementation"]
