"""Nodes of an older program that are replaced one by one while workers work."""

import asyncio
import time
from pathlib import Path

import httpx

from tests.faults.coordinator.nodes import How
from tests.faults.coordinator.trial import (
    ANSWER_S,
    LOOK_S,
    RESUME_S,
    Trial,
    TrialError,
    require,
    trial,
)

OLDER = How(module="tests.faults.coordinator.older")
ATTEMPTS_MAX = 9
"""What the order says that an older program does not know."""

KNOWN_S = 5.0
"""How long after it is ready a node may take until its leader knows what it knows."""

STOPPED = 1, 2
"""Exit codes of a node that meets what it does not know: while it runs, as it starts."""

OBEYED, REFUSED, TOO_EARLY = "", "invalid", "older_nodes"
"""What is said to the order: nothing against it, an older leader, one that hears an older node."""

MOVED = "not_leader", "no_leader"
"""The lead has moved between two questions."""

ASKED_MAX = 20
"""And cannot do so more often."""


async def one_by_one(folder: Path, seed: int) -> str:
    """Replace two followers, have one of them lead, replace the node that led; and go back."""
    async with trial(folder, seed, victims=False, start=False) as t:
        t.nodes.how = dict.fromkeys(t.nodes.numbers, OLDER)
        await t.begin()
        began = time.monotonic()
        last, _ = await t.leader()
        for number in t.nodes.numbers:
            if number != last:
                await _refused(t)
                await _replace(t, number)
        await _refused(t)
        await _hand_over(t, last)
        require(await _refused(t) == TOO_EARLY, "no newer node led while an older one was heard")
        await _replace(t, last)
        known_s = await _obeyed(t, time.monotonic())
        longest_s = await t.longest_wait(began, time.monotonic())
        require(longest_s <= RESUME_S, f"no grant for {longest_s:.2f} s")
        await _go_back(t, last)
        await t.prove(time.monotonic())
        versions = [await _version(t, number) for number in t.nodes.numbers]
        require(set(versions) == {(1, ATTEMPTS_MAX)}, f"the nodes have the rules {versions}")
        return f"the new level {known_s:.2f} s after the last, grants {longest_s:.2f} s away"


async def _replace(t: Trial, number: int) -> None:
    """End an older node, and start it with the program of today."""
    t.nodes.end(number)
    del t.nodes.how[number]
    await t.start(number)
    await t.served(time.monotonic())


async def _go_back(t: Trial, number: int) -> None:
    """Start a node with the older program once more: it has to stop at what it does not know."""
    t.nodes.end(number)
    t.nodes.how[number] = OLDER
    t.nodes.start(number)
    code = await t.nodes.ended(number)
    require(code in STOPPED, f"the older program ended with {code}")
    require("a newer program has written it" in t.nodes.log(number), "it does not say why")
    del t.nodes.how[number]
    await t.start(number)


async def _hand_over(t: Trial, last: int) -> None:
    """Have a newer node lead."""
    url = f"{t.nodes.urls[last - 1]}/v1/admin/transfer-leader"
    answer = await t.http.post(
        url, json={"reason": "upgrade"}, headers={"Idempotency-Key": "over"}, timeout=ANSWER_S
    )
    moved_before = answer.status_code == httpx.codes.MISDIRECTED_REQUEST
    require(answer.is_success or moved_before, answer.text)
    await t.leader(last)


async def _refused(t: Trial) -> str:
    """Return how the leader refuses what an older program does not know; nothing changes."""
    leader, code = await _order(t)
    expected = REFUSED if leader in t.nodes.how else TOO_EARLY
    require(code == expected, f"node {leader} answers {code!r}, not {expected!r}")
    for number in t.nodes.numbers:
        version, _ = await _version(t, number)
        require(version == 0, f"node {number} has rules of version {version}")
    return code


async def _obeyed(t: Trial, ready: float) -> float:
    """Return how long after the last node is ready the order is obeyed."""
    while True:
        _, code = await _order(t)
        took = time.monotonic() - ready
        if code == OBEYED:
            return took
        require(code == TOO_EARLY and took < KNOWN_S, f"{code!r} after {took:.1f} s")
        await asyncio.sleep(LOOK_S)


async def _order(t: Trial) -> tuple[int, str]:
    """Order other rules; return who leads, and its word against it."""
    for _ in range(ASKED_MAX):
        leader, _ = await t.leader()
        rules = (await t.status(leader))["config"]["values"] | {"max_attempts": ATTEMPTS_MAX}
        answer = await t.http.post(
            f"{t.nodes.urls[leader - 1]}/v1/admin/configure",
            json={"config": rules, "version": 0, "reason": "upgraded"},
            headers={"Idempotency-Key": f"{time.monotonic_ns()}"},
            timeout=ANSWER_S,
        )
        code = str(answer.json().get("error", {"code": OBEYED})["code"])
        if code not in MOVED:
            return leader, code
    raise TrialError(f"no node leads for long: {code}")


async def _version(t: Trial, number: int) -> tuple[int, int]:
    """Return the version of the rules that a node has, and one of them."""
    rules = (await t.status(number))["config"]
    return int(rules["version"]), int(rules["values"]["max_attempts"])
