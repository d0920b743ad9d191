"""The names under which PyTorch and JAX are asked: `--implementation verification.adapters.pytorch:implementation`."""
