"""What all commands of `seamless leases` do: reach the service, obey, end with the right code."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from typer.core import TyperGroup
from typer.exceptions import TyperException

from bars.errors import SeamlessError
from coordinator.client import ClientOptions, CoordinatorUnavailableError
from coordinator.recovery import ConflictError, LeaseDesk, Order
from ops import leases_print
from ops.cli_common import fail, load
from ops.stack import stack_leases
from runtime import ConfigError, Settings
from runtime.coordinator import CoordinatorSettings

EXIT_FAILED = 1
EXIT_NO_QUORUM = 2
EXIT_CONFLICT = 3

T = TypeVar("T")


class LeasesGroup(TyperGroup):
    """Wrong usage is exit code 1 here: 2 says that there is no quorum."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program of its own."""
        with _usage():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the words before the command."""
        with _usage():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _usage():
            return super().invoke(ctx)


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except TyperException as error:
        if hasattr(error, "exit_code"):
            error.exit_code = EXIT_FAILED
        raise


@contextmanager
def told() -> Iterator[None]:
    """Turn an error into its message on standard error and an exit code."""
    try:
        yield
    except CoordinatorUnavailableError as error:
        fail(f"{error}\nno quorum: ask `seamless leases status` which node is away", EXIT_NO_QUORUM)
    except ConflictError as error:
        fail(f"{error}\nnothing was changed: look again with `show`", EXIT_CONFLICT)
    except SeamlessError as error:
        fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted", 130)


def with_desk(config: Path, work: Callable[[LeaseDesk], Awaitable[T]]) -> T:
    """Return what somebody does at the desk of the configured service."""

    async def at_desk() -> T:
        try:
            section = _service(load(config))
        except ConfigError as error:
            fail(str(error), EXIT_FAILED)
        async with LeaseDesk(section.urls, ClientOptions.of(section)) as desk:
            return await work(desk)

    with told():
        return asyncio.run(at_desk())


def _service(settings: Settings) -> CoordinatorSettings:
    """Return where the nodes are: as configured, else those that `seamless up` has started."""
    section = settings.coordinator
    if section.urls != CoordinatorSettings().urls or section.client_token_file is not None:
        return section
    return stack_leases(settings.state_dir) or section


class Will:
    """Whether a person means it."""

    def __init__(self, yes: bool, reason: str, as_json: bool) -> None:
        if yes and not reason:
            fail("--reason must be given with --yes", EXIT_FAILED)
        self.yes = yes
        self.reason = reason
        self.as_json = as_json


def change_it(config: Path, work: Callable[[LeaseDesk], Awaitable[Order]], will: Will) -> None:
    """Work an order out, show it, and have it obeyed if that is meant."""

    async def work_out(desk: LeaseDesk) -> tuple[Order, Mapping[str, Any] | None]:
        order = await work(desk)
        return order, await desk.obey(order, will.reason) if will.yes else None

    order, answer = with_desk(config, work_out)
    leases_print.order(order, answer, as_json=will.as_json)
    if answer is None:
        leases_print.dry_run()
