"""Printing: remarks on a notebook's page."""

import textwrap

WIDTH = 88  # letters of a line: more, and narrow pages break words


def say(remark: str) -> None:
    """Print a remark in lines that no page breaks in the middle of a word."""
    print("\n".join(textwrap.fill(line, WIDTH) for line in remark.splitlines()))
