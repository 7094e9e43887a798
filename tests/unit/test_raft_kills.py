"""SIGKILL in every step that a node takes on its disk, in a real process."""

import json
import subprocess
import sys


def test_killed_in_any_step_a_node_has_everything_that_it_answered() -> None:
    """PySyncObj lost 50 of 150, and 97 of 200, in the two steps of its compaction."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.raft_victim"],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["broken"] == []
    assert report["steps"] > 100
    files = ("journal.log", "journal.log.new", "state.snapshot.new")
    expected = {f"sync {name} {when}" for name in files for when in ("before", "after")}
    expected |= {f"write {name} half" for name in files}
    expected |= {f"rename {name} before" for name in ("journal.log", "state.snapshot")}
    assert expected <= set(report["kinds"])
