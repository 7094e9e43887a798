"""Taking node and interval from a stream, as QMTL binds its parts."""

from bars.series import Series, check_node
from provider._ask import check_series


class Bound:
    """Something that may be bound to a stream. A base to inherit."""

    _bound: Series | None = None

    @property
    def bound(self) -> Series | None:
        """The series of the stream that it was bound to last; None before."""
        return self._bound

    def bind_stream(self, stream: object) -> None:
        """Take the node's name and interval from a stream (`node_id` and `interval`).

        Raises:
            InvalidValueError: The stream has none, or they are not what they may be.
        """
        node_id, interval = getattr(stream, "node_id", None), getattr(stream, "interval", None)
        check_node(node_id)  # first: the more telling of the two
        self._bound = check_series(node_id, interval)
