"""The names that `--implementation` takes for PyTorch, JAX and Keras: verification.adapters.pytorch:implementation."""
