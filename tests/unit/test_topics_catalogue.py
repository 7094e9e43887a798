"""The table of topics, and how a broker's state is held against it."""

import pytest

from avro_schemas import history_schema, load
from runtime import KafkaSettings
from topics import Catalogue, Difference, Topic
from topics.admin import TopicState, compare, same_value

DAY_MS = 86_400_000
CATALOGUE = Catalogue.of(KafkaSettings())


def test_names_carry_prefix_and_version() -> None:
    catalogue = Catalogue.of(KafkaSettings(prefix="lab."))
    assert [topic.name for topic in catalogue] == [
        "lab.backfill.requests.v1",
        "lab.backfill.status.v1",
        "lab.backfill.chunks.v1",
        "lab.bars.live.v1",
        "lab.bars.history.v1",
        "lab.coverage.v1",
        "lab.visible.v1",
        "lab.conformance.reports.v1",
        "lab.deadletter.v1",
    ]
    assert catalogue.history.subject == "lab.bars.history.v1-value"


@pytest.mark.parametrize(
    ("topic", "policy", "days"),
    [
        (CATALOGUE.requests, "delete", 30),
        (CATALOGUE.status, "compact,delete", 30),
        (CATALOGUE.chunks, "delete", 7),
        (CATALOGUE.live, "delete", 24),
        (CATALOGUE.history, "compact", None),
        (CATALOGUE.coverage, "compact,delete", 30),
        (CATALOGUE.visible, "compact", None),
        (CATALOGUE.reports, "delete", 90),
        (CATALOGUE.deadletter, "delete", 30),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_each_topic_keeps_what_it_should(topic: Topic, policy: str, days: int | None) -> None:
    config = topic.config
    assert config["cleanup.policy"] == policy
    assert config.get("retention.ms") == (None if days is None else str(days * DAY_MS))


def test_the_brokers_clock_stamps_what_becomes_known() -> None:
    """`known` is made of it: a producer's clock must not decide which version wins."""
    stamped = [t for t in CATALOGUE if t.config.get("message.timestamp.type") == "LogAppendTime"]
    assert stamped == [CATALOGUE.chunks, CATALOGUE.live]


def test_history_keeps_versions_for_longer_than_any_reader_takes() -> None:
    assert CATALOGUE.history.config["min.compaction.lag.ms"] == str(7 * DAY_MS)


def test_only_requests_may_be_written_by_newer_schemas_than_their_readers() -> None:
    levels = {topic.compatibility for topic in CATALOGUE if topic != CATALOGUE.requests}
    assert levels == {"FULL_TRANSITIVE", ""}
    assert CATALOGUE.requests.compatibility == "BACKWARD_TRANSITIVE"


def test_history_is_a_union_and_dead_letters_are_bytes() -> None:
    assert CATALOGUE.history.schema == history_schema()
    assert CATALOGUE.live.schema == CATALOGUE.chunks.schema == load("BarChunk")
    assert CATALOGUE.deadletter.schema is None


def test_a_dead_letter_may_be_larger_than_the_record_it_holds() -> None:
    """Headers come on top; a dead letter that does not fit would stop everything."""
    others = {t.config.get("max.message.bytes") for t in CATALOGUE if t != CATALOGUE.deadletter}
    assert others == {None}  # Kafka's own limit, 1 MiB and a little
    assert int(CATALOGUE.deadletter.config["max.message.bytes"]) >= 2 * 1_048_588


@pytest.mark.parametrize(("replication", "wanted"), [(1, None), (2, None), (3, "2"), (5, "4")])
def test_an_acknowledged_write_is_in_two_places_where_three_exist(
    replication: int, wanted: str | None
) -> None:
    catalogue = Catalogue.of(KafkaSettings(replication=replication))
    assert {t.config.get("min.insync.replicas") for t in catalogue} == {wanted}


def test_a_topic_that_is_as_it_should_be_has_no_difference() -> None:
    status = CATALOGUE.status
    config = {**status.config, "cleanup.policy": "delete,compact", "flush.ms": "1"}
    assert compare(status, TopicState(4, config), KafkaSettings()) == []


def test_every_difference_is_named_with_found_and_wanted() -> None:
    chunks = CATALOGUE.chunks
    config = {"cleanup.policy": "delete", "retention.ms": "5"}
    found = compare(chunks, TopicState(3, config), KafkaSettings())
    assert found == [
        Difference(chunks.name, "partitions", "3", "4"),
        Difference(chunks.name, "retention.ms", "5", str(7 * DAY_MS)),
        Difference(chunks.name, "message.timestamp.type", "", "LogAppendTime"),
    ]
    assert str(found[0]) == f"{chunks.name}: partitions must be 4, was 3"


def test_a_missing_topic_is_one_difference() -> None:
    found = compare(CATALOGUE.live, None, KafkaSettings())
    assert [d.what for d in found] == ["topic"]
    assert str(found[0]).endswith("was missing")


def test_lists_in_settings_have_no_order() -> None:
    assert same_value("delete,compact", "compact,delete")
    assert not same_value("compact", "compact,delete")
