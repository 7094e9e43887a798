"""Files with secrets: read only where not everybody can."""

import stat
from pathlib import Path

from bars.errors import InvalidValueError

BYTES_MAX = 65_536
"""A secret is small; a file that is not was named by mistake."""


def read_private(path: Path, field: str) -> bytes:
    """Return what a file with secrets holds.

    Args:
        path: The file.
        field: The setting that names it, for the message.

    Raises:
        InvalidValueError: It cannot be read, is too long, or other users may read or change it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & stat.S_IRWXO:
                found = f"{path} with mode {mode:o}"
                raise InvalidValueError(field, found, "a file that other users may not touch")
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        found = f"{path}: {error.strerror}"
        raise InvalidValueError(field, found, "a file that can be read") from None
    if len(content) > BYTES_MAX:
        raise InvalidValueError(field, f"{path}", f"a file of at most {BYTES_MAX} bytes")
    return content


def read_private_text(path: Path, field: str) -> str:
    """Return the text of a file with secrets, without the space around it.

    Raises:
        InvalidValueError: It cannot be read, other users may read it, or it is no ASCII.
    """
    try:
        return read_private(path, field).decode("ascii").strip()
    except UnicodeDecodeError:
        raise InvalidValueError(field, f"{path}", "a file of ASCII text") from None
