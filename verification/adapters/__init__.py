"""The names under which PyTorch, JAX and Keras are asked, such as `verification.adapters.pytorch:implementation`."""
