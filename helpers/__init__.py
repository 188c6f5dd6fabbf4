"""What notebooks, command line and tests share: nine packages, in the order of the data flow."""

import os

# Each imports only from itself and from those before it; tests/test_packages.py holds that.
PACKAGES = ("storage", "data", "train", "audit", "split", "evaluate", "report", "predict", "run")

# TensorFlow's start-up notes would fill the notebooks; its errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# At its first allocation TensorFlow would take a whole GPU, and JAX three quarters of one, so that
# the kernel of a second notebook finds no memory left. Now they take it as they need it.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
