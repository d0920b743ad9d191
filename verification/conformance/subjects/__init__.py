"""Implementations under test: the reference, right ones in other styles, wrong ones, PyTorch and JAX.

`pytorch` and `jax` are conformance subjects and examples at once: every gradient is automatic. Each names its
convention at the kink. The extras are `torch` and `jax`.
"""
