"""The errors of this room."""

from bars.errors import InvalidValueError, SeamlessError


class WorkerError(SeamlessError):
    """Base of what stops a fetch worker, or a request."""


class RefusedRequestError(WorkerError, InvalidValueError):
    """A request asks for what there is not; nothing was begun.

    Attributes:
        field: Which field of the request.
        found: What it was.
        allowed: What it may be.
    """


class SecondWorkerError(WorkerError):
    """Another fetch worker runs that may not: only a lease service lets several work together.

    Attributes:
        who: What is known of the other one.
    """

    def __init__(self, who: str) -> None:
        super().__init__(
            f"another fetch worker runs: {who}; stop it first: there may only be one, unless all "
            "of them have a section `coordinator` in their configuration"
        )
        self.who = who


class ServiceFullError(WorkerError):
    """The lease service holds as many jobs as it may; some will end."""

    retriable = True


class RivalJobError(WorkerError):
    """Somebody else has just asked for the same request otherwise; one of us does not have it.

    Attributes:
        request_id: Which request.
    """

    retriable = True

    def __init__(self, request_id: str) -> None:
        super().__init__(f"another worker asks for {request_id} too, with other values")
        self.request_id = request_id


class StoppedError(WorkerError):
    """The worker was asked to stop while it waited for somebody."""

    def __init__(self, what: str) -> None:
        super().__init__(f"asked to stop while waiting: {what}")
        self.what = what
