"""Where facts are kept: QuestDB, and for those without its server SQLite and PostgreSQL.

Lives here: tables, writing with proof, the ledger of what is covered, reading. Nothing else in the
project speaks to QuestDB. Everything here is blocking, bounded in time and thread-safe; async
callers go through a thread. What a bar is and which version of it wins is
decided in `bars`; when to write and what to tell whom, in `streams` and `provider`.
"""

from store.dsn import Dsn
from store.errors import (
    MissingTableError,
    RefusedQueryError,
    RefusedRowsError,
    StoreError,
    StoreOwnedError,
    StoreUnavailableError,
    StoreWentBackError,
    SuspendedTableError,
    TableMismatchError,
    UnstorableRowError,
)
from store.events import Event, EventLog
from store.ledger import Ledger
from store.meta import Meta, Owner, Writers
from store.postgres import PostgresStore
from store.reader import BarReader
from store.relational import Record, RelationalStore
from store.rows import LedgerEntry, LedgerState, Mismatch, RecordRows
from store.shelf import Shelf, Shelved
from store.sqlite import SQLiteStore
from store.store import Store
from store.writer import BarWriter

__all__ = [
    "BarReader",
    "BarWriter",
    "Dsn",
    "Event",
    "EventLog",
    "Ledger",
    "LedgerEntry",
    "LedgerState",
    "Meta",
    "Mismatch",
    "MissingTableError",
    "Owner",
    "PostgresStore",
    "Record",
    "RecordRows",
    "RefusedQueryError",
    "RefusedRowsError",
    "RelationalStore",
    "SQLiteStore",
    "Shelf",
    "Shelved",
    "Store",
    "StoreError",
    "StoreOwnedError",
    "StoreUnavailableError",
    "StoreWentBackError",
    "SuspendedTableError",
    "TableMismatchError",
    "UnstorableRowError",
    "Writers",
]
