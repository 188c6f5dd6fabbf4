"""What the notebooks, the command line and the tests share: nine packages, named as data flow."""

import os

# Each imports only from itself and from those before it; tests/test_packages.py holds that.
PACKAGES = ("storage", "data", "train", "audit", "split", "evaluate", "report", "predict", "run")

# TensorFlow's start-up notes would fill the notebooks; its errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
