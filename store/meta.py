"""Who writes into a store."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from bars.errors import InvalidValueError
from store._query import Query
from store._time import Until
from store.columns import PgColumns
from store.errors import StoreOwnedError
from store.layout import Layout
from store.sql import insert, literal, select, wait_for_wal

Writers = Literal["kafka", "direct"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may write into a store."""

    writers: Writers
    prefix: str
    """The topic prefix of Kafka writers, empty for direct ones."""

    created: int
    """When they claimed it, by the server's clock, epoch microseconds."""


class Meta:
    """The table that says who owns the store. Thread-safe.

    Claims are only added. The server puts them into one order, so of several that come at the
    same time all claimants see the same one first.
    """

    def __init__(self, query: Query, layout: Layout) -> None:
        self._query = query
        self._table = layout.meta_name

    def owner(self, timeout_s: float = 30.0) -> Owner | None:
        """Return who owns the store: the first Kafka writers, else direct ones, else nobody."""
        claims = self._claims(Until.after(timeout_s))
        return next((c for c in claims if c.writers == "kafka"), claims[0] if claims else None)

    def claim(self, writers: Writers, prefix: str = "", timeout_s: float = 30.0) -> Owner:
        """Return the owner if the caller may write, having claimed a free store for it.

        Kafka writers take over a store that only direct writers used; from then on `claim`
        refuses these. So direct writers claim before every write.

        Raises:
            StoreOwnedError: Kafka writers (with another prefix) own it.
        """
        if writers not in get_args(Writers):
            raise InvalidValueError("writers", writers, "'kafka' or 'direct'")
        until = Until.after(timeout_s)
        owner = self.owner(until.left_s)
        if owner is None or (owner.writers, writers) == ("direct", "kafka"):
            self._add(writers, prefix, until)
            owner = self.owner(until.left_s)
        if owner is None or (owner.writers, owner.prefix) != (writers, prefix):
            raise StoreOwnedError(*((owner.writers, owner.prefix) if owner else ("nobody", "")))
        return owner

    def _claims(self, until: Until) -> list[Owner]:
        sql = select("owner, prefix, created", self._table)
        with self._query.pg.link(until) as link:
            link.catch_up(self._table, until)
            found = PgColumns(link.query(sql, until))
        return [
            Owner(cast("Writers", str(writers)), str(prefix or ""), created)
            for writers, prefix, created in zip(
                found.symbols("owner").texts(),
                found.symbols("prefix").texts(),
                found.times("created").tolist(),
                strict=True,
            )
        ]

    def _add(self, writers: Writers, prefix: str, until: Until) -> None:
        row = insert(self._table, "0", literal(writers), literal(prefix), "now()")
        self._query.pg.query(row, until)
        self._query.pg.query(wait_for_wal(self._table), until)
