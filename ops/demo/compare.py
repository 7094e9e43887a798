"""Whether an answer is what the source has: every value, bit for bit. Pure."""

import numpy as np
import pandas as pd

from bars.frame import COLUMNS, BarFrame


def differences(source: BarFrame, answer: pd.DataFrame) -> list[str]:
    """Return in words each bar that is missing, too many, or not the same."""
    if list(answer.columns) != list(COLUMNS):
        return [f"columns must be {', '.join(COLUMNS)}, were {', '.join(answer.columns)}"]
    found = BarFrame(*(answer[name].to_numpy().copy() for name in COLUMNS))
    missing = np.setdiff1d(source.ts, found.ts)
    strange = np.setdiff1d(found.ts, source.ts)
    told = [f"{ts}: is not in the answer" for ts in missing.tolist()]
    told += [f"{ts}: is not in the source" for ts in strange.tolist()]
    if told:
        return told
    if not np.array_equal(source.ts, found.ts):
        return ["the bars are not in the source's order, each once"]
    unequal = ~source.same_rows(found)
    return [f"{ts}: values differ" for ts in source.ts[unequal].tolist()]
