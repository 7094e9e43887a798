"""What people need when leases are not where they should be: see, change, copy, and begin anew.

Lives here: `orders`, changes of people to a service that runs, each compared with what stands;
`offline`, a node's folder and snapshots, read without any node.

Does not live here: the commands that people type (`ops`), the rules (`coordinator.machine`).
"""

from coordinator.recovery.offline import (
    FolderReport,
    SnapshotReport,
    inspect_folder,
    restore_node,
    verify_snapshot,
)
from coordinator.recovery.orders import (
    ConflictError,
    LaneName,
    LeaseDesk,
    NodeReport,
    Order,
    WindowName,
)

__all__ = [
    "ConflictError",
    "FolderReport",
    "LaneName",
    "LeaseDesk",
    "NodeReport",
    "Order",
    "SnapshotReport",
    "WindowName",
    "inspect_folder",
    "restore_node",
    "verify_snapshot",
]
