"""The configuration, changed by order: for every node at the same place in the log."""

from dataclasses import fields

from coordinator.machine import commands as c
from coordinator.machine._draft import Draft
from coordinator.machine._refuse import conflict
from coordinator.machine.replies import Code, Ordered, Reply
from coordinator.machine.values import MESSAGE_CHARS_MAX, MachineConfig


def configure(draft: Draft, command: c.Configure) -> Reply:
    """Let other rules hold from now on."""
    if command.version != draft.config_version:
        return conflict("version", draft.config_version, command.version)
    changes = differences(draft.config, command.config)
    if not changes:
        return Reply(code=Code.OK, found=draft.config_version)
    draft.put_config(command.config)
    told = ", ".join(f"{name} {was} -> {now}" for name, (was, now) in changes.items())
    reason = command.reason[:MESSAGE_CHARS_MAX]
    draft.events.append(Ordered(op="configure", reason=reason, detail=told))
    return Reply(code=Code.OK, found=draft.config_version)


def differences(stands: MachineConfig, wanted: MachineConfig) -> dict[str, tuple[int, int]]:
    """Return the fields in which two configurations differ, with both values."""
    pairs = {
        each.name: (getattr(stands, each.name), getattr(wanted, each.name)) for each in _FIELDS
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


_FIELDS = fields(MachineConfig)
