"""From the settings to the rules that chunks are judged by."""

from bars.calendars import Calendar
from bars.conformance import ConformancePipeline
from bars.series import Series, backfill_lane
from runtime import NodeSettings, Settings
from streams.conform.screen import Rules


def rules_of(settings: Settings) -> Rules:
    """Return the rules of a configuration."""
    made: dict[Series, Calendar] = {}

    def calendar(node: NodeSettings) -> Calendar:
        # Each is made once: an exchange keeps the sessions that it has worked out.
        if node.series not in made:
            made[node.series] = settings.calendar(node)
        return made[node.series]

    return Rules(
        nodes=settings.nodes,
        calendars=calendar,
        lanes=frozenset(backfill_lane(name) for name in settings.sources),
        ranks=settings.ranks,
        partitions=settings.kafka.partitions,
        pipeline=ConformancePipeline(),
    )
