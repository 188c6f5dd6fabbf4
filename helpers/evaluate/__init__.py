"""How good a network is, how sure that is, and why not to believe it."""
