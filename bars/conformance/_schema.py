"""Is it a frame of bars at all: columns, types, lengths."""

from dataclasses import dataclass

from bars.conformance._model import Finding, Severity
from bars.conformance._raw import TYPES, RawFrame
from bars.conformance._stage import Check, Evidence, Subject, judge
from bars.fingerprint import content_hash
from bars.frame import COLUMNS, BarFrame


def missing_columns(raw: RawFrame) -> Evidence | None:
    """A column is not there; one that is only the index is not there either."""
    missing = [name for name in COLUMNS if name not in raw.names]
    if not missing:
        return None
    index = f", the index was {raw.index}" if raw.index else ""
    return Evidence(f"columns must be {', '.join(COLUMNS)}; missing: {', '.join(missing)}{index}")


def repeated_columns(raw: RawFrame) -> Evidence | None:
    """A column is there twice: nobody can say which is meant."""
    repeated = [name for name in COLUMNS if raw.names.count(name) > 1]
    return Evidence(f"a column must stand once, was {', '.join(repeated)}") if repeated else None


def wrong_types(raw: RawFrame) -> Evidence | None:
    """A type is not exactly the one of the contract; nothing is cast."""
    columns = zip(raw.names, raw.types, strict=True)
    wrong = [f"{name} {kind}" for name, kind in columns if TYPES.get(str(name), kind) != kind]
    if not wrong:
        return None
    return Evidence(f"types must be int64 (ts) and float64, was {', '.join(wrong)}")


def wrong_lengths(raw: RawFrame) -> Evidence | None:
    """Columns have other shapes than each other, or more than one dimension."""
    shapes = raw.shapes
    if len(set(shapes.values())) <= 1 and all(len(shape) == 1 for shape in shapes.values()):
        return None
    return Evidence(f"columns must have one length, was {shapes}")


def unknown_columns(raw: RawFrame) -> Evidence | None:
    """Columns that nobody reads would be lost on the way."""
    unknown = [str(name) for name in raw.names if name not in COLUMNS]
    return Evidence(f"columns not known: {', '.join(unknown)}") if unknown else None


def unread_index(raw: RawFrame) -> Evidence | None:
    """An index that holds something would be lost on the way."""
    if not raw.index or not set(COLUMNS) <= set(raw.names):
        return None
    return Evidence(f"the index is not read, was {raw.index}")


def other_order(raw: RawFrame) -> Evidence | None:
    """The columns stand in another order: read by name, and told."""
    known = [name for name in raw.names if name in COLUMNS]
    if known == [name for name in COLUMNS if name in known] or len(known) > len(set(known)):
        return None
    return Evidence(f"columns are read by name, their order was {', '.join(map(str, known))}")


CHECKS: tuple[Check[RawFrame], ...] = (
    Check("schema.columns", Severity.BLOCK, missing_columns),
    Check("schema.repeated", Severity.BLOCK, repeated_columns),
    Check("schema.types", Severity.BLOCK, wrong_types),
    Check("schema.lengths", Severity.BLOCK, wrong_lengths),
    Check("schema.unknown", Severity.WARN, unknown_columns),
    Check("schema.index", Severity.INFO, unread_index),
    Check("schema.order", Severity.INFO, other_order),
)


def other_hash(subject: Subject) -> Evidence | None:
    """The bars are not those that the sender hashed: damaged, or put together wrongly."""
    said = subject.context.content_hash
    if said is None or subject.view is None:
        return None
    found = content_hash(subject.view.bars)
    return None if found == said else Evidence(f"content hash must be {said}, was {found}")


SENDER_CHECKS: tuple[Check[Subject], ...] = (Check("schema.hash", Severity.BLOCK, other_hash),)


@dataclass(frozen=True, slots=True)
class SchemaRollupStage:
    """Judges the shape of a frame; when it fails, nothing else can be judged."""

    name: str = "schema"
    checks: tuple[Check[RawFrame], ...] = CHECKS

    def run(self, subject: Subject) -> tuple[Finding, ...]:
        """Return what is wrong with columns, types, lengths and the sender's hash."""
        bars = BarFrame.empty() if subject.view is None else subject.view.bars
        return judge(self.checks, subject.raw, bars) + judge(SENDER_CHECKS, subject, bars)
