"""Errors that a client hands out together with records: they are told after the records."""

from collections.abc import Callable, Iterable

from confluent_kafka import Message

from topics.errors import TopicsError


class LateError:
    """The error of the last batch, if it is still to be told.

    The client does not hand records out a second time: an error raised in the middle of a batch
    would lose those around it.
    """

    def __init__(self) -> None:
        self._error: TopicsError | None = None

    def tell(self) -> None:
        """Raise it, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def records(
        self, found: Iterable[Message], is_record: Callable[[Message], bool]
    ) -> list[Message]:
        """Return the records of a batch; raise what is no record only where there are none.

        Args:
            found: What the client handed out.
            is_record: Tells records from news; raises for errors.
        """
        records: list[Message] = []
        for message in found:
            try:
                if is_record(message):
                    records.append(message)
            except TopicsError as error:
                self._error = error
        if not records:
            self.tell()
        return records

    def forget(self) -> None:
        """Tell nothing: reading begins anew elsewhere."""
        self._error = None
