"""The routes that change something: a body becomes a command, its reply the answer."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from bars.errors import InvalidValueError
from coordinator._service.api.asked import Answered, Asked, Handler, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.body import number_of
from coordinator._service.api.service import Service, command_of, request_id, told
from coordinator.lease import check_ttl_ms
from coordinator.machine import PPM, Acquire, Configure, Fail, MachineConfig

PLAIN = (
    ("/v1/sessions", Role.WORKER, "open_session"),
    ("/v1/sessions:keep", Role.WORKER, "keep_session"),
    ("/v1/sessions:close", Role.WORKER, "close_session"),
    ("/v1/jobs", Role.WORKER, "submit_job"),
    ("/v1/jobs:cancel", Role.WORKER, "cancel_job"),
    ("/v1/leases:renew", Role.WORKER, "renew"),
    ("/v1/leases:progress", Role.WORKER, "progress"),
    ("/v1/leases:complete", Role.WORKER, "complete"),
    ("/v1/leases:release", Role.WORKER, "release"),
    ("/v1/lanes:resync", Role.WORKER, "resync"),
    ("/v1/admin/revoke", Role.ADMIN, "revoke"),
    ("/v1/admin/requeue", Role.ADMIN, "requeue"),
    ("/v1/admin/unpoison", Role.ADMIN, "unpoison"),
    ("/v1/admin/complete", Role.ADMIN, "force_complete"),
    ("/v1/admin/pause", Role.ADMIN, "pause_lane"),
    ("/v1/admin/resume", Role.ADMIN, "resume_lane"),
    ("/v1/admin/policy", Role.ADMIN, "set_policy"),
    ("/v1/admin/epoch", Role.ADMIN, "bump_epoch"),
)
"""Path, who may, and the command whose fields the body has."""

_RULES = tuple(each.name for each in fields(MachineConfig))


def routes(service: Service, on_grant: Callable[[float], None]) -> Iterator[Route]:
    """Yield the routes.

    Args:
        service: The node's.
        on_grant: Told how long the log took for an acquire that was granted something.
    """
    for path, role, op in PLAIN:
        yield Route(
            method="POST", path=path, role=role, handler=_plain(service, op), needs_key=True
        )
    for path, handler in (
        ("/v1/leases:acquire", _acquire(service, on_grant)),
        ("/v1/leases:fail", _fail(service)),
    ):
        yield Route(method="POST", path=path, role=Role.WORKER, handler=handler, needs_key=True)
    path, handler = "/v1/admin/configure", _configure(service)
    yield Route(method="POST", path=path, role=Role.ADMIN, handler=handler, needs_key=True)


def _plain(service: Service, op: str) -> Handler:
    async def change(asked: Asked) -> Answered:
        return await service.obey(asked, command_of(op, asked.body))

    return change


def _acquire(service: Service, on_grant: Callable[[float], None]) -> Handler:
    async def acquire(asked: Asked) -> Answered:
        """Take windows; `wait_s` says how long to wait for the first.

        A key is proposed once, after the wait. Who lost the answer asks again with the same key
        and without a wait, and gets it.
        """
        began_s = service.clock.monotonic()
        wait_s = number_of(asked.body, "wait_s", 0, service.limits.wait_s, 0)
        rest = {name: value for name, value in asked.body.items() if name != "wait_s"}
        command = command_of("acquire", rest)
        assert isinstance(command, Acquire)  # noqa: S101  # that is what the op says
        turn = await service.room.enter(command, wait_s)
        try:
            asked_s = service.clock.monotonic()
            answer = await service.propose(command, request_id(asked, command))
        finally:
            service.room.leave(turn)
        waited_s = asked_s - began_s
        if answer.reply.leases:
            on_grant(service.clock.monotonic() - asked_s)
        return told(answer, waited_ms=int(waited_s * 1_000))

    return acquire


def _configure(service: Service) -> Handler:
    async def configure(asked: Asked) -> Answered:
        """Let other rules hold; what is not said must not fall back to what this program has."""
        config = asked.body.get("config")
        if isinstance(config, dict) and (missing := [n for n in _RULES if n not in config]):
            raise InvalidValueError(f"config.{missing[0]}", None, "given: all rules are")
        command = command_of("configure", asked.body)
        assert isinstance(command, Configure)  # noqa: S101  # that is what the op says
        check_ttl_ms(command.config.lease_ttl_ms, "config.lease_ttl_ms")
        return await service.obey(asked, command)

    return configure


def _fail(service: Service) -> Handler:
    async def fail(asked: Asked) -> Answered:
        """Tell of a failure; where in the random part of the wait it is tried again is drawn."""
        command = command_of("fail", asked.body, "chance_ppm")
        assert isinstance(command, Fail)  # noqa: S101  # that is what the op says
        drawn = replace(command, chance_ppm=int(service.rng.random() * PPM))
        return told(await service.propose(drawn, request_id(asked, command)))

    return fail
