"""Limits: numbers, shared by several remarks, beyond which they say something else."""

CLOSE = 0.005  # two shares that print alike to two digits
MOSTLY = 0.9  # a share that leaves little else
RELATED = 0.5  # a rank correlation below which one map tells little about another
