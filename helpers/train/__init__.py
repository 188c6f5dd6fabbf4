"""The networks, and how they learn."""
