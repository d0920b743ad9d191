"""See `verification.conformance.vectors`."""

from verification.conformance.vectors import (
    FOLDER,
    KINDS,
    VECTORS_VERSION,
    Answer,
    Tolerance,
    VectorCase,
    export_cases,
    load_vectors,
    read_answers,
)

__all__ = [
    "FOLDER",
    "KINDS",
    "VECTORS_VERSION",
    "Answer",
    "Tolerance",
    "VectorCase",
    "export_cases",
    "load_vectors",
    "read_answers",
]
