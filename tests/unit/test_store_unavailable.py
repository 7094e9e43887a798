"""Servers that are away, silent, full or in a bad mood: always one error, always in time."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from bars.errors import InvalidValueError
from bars.frame import BarFrame
from bars.series import Series
from runtime.settings import StoreSettings
from store import (
    Dsn,
    MissingTableError,
    RecordRows,
    RefusedQueryError,
    RefusedRowsError,
    Store,
    StoreError,
    StoreUnavailableError,
    SuspendedTableError,
)
from store._export import Export
from store._pgwire import server_error
from store._time import Until

ROWS = [
    RecordRows(
        Series("A", 60),
        "bf:x",
        5,
        BarFrame(np.array([60], np.int64), *(np.ones(1) for _ in range(5))),
    )
]


@contextmanager
def silent_port() -> Iterator[int]:
    """A server that lets everybody connect and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield int(server.getsockname()[1])


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens on and nobody else can take."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def store_at(port: int) -> Store:
    return Store(StoreSettings(dsn=f"questdb://127.0.0.1:{port}?pg_port={port}"))


def test_a_closed_port_is_a_retriable_error_of_every_call() -> None:
    with closed_port() as port:
        with store_at(port) as store, store.writer() as writer:
            calls = (
                store.ping,
                lambda: store.ensure_tables([60]),
                lambda: writer.write(ROWS),
                lambda: writer.wait_visible(["bars_1m"]),
                lambda: writer.verify(ROWS),
                store.ledger.highest_token,
                store.meta.owner,
            )
            for call in calls:
                with pytest.raises(StoreUnavailableError) as caught:
                    call()
                assert caught.value.retriable
                assert str(port) in caught.value.address
        with pytest.raises(StoreUnavailableError):
            Store.connect(StoreSettings(dsn=f"questdb://127.0.0.1:{port}?pg_port={port}"))


def test_a_silent_server_is_left_when_the_time_is_up() -> None:
    with silent_port() as port, store_at(port) as store, store.writer() as writer:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            writer.write(ROWS, timeout_s=0.3)
        with pytest.raises(StoreUnavailableError):
            Export(store.dsn).parquet("SELECT 1", Until.after(0.3))
        with pytest.raises(StoreUnavailableError):
            # psycopg waits two seconds at least for a connection.
            store.ping(timeout_s=0.3)
        assert time.monotonic() - begun < 5


class _Answers(BaseHTTPRequestHandler):
    """Answers each request with what the test has set on the server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.seen.append(self.headers.get("Authorization"))
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body) + server.missing))
        self.end_headers()
        self.wfile.write(server.body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, status: int, body: bytes, missing: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.status = status
        self.body = body
        self.missing = missing
        self.seen: list[str | None] = []


@contextmanager
def answering(status: int, body: bytes = b"", missing: int = 0) -> Iterator[tuple[Dsn, _Server]]:
    with _Server(status, body, missing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Dsn("127.0.0.1", server.server_port, 1, "me", "pw"), server
        finally:
            server.shutdown()
            thread.join()


def export(dsn: Dsn) -> bytearray | None:
    return Export(dsn).parquet("SELECT 1", Until.after(5))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (HTTPStatus.UNAUTHORIZED, b"", RefusedQueryError),
        (HTTPStatus.FORBIDDEN, b"", RefusedQueryError),
        (HTTPStatus.INTERNAL_SERVER_ERROR, b"oops", StoreUnavailableError),
        (HTTPStatus.SERVICE_UNAVAILABLE, b"", StoreUnavailableError),
        (HTTPStatus.BAD_REQUEST, b'{"error":"unexpected token [x]"}', RefusedQueryError),
        (HTTPStatus.BAD_REQUEST, b"no json", RefusedQueryError),
        (HTTPStatus.BAD_REQUEST, b'{"error":"timeout, query aborted"}', StoreUnavailableError),
        (
            HTTPStatus.BAD_REQUEST,
            b'{"error":"table does not exist [table=b]"}',
            MissingTableError,
        ),
    ],
)
def test_what_an_export_answers_tells_whether_to_try_again(
    status: HTTPStatus, body: bytes, error: type[StoreError]
) -> None:
    with answering(status, body) as (dsn, _), pytest.raises(error):
        export(dsn)


def test_an_export_that_breaks_off_is_no_answer() -> None:
    """A suspended table or a dying server cuts the body short."""
    with (
        answering(HTTPStatus.OK, b"PAR1 and", missing=9) as (dsn, _),
        pytest.raises(StoreUnavailableError, match="IncompleteRead"),
    ):
        export(dsn)


def test_too_many_exports_is_not_an_error() -> None:
    """The caller goes the other way then."""
    with answering(HTTPStatus.TOO_MANY_REQUESTS) as (dsn, _):
        assert export(dsn) is None


def test_user_and_password_go_with_every_request() -> None:
    with answering(HTTPStatus.OK, b"PAR1 PAR1") as (dsn, server):
        assert export(dsn) == bytearray(b"PAR1 PAR1")
    assert server.seen == ["Basic bWU6cHc="]


def test_failures_in_quick_succession_are_nothing_but_failures() -> None:
    """The client warns of many connections in a short time; here each failure makes a new one."""
    with answering(HTTPStatus.INTERNAL_SERVER_ERROR, b"{}") as (dsn, _):
        settings = StoreSettings(dsn=f"questdb://me:pw@{dsn.address}?pg_port=1")
        with Store(settings) as store, store.writer() as writer:
            for _ in range(50):
                with pytest.raises(StoreUnavailableError):
                    writer.write(ROWS)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (HTTPStatus.INTERNAL_SERVER_ERROR, b"{}", StoreUnavailableError),
        (HTTPStatus.BAD_GATEWAY, b"", StoreUnavailableError),
        (HTTPStatus.UNAUTHORIZED, b"no", RefusedQueryError),
        (
            HTTPStatus.BAD_REQUEST,
            b'{"code":"invalid","message":"failed to parse line protocol: cast","errorId":"x"}',
            RefusedRowsError,
        ),
        (
            HTTPStatus.BAD_REQUEST,
            b'{"code":"invalid","message":"table: bars_1m; table does not exist","errorId":"x"}',
            MissingTableError,
        ),
    ],
)
def test_only_the_server_itself_can_call_rows_bad(
    status: HTTPStatus, body: bytes, error: type[StoreError]
) -> None:
    """Whatever else happens, nobody knows whether the rows are there: they are sent again."""
    with answering(status, body) as (dsn, _):
        settings = StoreSettings(dsn=f"questdb://me:pw@{dsn.address}?pg_port=1")
        with Store(settings) as store, store.writer() as writer, pytest.raises(error):
            writer.write(ROWS)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("ERROR:  table is suspended [tableName=bars_1m]", SuspendedTableError),
        ("table does not exist [table=bars_1m]\nLINE 1: SELECT", MissingTableError),
        ("table name is reserved [table=bars_1m]\nLINE 1: SELECT", MissingTableError),
        ("timeout, query aborted [fd=2]", StoreUnavailableError),
        ("table busy [reason=insert]", StoreUnavailableError),
        ("Invalid column: nope", RefusedQueryError),
    ],
)
def test_a_message_of_the_server_has_one_meaning(message: str, error: type[StoreError]) -> None:
    found = server_error("db:1", message)
    assert type(found) is error
    assert getattr(found, "table", "bars_1m") == "bars_1m"


def test_an_address_that_is_none_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(InvalidValueError, match="dsn port"):
        Store.connect(StoreSettings(dsn="questdb://db:99999"))
