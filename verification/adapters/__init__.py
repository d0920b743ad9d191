"""PyTorch and JAX behind the functions of an implementation under test (docs/conformance.md).

They are conformance subjects and examples at once: every gradient is automatic. Each names its convention at the
kink. The extras are `torch` and `jax`.
"""
