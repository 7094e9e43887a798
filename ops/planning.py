"""What the fetch worker would make of a request now, worked out here and now."""

from bars.window import Window
from runtime import ConfigError, Settings, SystemClock
from sources import SourceError, open_source
from store import MissingTableError, Store
from worker import Accepted, Plan, plan, terms_of


async def plan_now(accepted: Accepted, settings: Settings) -> tuple[Plan, str]:
    """Return a plan, and what is not known here; empty: nothing.

    Raises:
        StoreUnavailableError: The ledger cannot be asked.
        RefusedRequestError: The worker would refuse the request.
    """
    series = accepted.node.series
    doubt = ""
    listed: Window | None = None
    try:
        source = open_source(settings.sources[accepted.source], settings.nodes, base=settings.base)
        listed = await source.listed(series)
    except (SourceError, ConfigError) as error:
        doubt = f"the source cannot be asked from here: {error}"
    with Store(settings.store) as store:
        try:
            held = store.ledger.windows(series, accepted.lanes)
        except MissingTableError:
            held = ()
    terms = terms_of(settings, accepted.node, listed)
    now = SystemClock().wall_us() // 1_000_000
    return plan(accepted.request, terms, held, now), doubt
