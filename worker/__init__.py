"""The fetch worker: backfill requests in, chunks of bars and the state of each request out.

Lives here: what a request comes to (`plan`), leases at work (`fetching`, `windows`), when a
request is complete (`progress`), and the process (`python -m worker`).

Does not live here: who may fetch what (`coordinator`), how a source is asked (`sources`),
whether the bars are right and how they get into the store (`streams`). No Faust.
"""

from worker.accept import Accepted, accept
from worker.errors import RefusedRequestError, SecondWorkerError, WorkerError
from worker.own import OwnWorker
from worker.plan import Plan, Terms, plan
from worker.service import Collaborators, FetchWorker
from worker.terms import TermsBook, terms_of

__all__ = [
    "Accepted",
    "Collaborators",
    "FetchWorker",
    "OwnWorker",
    "Plan",
    "RefusedRequestError",
    "SecondWorkerError",
    "Terms",
    "TermsBook",
    "WorkerError",
    "accept",
    "plan",
    "terms_of",
]
