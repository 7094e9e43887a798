"""The table that the page shows is the one that is run."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.scenarios import SCENARIOS as ON_THE_ROAD
from tests.faults.table import LOST, PROOFS, Proof, Row, lease_rows, run_rows

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_names_every_row_with_its_goal() -> None:
    page = (ROOT / "docs" / "coordinator.md").read_text("utf-8")
    section = page.partition("\n## What is tested\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", section, re.MULTILINE)[1:]
    assert told == [(row.name, row.goal) for row in lease_rows(1, None)]


def test_no_two_rows_have_one_name() -> None:
    """A name on the command line runs what it says."""
    names = [row.name for row in lease_rows(1, None)] + [each.name for each in ON_THE_ROAD]
    assert max(Counter(names).values()) == 1


@pytest.mark.parametrize("proof", PROOFS, ids=[proof.name for proof in PROOFS])
def test_a_row_that_other_tests_prove_names_one_that_is_there(proof: Proof) -> None:
    text = (ROOT / "tests" / proof.file).read_text("utf-8")
    assert f"def {proof.test}(" in text if proof.test else "def test_" in text


def test_a_row_that_fails_is_told_and_the_others_have_their_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_folder: Path) -> str:
        raise AssertionError("nothing held")

    rows = [
        Row(name="bad", goal="", rounds=2, run=fail),
        Row(name="good", goal="", rounds=1, run=lambda folder: f"in {folder.name}"),
    ]
    bad, good = run_rows(rows, tmp_path)
    assert bad[1] == [LOST, LOST]
    assert len(good[1]) == 1
    assert LOST not in good[1]
    printed = capsys.readouterr()
    assert "bad, round 2: AssertionError('nothing held')" in printed.err
    assert "good: in 1-0" in printed.out
