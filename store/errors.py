"""What can go wrong between us and QuestDB, as one small tree with facts to branch on."""

from collections.abc import Iterable

from bars.errors import InvalidValueError, SeamlessError


class StoreError(SeamlessError):
    """Base of every error of the store."""


class StoreUnavailableError(StoreError):
    """The store did not answer, or what it did is unknown: the same call may be repeated.

    Attributes:
        address: Whom we asked, without user and password.
        reason: What happened.
    """

    retriable = True

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"the store at {address} is not available: {reason}")
        self.address = address
        self.reason = reason


class SuspendedTableError(StoreError):
    """A table acknowledges rows that it does not apply; a person has to look at the server.

    Attributes:
        table: Which one.
        reason: What the server says about it, often nothing.
    """

    def __init__(self, table: str, reason: str = "") -> None:
        super().__init__(
            f"table {table} is suspended: what is written to it stays invisible until an "
            f"operator runs ALTER TABLE {table} RESUME WAL; the server says {reason!r}"
        )
        self.table = table
        self.reason = reason


class MissingTableError(StoreError):
    """A table that the store needs does not exist: `ensure_tables` has not run here.

    Attributes:
        table: Which one.
    """

    def __init__(self, table: str) -> None:
        super().__init__(f"table {table} does not exist in this store")
        self.table = table


class TableMismatchError(StoreError):
    """A table exists, but not as this project makes it.

    Attributes:
        table: Which one.
        differences: Each difference in words.
    """

    def __init__(self, table: str, differences: Iterable[str]) -> None:
        self.table = table
        self.differences = tuple(differences)
        super().__init__(f"table {table} is not ours: " + "; ".join(self.differences))


class UnstorableRowError(StoreError, InvalidValueError):
    """A row would be stored as something else, or not at all; nothing has been sent.

    Attributes:
        field: Which column.
        found: The first value that cannot be stored.
        allowed: What it may be.
    """


class RefusedRowsError(StoreError):
    """The server understood the rows and says they can never be stored.

    Attributes:
        table: Where they were sent.
        reason: The server's words.
    """

    def __init__(self, table: str, reason: str) -> None:
        super().__init__(f"the store refused rows for {table}: {reason}")
        self.table = table
        self.reason = reason


class RefusedQueryError(StoreError):
    """The server refused a query or the credentials; repeating it will not help.

    Attributes:
        reason: The server's words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the store refused: {reason}")
        self.reason = reason


class StoreWentBackError(StoreError):
    """The store holds less than it had already proved to hold: an older copy was put back.

    Attributes:
        partition: Of which Kafka partition.
        proved_offset: The highest history offset that was once in the ledger.
        found_offset: The highest there is now, -1 for none.
    """

    def __init__(self, partition: int, proved_offset: int, found_offset: int) -> None:
        super().__init__(
            f"the ledger once held partition {partition} up to offset {proved_offset}, now only "
            f"up to {found_offset}: the database went back in time"
        )
        self.partition = partition
        self.proved_offset = proved_offset
        self.found_offset = found_offset


class StoreOwnedError(StoreError):
    """Somebody else writes into this store.

    Attributes:
        owner: `kafka` or `direct`.
        prefix: The topic prefix of the Kafka writers.
    """

    def __init__(self, owner: str, prefix: str) -> None:
        super().__init__(
            f"this store belongs to {owner} writers with topic prefix {prefix!r}; write through "
            "them, or use another store or store.table_prefix"
        )
        self.owner = owner
        self.prefix = prefix
