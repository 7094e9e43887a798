"""What a strategy may want to catch, beside the errors of the rooms below."""

from collections.abc import Iterable

from avro_schemas import WindowFailure
from bars.errors import SeamlessError
from bars.series import Series
from bars.window import Window

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
        request_id: The request that may still bring them later; None when there is none.
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
