"""The secret that the nodes of a cluster share: who has it is one of them."""

import stat
from pathlib import Path
from typing import Final

from coordinator._service.raft.errors import SecretError

SECRET_BYTES_MIN: Final = 32
"""Below it, whoever has recorded one message could guess the key."""

_HELP: Final = "make one with: (umask 077; openssl rand -hex 32 > FILE)"


def read_secret(path: Path) -> bytes:
    """Return the secret in a file, without the space around it.

    Raises:
        SecretError: There is none, it is too short, or others on this machine may read it.
    """
    try:
        mode = path.stat().st_mode
        secret = path.read_bytes().strip()
    except OSError as error:
        raise SecretError(
            f"secret file {path} cannot be read: {error.strerror}; {_HELP}"
        ) from error
    if mode & stat.S_IRWXO:
        found = stat.filemode(mode)
        raise SecretError(f"secret file {path} must not be open to all, was {found}; chmod o= it")
    if len(secret) < SECRET_BYTES_MIN:
        allowed = f"at least {SECRET_BYTES_MIN} bytes"
        raise SecretError(f"secret in {path} must have {allowed}, was {len(secret)}; {_HELP}")
    return secret
