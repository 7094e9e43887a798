"""Documents of commands: as people write them, and as they must not change."""

import json
from typing import Any

import pytest

from bars.errors import InvalidValueError
from bars.window import Window
from coordinator.machine import Code, Complete, Fail, ForceComplete, Reply, SubmitJob, wire
from tests.unit.machine_help import spec, target

LANE = {"series": {"node": "n", "interval": 1}, "lane": "bf:s"}
JOB = {
    "job_id": "job",
    "target": LANE,
    "window": [0, 20],
    "missing": [[0, 20]],
    "grid": {"interval": 1},
    "window_bars": 10,
}


@pytest.mark.parametrize(
    ("command", "document"),
    [
        (SubmitJob(spec=spec("job", 0, 20)), {"op": "submit_job", "spec": JOB}),
        (
            Complete(session_id="w", token=7, session_bars=9),
            {"op": "complete", "session_id": "w", "token": 7, "session_bars": 9},
        ),
        (
            Fail(session_id="w", token=7, error_class="x", divisible=False),
            {
                "op": "fail",
                "session_id": "w",
                "token": 7,
                "error_class": "x",
                "divisible": False,
            },
        ),
        (
            ForceComplete(
                target=target(), window=Window(0, 5), token=0, evidence="seen", reason="why"
            ),
            {
                "op": "force_complete",
                "target": LANE,
                "window": [0, 5],
                "token": 0,
                "evidence": "seen",
                "reason": "why",
            },
        ),
    ],
)
def test_a_command_is_an_object_with_the_fields_that_are_not_as_usual(
    command: Any, document: dict[str, object]
) -> None:
    assert wire.command_document(command) == document
    assert wire.command_of(document) == command


def test_an_entry_in_the_log_stays_as_it_is() -> None:
    """What is in a journal is read by later programs."""
    entry = wire.Entry(
        term=3, elapsed_ms=20, request_id="r", command=Complete(session_id="w", token=7)
    )
    data = (
        b'{"command":{"op":"complete","session_id":"w","token":7},'
        b'"elapsed_ms":20,"request_id":"r","term":3,"v":1}'
    )
    assert wire.encode_entry(entry) == data
    assert wire.decode_entry(data) == entry


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"window": [5, 5]}, "command.spec.window must be [start, end] with start before end"),
        ({"window": [1]}, "command.spec.window must be [start, end], was [1]"),
        ({"missing": [[0, "x"]]}, "command.spec.missing[0][1] must be a whole number"),
        ({"missing": 3}, "command.spec.missing must be a list, was 3"),
        ({"priority": 1.5}, "command.spec.priority must be a whole number of 64 bits, was 1.5"),
        ({"priority": True}, "command.spec.priority must be a whole number"),
        ({"priority": 2**63}, "command.spec.priority must be a whole number of 64 bits"),
        ({"refetch": "yes"}, "command.spec.refetch must be true or false, was 'yes'"),
        ({"job_id": 7}, "command.spec.job_id must be a string, was 7"),
        ({"job_id": "\ud800"}, "command.spec.job_id must be a string of whole characters"),
        ({"grid": {"interval": 0}}, "command.spec.grid.interval must be a whole number of seconds"),
        ({"target": {**LANE, "lane": "x"}}, "command.spec.target.lane must be 'roll' or"),
        ({"colour": 1}, "command.spec.colour must be one of job_id,"),
        ({"session_bars": []}, "command.spec.session_bars must be a whole number"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(change: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        wire.command_of({"op": "submit_job", "spec": {**JOB, **change}})
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "command must be an object, was None"),
        ([], "command must be an object, was []"),
        ({}, "command.op must be one of tick"),
        ({"op": ["tick"]}, "command.op must be one of tick"),
        ({"op": "acquire"}, "command.session_id must be given, was None"),
        (
            {"op": "set_policy", "target": LANE, "version": 0, "policy": "best", "reason": "x"},
            "command.policy must be one of any, newest_first",
        ),
    ],
)
def test_what_is_no_command_is_refused(document: object, told: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        wire.command_of(document)
    assert str(refused.value).startswith(told)


def test_a_refusal_tells_only_so_much_of_what_was_found() -> None:
    with pytest.raises(InvalidValueError) as refused:
        wire.command_of({"op": "acquire", "session_id": ["x" * 10**6]})
    assert len(str(refused.value)) < 400


def test_every_command_and_event_has_a_name_and_is_told_apart() -> None:
    for kinds in (wire.OPS, wire.EVENTS):
        assert len(set(kinds.values())) == len(kinds)
    assert json.dumps(wire.command_document(SubmitJob(spec=spec("job", 0, 20))))


def test_what_is_written_in_parts_is_what_would_be_written_whole() -> None:
    """The leader puts a written command into its entry: logs and digests must not show that."""
    command = Complete(session_id='w "ü"\n', token=7)
    entry = wire.Entry(term=3, elapsed_ms=4, request_id='id "ü"\n', command=command)
    whole = {
        "term": 3,
        "elapsed_ms": 4,
        "request_id": entry.request_id,
        "command": wire.command_document(command),
    }
    assert wire.encode_entry(entry) == wire.pack(whole)
    assert wire.decode_entry(wire.encode_entry(entry)) == entry
    reply = Reply(code=Code.INVALID, message='no "ü"')
    text = wire.encode_reply(reply)
    assert text == wire.pack({"reply": wire.reply_document(reply)})
    assert json.loads(wire.reply_text(text)) == wire.reply_document(reply)
