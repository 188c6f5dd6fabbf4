"""Where things are, and how they are written whole."""
