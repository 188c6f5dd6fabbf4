"""A stand-in for the package that only Colab's runtime has; what happens, the environment says.

COLAB_DRIVE: the folder that `drive.mount` shows as MyDrive.
COLAB_MOUNTS: how the first mounts end, such as "late late": `late`, `declined` or `full`.
COLAB_UPLOADS: the paths of the files that a user chooses for `files.upload`.
"""

from google.colab import drive, files

__all__ = ["drive", "files"]


def load_ipython_extension(shell: object) -> None:
    """Be loaded as an extension of IPython, which is how Colab's kernels come by the package."""
