"""Colab's shell, whose name the bootstrap cells look for."""

from ipykernel.zmqshell import ZMQInteractiveShell


class Shell(ZMQInteractiveShell):
    """IPython's shell under Colab's name."""
