"""From the machine's replies to what a holder of leases is told: values, or errors of this room."""

from coordinator.errors import CommandRefusedError, LeaseLostError, SessionLostError
from coordinator.machine import Code, JobState, Reply

_NOT_HELD = {Code.LATE, Code.UNKNOWN_TOKEN, Code.NOT_YOURS}


def obeyed(reply: Reply) -> Reply:
    """Return a reply that says that the command was obeyed.

    Raises:
        CommandRefusedError: It says something else.
    """
    if reply.code is not Code.OK:
        raise CommandRefusedError(reply.code.value, reply.why)
    return reply


def job_of(reply: Reply) -> JobState:
    """Return the job that a reply is about.

    Raises:
        CommandRefusedError: The command was not obeyed.
    """
    job = obeyed(reply).job
    assert job is not None  # noqa: S101  # every OK about a job carries it
    return job


def in_session(reply: Reply, session_id: str) -> Reply:
    """Return a reply to a command of a session.

    Raises:
        SessionLostError: The session has expired.
        CommandRefusedError: The command was not obeyed for another reason.
    """
    if reply.code is Code.UNKNOWN_SESSION:
        raise SessionLostError(session_id)
    return obeyed(reply)


def in_force(reply: Reply, token: int) -> Reply:
    """Return a reply to a command about a lease, whatever else it says.

    Raises:
        LeaseLostError: The lease is not, or no longer, in force for its session.
    """
    if reply.code in _NOT_HELD:
        raise LeaseLostError(token, reply.end, "" if reply.end else reply.why)
    return reply
