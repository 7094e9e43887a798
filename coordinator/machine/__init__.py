"""The lease machine: sessions, jobs, windows, leases, and `apply`, which moves them.

Pure and deterministic: no clock, no chance, no exceptions; time and random parts come in as data
on the commands, refusals go out as replies. Whatever runs it (one process, a replicated log)
only has to hand it the same commands in the same order.

Decided here, and shown by the tests:

* A job's windows are cut from its ranges when they are granted, never before. A window that was
  never tried is no state.
* A window belongs to every job that wants a part of it, and ends when the last of them goes.
* A job that refetches wants fetches that *began* after it was submitted: it never shares a
  window that was being fetched already, but waits for that lease to end and takes its own.
* A lease that expires, or whose session does, counts as an attempt. One that is given back, and
  one that the source asked to pause, does not.
* What a holder has brought is done, however its lease ends. What is left is another window, with
  one attempt behind it at most.
* A window whose attempts are spent is halved, and each half tried once before it is halved again,
  unless its holder says that no part could fare better. A single bar is given up.
* What is given up is given up for the jobs of that moment. A job that is submitted later tries
  again.
* A holder that comes late is told how its lease ended, and counted. Nothing else happens.
* A window that somebody has chosen for themselves (the older protocol) and the windows of workers
  never have a bar in common, whatever their lanes.
* To wait for a verdict is progress: an outage behind the holder makes no lease stalled.
* The configuration is part of the state, so it changes by order too, at one place in the log.
* Whoever changes something by order names what they expect to find, and why.

`wire` has the documents, `replica` what a log applies, `views` what is read out of a state.

Does not live here: what the ledger covers (it comes in with a job), waiting, transport.
"""

from coordinator.machine._apply import Applied, apply
from coordinator.machine.commands import (
    Acquire,
    AdminCommand,
    AnyCommand,
    Barrier,
    BumpEpoch,
    CancelJob,
    ClaimWindow,
    CloseSession,
    Command,
    Complete,
    Configure,
    EndClaim,
    Fail,
    ForceComplete,
    KeepSession,
    OpenSession,
    PauseLane,
    Progress,
    QueryJob,
    Release,
    Renew,
    Requeue,
    ResumeLane,
    Resync,
    Revoke,
    SetPolicy,
    SubmitJob,
    Tick,
    Unpoison,
)
from coordinator.machine.replies import (
    Code,
    Event,
    JobCancelled,
    JobFinished,
    JobSubmitted,
    LeaseEnded,
    LeaseGranted,
    Ordered,
    Reply,
    SessionEnded,
    SessionOpened,
    StaleClaim,
    WindowClaimed,
    WindowDone,
    WindowFailed,
    WindowSplit,
    WindowsUndone,
    WindowWaits,
)
from coordinator.machine.state import Lease, State, initial
from coordinator.machine.values import (
    PPM,
    Failure,
    JobSpec,
    JobState,
    LeaseEnd,
    MachineConfig,
    Policy,
    SeriesLane,
    StaleKind,
    epoch_of,
    token_of,
)

__all__ = [
    "PPM",
    "Acquire",
    "AdminCommand",
    "AnyCommand",
    "Applied",
    "Barrier",
    "BumpEpoch",
    "CancelJob",
    "ClaimWindow",
    "CloseSession",
    "Code",
    "Command",
    "Complete",
    "Configure",
    "EndClaim",
    "Event",
    "Fail",
    "Failure",
    "ForceComplete",
    "JobCancelled",
    "JobFinished",
    "JobSpec",
    "JobState",
    "JobSubmitted",
    "KeepSession",
    "Lease",
    "LeaseEnd",
    "LeaseEnded",
    "LeaseGranted",
    "MachineConfig",
    "OpenSession",
    "Ordered",
    "PauseLane",
    "Policy",
    "Progress",
    "QueryJob",
    "Release",
    "Renew",
    "Reply",
    "Requeue",
    "ResumeLane",
    "Resync",
    "Revoke",
    "SeriesLane",
    "SessionEnded",
    "SessionOpened",
    "SetPolicy",
    "StaleClaim",
    "StaleKind",
    "State",
    "SubmitJob",
    "Tick",
    "Unpoison",
    "WindowClaimed",
    "WindowDone",
    "WindowFailed",
    "WindowSplit",
    "WindowWaits",
    "WindowsUndone",
    "apply",
    "epoch_of",
    "initial",
    "token_of",
]
