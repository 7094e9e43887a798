"""The examples of the provider that need no server, run as anybody would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SAYS = {
    "local_provider.py": [
        "plan: fetch 240 bars in 2 requests",
        "partial_fill: 0 bars at once, 1 job behind",
        "job: done 1.0",
        "seamless: 240 bars, hold: False missing: []",
        "history: [1578690000, 1578693600, 1578697200]",
    ],
    "notebook.py": [
        "await: 0 bars {'no_trades': 60}",
        "sync: 0 bars, asked 1 time",
    ],
    "custom_source.py": [
        "bars: 3 from FrameSource",
        "missing: {'unknown': 2}",
    ],
    "custom_backfiller.py": [
        "sessions of January 2020: 21",
        "before: 0 bars, SourceError: source fetcher: cannot backfill [1577059200, 1577836800) now",
    ],
}


@pytest.mark.parametrize("example", SAYS)
def test_an_example_says_what_it_should(example: str, tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-W", "error", str(EXAMPLES / example)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == SAYS[example]
