"""Requests to whichever node leads: found anew when it changes, asked again while that is safe.

A change carries a key that names it. Every attempt carries the same one, so it happens once,
however often it is sent and whichever node takes it. Nothing here knows what a request means.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from bars.errors import InvalidValueError
from coordinator.errors import CommandRefusedError, CoordinatorUnavailableError
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.http import Http, HttpRequest, NoAnswerError

PAUSES = Backoff(first_s=0.05, cap_s=0.4, jitter_ratio=0.5)
"""Between attempts; a node that tells who leads is believed at once, without a pause. Short: a new
leader is found within a second, and nodes that are away are asked in vain cheaply."""

RETRY_AFTER_MAX_S = 5.0
"""A node that is busy is given at most so long."""

_NOT_LEADER, _BUSY = 421, 429
TRY_AGAIN = frozenset({_NOT_LEADER, _BUSY, 500, 502, 503, 504})
"""Answers that say nothing of what will be answered next time."""

MAYBE_OBEYED = frozenset({0, 500, 502, 504})
"""And those after which nobody knows what has been done; 0: there was no answer."""

_URL = re.compile(r"https?://[^/\s]+(/\S*)?")
_FINAL_REFUSALS = frozenset({400, 401, 403, 404, 405, 408, 413, 415})


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a request may take."""

    whole_s: float = 30.0
    """With all attempts and pauses."""

    attempt_s: float = 8.0
    """One attempt: longer than a node waits for its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The answer of the node that leads."""

    status: int
    document: Mapping[str, Any]
    asked_s: float
    """When the first attempt went out, monotonic."""

    attempts: int
    """Attempts made, the last one included: above one, an earlier one may be what was obeyed."""


class Cluster:
    """The nodes of one lease service, as a client sees them."""

    def __init__(self, urls: str | Sequence[str], http: Http, clock: Clock, rng: Random) -> None:
        """Ask nodes.

        Args:
            urls: API address of each node; one may stand alone.
            http: Sends; with what proves who we are. Closed by who made it.
            clock: Measures attempts and pauses.
            rng: Draws keys and the random part of pauses.
        """
        self._urls = tuple(url.rstrip("/") for url in ([urls] if isinstance(urls, str) else urls))
        if not self._urls or not all(_URL.match(url) for url in self._urls):
            allowed = "addresses of nodes, like http://host:18070"
            raise InvalidValueError("urls", list(self._urls), allowed)
        self._http = http
        self._clock = clock
        self._rng = rng
        self._at = 0

    @property
    def urls(self) -> tuple[str, ...]:
        """The nodes, in their order."""
        return self._urls

    def new_key(self) -> str:
        """Return what names one change, and no other ever."""
        return f"{self._rng.getrandbits(128):032x}"

    async def change(
        self,
        path: str,
        body: Mapping[str, object],
        budget: Budget,
        again: Mapping[str, object] | None = None,
    ) -> Told:
        """Have something done once; return what the leader says, be it a refusal of the rules.

        Args:
            path: What is to be done.
            body: To what.
            budget: How long it may take.
            again: The body of attempts after one that may have been obeyed; None: the same.

        Raises:
            CoordinatorUnavailableError: Nobody has answered in time; the outcome is not known.
            CommandRefusedError: The request itself is not acceptable, or not allowed to us.
        """
        headers = {"Idempotency-Key": self.new_key()}
        return await self._ask(_Request("POST", path, headers, body, again or body), budget)

    async def read(self, path: str, query: Mapping[str, str], budget: Budget) -> Told:
        """Return what the leader says.

        Raises:
            CoordinatorUnavailableError: Nobody has answered in time.
            CommandRefusedError: The request itself is not acceptable, or not allowed to us.
        """
        return await self._ask(_Request("GET", path, {}, query=query), budget)

    async def _ask(self, request: "_Request", budget: Budget) -> Told:
        asked_s = self._clock.monotonic()
        until_s = asked_s + budget.whole_s
        attempts, reason = 0, ""
        while (left_s := until_s - self._clock.monotonic()) > 0:
            attempts += 1
            at = self._at
            try:
                async with asyncio.timeout(min(budget.attempt_s, left_s)):
                    status, document, busy_s = await self._send(request, self._urls[at])
            except (NoAnswerError, TimeoutError, ValueError) as error:
                status, document, busy_s = 0, {}, 0.0
                cut = isinstance(error, TimeoutError) and left_s < budget.attempt_s
                if not (cut and reason):  # an attempt that had little time says little
                    reason = f"{self._urls[at]}: {type(error).__name__}: {error}"
            if 0 < status not in TRY_AGAIN:
                _check(status, document)
                return Told(status=status, document=document, asked_s=asked_s, attempts=attempts)
            if status:
                reason = f"{self._urls[at]}: {_message(document) or status}"
            if status in MAYBE_OBEYED:
                request = replace(request, body=request.again)
            if self._turn(at, status, document) and attempts <= len(self._urls):
                continue
            pause_s = max(busy_s, PAUSES.delay_s(attempts, self._rng.random()))
            await self._clock.sleep(min(pause_s, max(0.0, until_s - self._clock.monotonic())))
        raise CoordinatorUnavailableError(
            f"no answer within {budget.whole_s:g} s; the last of {attempts} attempts: {reason}"
        )

    async def _send(self, request: "_Request", url: str) -> tuple[int, Mapping[str, Any], float]:
        """Return status, document, and how long a busy node wants to be left alone."""
        body = None if request.body is None else json.dumps(request.body).encode()
        answer = await self._http.send(
            HttpRequest(
                method=request.method,
                url=url + request.path,
                headers=request.headers,
                query=request.query,
                body=body,
            )
        )
        document = json.loads(answer.body)
        if not isinstance(document, Mapping):
            raise ValueError(f"status {answer.status} without a JSON object")  # noqa: TRY004
        busy_s = 0.0
        if answer.status == _BUSY:
            asked = answer.headers.get("Retry-After", "")
            busy_s = min(float(asked), RETRY_AFTER_MAX_S) if asked.isdecimal() else 0.0
        return answer.status, document, busy_s

    def _turn(self, at: int, status: int, document: Mapping[str, Any]) -> bool:
        """Choose the node to ask next; return whether we were told which one."""
        leader = document.get("error", {}).get("leader") if status == _NOT_LEADER else None
        # Only nodes that we know get our token.
        if isinstance(leader, str) and leader.rstrip("/") in self._urls:
            self._at = self._urls.index(leader.rstrip("/"))
            return True
        # A node that is busy is still the one to ask; somebody else may have turned already.
        if status != _BUSY and self._at == at:
            self._at = (at + 1) % len(self._urls)
        return False


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object] | None = None
    again: Mapping[str, object] | None = None
    query: Mapping[str, str] | None = None


def _check(status: int, document: Mapping[str, Any]) -> None:
    if status in _FINAL_REFUSALS and "reply" not in document:
        error = document.get("error", {})
        raise CommandRefusedError(str(error.get("code", status)), str(error.get("message", "")))


def _message(document: Mapping[str, Any]) -> str:
    error = document.get("error")
    return str(error.get("message", "")) if isinstance(error, Mapping) else ""
