"""History into the store: written, visible, read back, in the ledger, told.

`batch` gathers records into flushes, `prove` writes them and reads them back, `partition` tells
what is visible in fenced transactions, `seam` says where a mark may stand, `flow` runs all of it
side by side, `agent` feeds it. Tables and queries are in `store`.
"""

from streams.materialize.agent import MaterializeAgent
from streams.materialize.partition import Office

__all__ = ["MaterializeAgent", "Office"]
