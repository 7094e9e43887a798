"""The local stack: Kafka, the schema registry, QuestDB and the agents on this machine.

What lives here: the pinned files of the servers, how each is started, asked and stopped, and the
state folder that remembers them; `LocalStack` is all of it as one object. What does not: the
command line (`ops.cli_stack`) and keeping an agent alive (`ops.supervise`). Starting a server needs
the extra `[local]`; asking about one does not.
"""

from ops.stack.addresses import Addresses, Ports
from ops.stack.errors import (
    ArtifactError,
    MissingExtraError,
    NotReadyError,
    PortTakenError,
    StackBusyError,
    StackError,
    StateFolderError,
)
from ops.stack.fleet import Asked
from ops.stack.local import LocalStack, stack_leases
from ops.stack.servers import StackOptions
from ops.stack.service import ServiceStatus, StackStatus

__all__ = [
    "Addresses",
    "ArtifactError",
    "Asked",
    "LocalStack",
    "MissingExtraError",
    "NotReadyError",
    "PortTakenError",
    "Ports",
    "ServiceStatus",
    "StackBusyError",
    "StackError",
    "StackOptions",
    "StackStatus",
    "StateFolderError",
    "stack_leases",
]
