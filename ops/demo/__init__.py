"""The demonstration: real daily bars go the whole road and come back bit for bit the same.

What lives here: its data, the comparison with it, the page that shows it, and the run from an
empty folder to the last line. What does not: anything that another part of the project needs.
"""

from ops.demo.run import Demo, DemoFailedError, Options

__all__ = ["Demo", "DemoFailedError", "Options"]
