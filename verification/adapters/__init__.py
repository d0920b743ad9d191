"""The names under which PyTorch, JAX and Keras are asked: `--implementation verification.adapters.pytorch:implementation`."""
