"""Names for `--implementation`: PyTorch, JAX and Keras, as in verification.adapters.pytorch:implementation."""
