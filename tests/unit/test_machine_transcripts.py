"""Stories of the machine, each command with all that it answers and tells.

A transcript that no longer holds fails with the transcript as it would be now: if that is right,
it is the new file.
"""

from pathlib import Path

import pytest

from tests.unit.transcript_help import Player

STORIES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_transcript_holds(story: Path) -> None:
    text = story.read_text()
    assert Player().play(text) == text


def test_there_are_transcripts() -> None:
    """Or the test above would be silent in a folder that was moved."""
    assert len(STORIES) >= 8


def test_a_transcript_that_does_not_hold_is_found() -> None:
    text = STORIES[0].read_text()
    assert Player().play(text.replace("ok", "no", 1)) == text
