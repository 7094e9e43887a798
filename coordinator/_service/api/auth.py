"""Who may ask what: bearer tokens, each of one role.

A role may do what the ones before it may. Tokens are compared as digests, all of them every
time: how long an answer takes says nothing about how much of a guess was right.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from bars.errors import InvalidValueError
from coordinator.private import read_private_text

TOKEN_CHARS = (32, 200)
_FIELD = "coordinator.token_file"


class Role(IntEnum):
    """What a token is good for."""

    READER = 1
    """Looks: state, jobs, events, metrics."""

    WORKER = 2
    """Submits jobs and takes leases."""

    ADMIN = 3
    """Takes leases away, and everything else."""

    @property
    def word(self) -> str:
        """How a file of tokens and a request id call it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that a node accepts, as digests."""

    digests: tuple[tuple[bytes, Role], ...] = field(repr=False)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Role]]) -> "Tokens":
        """Return tokens that are known as such."""
        return cls(tuple((_digest(token), role) for token, role in pairs))

    @classmethod
    def load(cls, path: Path) -> "Tokens":
        """Return the tokens of a file: a line each, `role token`; `#` begins a comment.

        Raises:
            InvalidValueError: The file is open to everybody, or a line is not what it may be; no
                token is shown.
        """
        roles = {role.word: role for role in Role}
        low, high = TOKEN_CHARS
        pairs: list[tuple[str, Role]] = []
        for number, line in enumerate(read_private_text(path, _FIELD).splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            good = len(words) == 2 and words[0] in roles and low <= len(words[1]) <= high  # noqa: PLR2004
            if not good:
                allowed = f"{', '.join(roles)} and a token of {low} to {high} characters"
                raise InvalidValueError(_FIELD, f"line {number} of {path}", allowed)
            pairs.append((words[1], roles[words[0]]))
        if not pairs:
            raise InvalidValueError(_FIELD, f"{path} without tokens", "one token or more")
        return cls.of(pairs)

    def role_of(self, authorization: str | None) -> Role | None:
        """Return the role that an `Authorization` header proves; None: none."""
        scheme, _, token = (authorization or "").partition(" ")
        shown = _digest(token.strip())
        found: Role | None = None
        for digest, role in self.digests:
            same = hmac.compare_digest(digest, shown)
            found = role if same else found
        return found if scheme.lower() == "bearer" else None


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host; a name other than localhost is not sure."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, *, tokens: bool, tls: bool) -> None:
    """Let a node listen where it is safe.

    Raises:
        InvalidValueError: Others reach the host, and there are no tokens or no certificate.
    """
    if is_loopback(host) or (tokens and tls):
        return
    missing = [
        name
        for name, given in (("token_file", tokens), ("tls_certificate and tls_key", tls))
        if not given
    ]
    allowed = f"on the loopback, or with {' and '.join(missing)}"
    raise InvalidValueError("coordinator.listen", host, allowed)


def _digest(token: str) -> bytes:
    # Bytes of a header that are no text come as surrogates.
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
