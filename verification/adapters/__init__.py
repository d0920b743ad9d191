"""The names by which PyTorch, JAX and Keras are asked: `--implementation verification.adapters.pytorch:implementation`."""
