"""Uploads, as a user's browser would send them."""

import os
from pathlib import Path


def upload(target_dir: str = "") -> dict[str, bytes]:
    """Put the chosen files into a folder, and return their contents by their names."""
    chosen = [Path(path) for path in os.environ["COLAB_UPLOADS"].split(os.pathsep)]
    contents = {path.name: path.read_bytes() for path in chosen}
    for name, content in contents.items():
        Path(target_dir, name).write_bytes(content)
    return contents
