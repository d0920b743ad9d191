"""Golden vectors: inputs as numbers, outputs of the oracle with proven errors, a tolerance for each case.

One JSON file a kind (`schema.json` describes it; docs/conformance.md, "The vectors", explains it). `load_vectors`
reads and checks them; `export_cases` and `read_answers` are the way for implementations in other languages.
"""

from verification.conformance.vectors.exchange import Answer, export_cases, read_answers
from verification.conformance.vectors.format import FOLDER, KINDS, VECTORS_VERSION, Tolerance, VectorCase, load_vectors

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
