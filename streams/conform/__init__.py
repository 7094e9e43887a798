"""Conformance as a process: each chunk gets a verdict, and history what passed.

`screen` and `decide` say what becomes of a chunk, `overlay` remembers what the store may not show
yet, `owner` does it for one partition in fenced transactions, `agent` hands it the chunks. The
checks themselves are in `bars.conformance`.
"""

from streams.conform.agent import ConformAgent
from streams.conform.decide import Judgement, Knowledge, judge
from streams.conform.owner import Desk, Owner
from streams.conform.rules import rules_of
from streams.conform.screen import Candidate, Place, Rejection, Rules, screen

__all__ = [
    "Candidate",
    "ConformAgent",
    "Desk",
    "Judgement",
    "Knowledge",
    "Owner",
    "Place",
    "Rejection",
    "Rules",
    "judge",
    "rules_of",
    "screen",
]
