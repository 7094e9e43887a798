"""What a strategy may want to catch, beside the errors of the rooms below."""

from collections.abc import Iterable

from avro_schemas import WindowFailure
from bars.errors import SeamlessError
from bars.series import Series
from bars.window import Window
from runtime.errors import DeadlineExceededError

_NAMED_MAX = 3
"""Ranges that a message spells out; the attribute has them all."""


class ProviderError(SeamlessError):
    """Base of the errors of this room."""


class DataUnavailableError(ProviderError):
    """Bars that should be there are not, and nobody is going to bring them within this call.

    Attributes:
        series: Whose bars.
        missing: Inclusive ranges (first bar, last bar) of the bars that are missing.
        missing_bars: How many session bars that are.
        reason: Why nobody brings them.
        request_id: The request that was to bring them; None when there was none.
    """

    retriable = True

    def __init__(
        self,
        series: Series,
        missing: Iterable[tuple[int, int]],
        missing_bars: int,
        reason: str,
        request_id: str | None = None,
    ) -> None:
        self.series = series
        self.missing = tuple(missing)
        self.missing_bars = missing_bars
        self.reason = reason
        self.request_id = request_id
        named = ", ".join(f"{first}..{last}" for first, last in self.missing[:_NAMED_MAX])
        more = len(self.missing) - _NAMED_MAX
        super().__init__(
            f"{series}: {missing_bars} session bars are missing ({named}"
            f"{f' and {more} more ranges' if more > 0 else ''}): {reason}"
        )


class BackfillFailedError(ProviderError):
    """Somebody tried to bring missing bars and finally failed.

    Attributes:
        request_id: The request, as in its status records, logs and metadata.
        series: Whose bars.
        windows: The half-open windows that failed; empty when the request was never begun.
        failures: What happened to each of them.
        reason: What is said of the request as a whole.
    """

    def __init__(
        self,
        request_id: str,
        series: Series,
        failures: Iterable[WindowFailure],
        reason: str,
    ) -> None:
        self.request_id = request_id
        self.series = series
        self.failures = tuple(failures)
        self.windows = tuple(Window(f.start, f.end) for f in self.failures)
        self.reason = reason
        named = "; ".join(
            f"[{f.start}, {f.end}) {f.error_class}: {f.message}" for f in self.failures[:_NAMED_MAX]
        )
        more = len(self.failures) - _NAMED_MAX
        super().__init__(
            f"{series}: backfill request {request_id} failed: {reason}"
            f"{f': {named}' if named else ''}{f' and {more} more windows' if more > 0 else ''}"
        )


class SeamlessSLAExceeded(ProviderError, DeadlineExceededError):  # noqa: N818  QMTL's name
    """The answer could not be had within the service level that was asked for.

    Not retriable under the same policy, as every deadline: whether to ask again, and with how
    much time, is the caller's decision. What was read meanwhile is in the caches.

    Attributes:
        phase: What ran over: `storage`, `backfill`, `live` or `total` for time; `sync_gap`,
            `coverage` or `lag` for what the answer lacks.
        node_id: Whose bars.
        elapsed_ms: How long that phase, or the call, had taken.
        budget_ms: How long it might take; infinite where time is not what ran over.
        detail: What else there is to say, for people.
    """

    def __init__(
        self, phase: str, node_id: str, elapsed_ms: float, budget_ms: float, detail: str = ""
    ) -> None:
        DeadlineExceededError.__init__(self, phase, budget_ms, elapsed_ms)
        self.node_id = node_id
        self.detail = detail
        told = detail or f"not done after {elapsed_ms:.0f} ms, budget {budget_ms:.0f} ms"
        self.args = (f"{node_id}: service level exceeded, {phase}: {told}",)


class ClosedError(ProviderError):
    """The provider has been closed and answers nothing more."""

    def __init__(self) -> None:
        super().__init__("the provider is closed")


class UnverifiedRowsError(ProviderError):
    """Rows were written and read back differently, again and again.

    Attributes:
        mismatches: What was sent and what is stored, in words.
    """

    def __init__(self, mismatches: Iterable[object]) -> None:
        self.mismatches = tuple(str(m) for m in mismatches)
        super().__init__(
            f"{len(self.mismatches)} rows are not stored as they were sent: {self.mismatches[0]}"
        )
