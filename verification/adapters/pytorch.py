"""See `verification.conformance.subjects.pytorch`."""

from verification.conformance.subjects.pytorch import PyTorchImplementation, implementation

__all__ = ["PyTorchImplementation", "implementation"]
