"""Speeds and sizes, as ratios of two things measured in one run; never asserted in a test.

`python -m benchmarks` runs all of them on servers of its own and prints a table. Each figure of
ours stands beside that of a bare loop which does the same work with nothing to guard it.
"""
