"""What the notebooks, the command line and the tests share."""

import os

# TensorFlow's start-up notes would fill the notebooks; its errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
