"""Lungs: how the lung network inside the package is trained and measured."""
