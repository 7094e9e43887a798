"""The logs of nodes are read whole, though nodes drop what a snapshot has."""

from pathlib import Path

from tests.faults.coordinator.evidence import journals


def test_a_journal_that_gave_way_is_read_to_its_end(tmp_path: Path) -> None:
    """It was the soak's own finding: it took a state for wrong whose log it had not read."""
    node = tmp_path / "node-1"
    node.mkdir()
    journal = node / "journal.log"
    journal.write_bytes(b"one ")
    assert journals(node) == (b"", b"one ")
    with journal.open("ab") as log:
        log.write(b"two ")
    assert journals(node) == (b"", b"one two ")
    with journal.open("ab") as log:
        log.write(b"three ")
    (node / "new").write_bytes(b"four ")
    (node / "new").replace(journal)
    assert journals(node) == (b"one two three ", b"four ")
    assert journals(node) == (b"", b"four ")
    assert [file.name for file in node.iterdir()] == ["journal.log"], "the node's folder is its own"
