"""What a bar is: series, grids, windows, frames, versions, fingerprints.

Pure: no I/O, no clock.
"""
