"""Builds the Faust app of a role from the settings, and runs it as this process."""

import asyncio
import os
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import faust
import mode
from faust.types.auth import CredentialsT

from runtime import KafkaSettings
from runtime.log import logger
from store import StoreOwnedError
from streams._safe import SafeApp
from streams.errors import InputGoneError
from topics import RawMessage

COMMIT_INTERVAL_S = 1.0
POLL_RECORDS_MAX = 100
BUFFERED_RECORDS_MAX = 64
"""Records that wait for the agent: 64 MB at the very most."""

FETCH_BYTES_MAX = 524_288
"""Of one partition at a time: as much as the largest record."""

REQUEST_TIMEOUT_S = 90.0
CRASH_GRACE_S = 10.0
"""A crashed process that has not ended by itself after that long is ended."""

EXIT_OK = 0
EXIT_CRASHED = 1
EXIT_CONFIGURATION = 2

_REFUSALS = (InputGoneError, StoreOwnedError)
"""Errors that no restart will cure."""

_log = logger(__name__)


def create_app(
    kafka: KafkaSettings,
    role: str,
    topic: str,
    agent: Callable[[SafeApp, faust.Stream[Any]], Awaitable[None]],
) -> SafeApp:
    """Return an app with one agent on one topic.

    Args:
        kafka: Where.
        role: What the process is; with the prefix the id of the app and of its group.
        topic: What the agent reads.
        agent: Takes the app and the stream.
    """
    session_s = kafka.session_timeout_ms / 1_000
    app = SafeApp(
        f"{kafka.prefix}{role}",
        broker="kafka://" + kafka.bootstrap.replace(",", ";"),
        broker_credentials=_credentials(kafka),
        agent_supervisor=mode.CrashingSupervisor,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        broker_max_poll_records=POLL_RECORDS_MAX,
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        stream_buffer_maxsize=BUFFERED_RECORDS_MAX,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=kafka.heartbeat_ms / 1_000,
        broker_request_timeout=max(REQUEST_TIMEOUT_S, 2 * session_s),
        broker_commit_interval=COMMIT_INTERVAL_S,
        consumer_auto_offset_reset="earliest",
    )
    app.input_topic = topic
    channel = app.topic(topic, value_serializer="raw", key_serializer="raw")

    async def run(stream: faust.StreamT[Any]) -> None:
        if isinstance(stream, faust.Stream):
            await agent(app, stream)

    app.agent(channel, name=role)(run)
    return app


def raw_message(event: faust.EventT[Any]) -> RawMessage:
    """Return the record of an event, its bytes untouched."""
    message = event.message
    timestamp_s = cast("float | None", message.timestamp)
    headers = cast("Iterable[tuple[str, bytes | None]]", message.headers or ())
    return RawMessage(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(headers),
        timestamp_ms=-1 if timestamp_s is None else round(timestamp_s * 1_000),
    )


def run_app(app: SafeApp) -> int:
    """Run the app until it is asked to stop or crashes; return the exit code of the process."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(
        app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False
    )
    worker.spinner = None
    app.on_crashed = _end_soon
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        code = EXIT_OK if ended.code in (None, EXIT_OK) else EXIT_CRASHED
    reason = worker.crash_reason or app.crash_reason
    if isinstance(reason, _REFUSALS):
        _log.error("refused", reason=str(reason))
        return EXIT_CONFIGURATION
    if reason is not None:
        _log.error("crashed", reason=str(reason), error=type(reason).__name__)
        return EXIT_CRASHED
    _log.info("stopped")
    return code


def _end_soon(reason: BaseException) -> None:
    """End the process even if something in it hangs: a half-dead member holds its partitions."""

    def end() -> None:
        _log.error("ended_hard", reason=str(reason))
        os._exit(EXIT_CRASHED)

    watchdog = threading.Timer(CRASH_GRACE_S, end)
    watchdog.daemon = True
    watchdog.start()


def _credentials(kafka: KafkaSettings) -> CredentialsT | None:
    """Return the security options as Faust wants them; they come under librdkafka's names."""
    options = kafka.client
    protocol = options.get("security.protocol", "plaintext").lower()
    context = _ssl_context(options) if protocol.endswith("ssl") else None
    if protocol.startswith("sasl_"):
        return faust.SASLCredentials(
            username=options.get("sasl.username"),
            password=options.get("sasl.password"),
            mechanism=options.get("sasl.mechanism", options.get("sasl.mechanisms", "PLAIN")),
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None


def _ssl_context(options: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl.ca.location"))
    certificate = options.get("ssl.certificate.location")
    if certificate is not None:
        context.load_cert_chain(
            certificate, options.get("ssl.key.location"), options.get("ssl.key.password")
        )
    return context
