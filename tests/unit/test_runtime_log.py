"""The log, as a process of ours writes it: one JSON object a line, each line once."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.log import logger, request, request_id

ROOT = Path(__file__).parents[2]


def lines_of(program: str) -> list[dict[str, object]]:
    """Return what a process that runs `program` logs; its standard output stays empty."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_json_with_role_level_and_values() -> None:
    (line,) = lines_of(
        "from runtime.log import configure, logger\n"
        "configure('conform')\n"
        "logger('streams.x').info('chunk judged', bars=900, verdict='passed')\n"
        "logger('streams.x').debug('not written')\n"
    )
    assert str(line.pop("time")).endswith("Z")
    assert line == {
        "level": "info",
        "role": "conform",
        "logger": "streams.x",
        "event": "chunk judged",
        "bars": 900,
        "verdict": "passed",
    }


def test_libraries_with_handlers_of_their_own_are_written_once() -> None:
    lines = lines_of(
        "import logging, warnings\n"
        "library = logging.getLogger('library')\n"
        "library.addHandler(logging.StreamHandler())\n"
        "library.propagate = False\n"
        "from runtime.log import configure\n"
        "configure('conform')\n"
        "configure('conform')\n"
        "library.error('it is %d %% full', 90)\n"
        "logging.getLogger('aiokafka.consumer').info('chatter')\n"
        "logging.getLogger('aiokafka.consumer').warning('trouble')\n"
        "warnings.warn('old')\n"
    )
    events = [str(line["event"]) for line in lines]
    assert events[:2] == ["it is 90 % full", "trouble"]
    assert "UserWarning: old" in events[2]


def test_faust_and_mode_are_written_once() -> None:
    lines = lines_of(
        "import faust, logging\n"
        "from runtime.log import configure\n"
        "configure('conform')\n"
        "logging.getLogger('faust.app').error('a')\n"
        "logging.getLogger('mode.services').error('b')\n"
    )
    assert [line["event"] for line in lines] == ["a", "b"]


def test_a_request_is_named_in_every_line_under_it() -> None:
    lines = lines_of(
        "import asyncio, logging\n"
        "from runtime.log import configure, logger, request\n"
        "configure('worker')\n"
        "log = logger('x')\n"
        "async def work(): logging.getLogger('library').error('deep')\n"
        "async def main():\n"
        "    with request('r-1'):\n"
        "        log.info('begin')\n"
        "        await asyncio.gather(work(), work())\n"
        "    log.info('end')\n"
        "asyncio.run(main())\n"
    )
    assert [line.get("request_id") for line in lines] == ["r-1", "r-1", "r-1", None]


def test_an_exception_is_one_line_with_its_traceback() -> None:
    (line,) = lines_of(
        "from runtime.log import configure, logger\n"
        "configure('x')\n"
        "try:\n    1 / 0\n"
        "except ZeroDivisionError:\n    logger('x').exception('failed', at='start')\n"
    )
    assert line["event"] == "failed"
    assert line["level"] == "error"
    assert "ZeroDivisionError: division by zero" in str(line["exception"])


def test_awkward_values_still_make_a_line() -> None:
    (line,) = lines_of(
        "from pathlib import Path\n"
        "from runtime.log import configure, logger\n"
        "configure('x')\n"
        "logger('x').info('%s odd', price=float('nan'), path=Path('/a'), level=3, text='\\n')\n"
    )
    assert (line["event"], line["price"], line["path"]) == ("%s odd", "nan", "/a")
    assert (line["level"], line["level_"], line["text"]) == ("info", "3", "\n")


def test_in_a_program_of_others_a_line_is_an_ordinary_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The library must not configure a strategy's logging."""
    with caplog.at_level(logging.INFO, logger="provider"), request("r-2"):
        logger("provider").info("fetched", bars=3)
        assert request_id() == "r-2"
    assert [record.getMessage() for record in caplog.records] == ["fetched bars=3 request_id='r-2'"]
    assert request_id() is None
