"""Where a QuestDB is: `questdb://[user:password@]host[:9000][?pg_port=8812]`."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from bars.errors import InvalidValueError

HTTP_PORT = 9000
PG_PORT = 8812
PORT_MAX = 65_535

_FORM = "questdb://[user:password@]host[:9000][?pg_port=8812]"


@dataclass(frozen=True, slots=True)
class Dsn:
    """The two addresses of one QuestDB server and who asks."""

    host: str
    http_port: int = HTTP_PORT
    pg_port: int = PG_PORT
    user: str | None = None
    """None: no credentials over HTTP, and the server's own default ones over PGWire."""

    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the parts of a dsn.

        Raises:
            InvalidValueError: A part is not what it may be; `field` names the part. The message
                never contains the password.
        """
        scheme, _, rest = text.partition("://")
        if scheme != "questdb" or not rest:
            raise InvalidValueError("dsn scheme", scheme[:20], f"'questdb', as in {_FORM}")
        try:
            parts = urlsplit(text)
        except ValueError:
            raise InvalidValueError(
                "dsn host", "unbalanced brackets", "a name or address"
            ) from None
        if parts.path not in ("", "/"):
            raise InvalidValueError("dsn path", parts.path, f"empty, as in {_FORM}")
        if parts.fragment:
            raise InvalidValueError("dsn fragment", parts.fragment, f"absent, as in {_FORM}")
        if not parts.hostname:
            raise InvalidValueError("dsn host", "", f"a name or an address, as in {_FORM}")
        user, password = _credentials(parts.netloc)
        return cls(
            host=parts.hostname,
            http_port=_http_port(parts.netloc),
            pg_port=_pg_port(parts.query),
            user=user,
            password=password,
        )

    @property
    def address(self) -> str:
        """Host and HTTP port, fit for messages."""
        return f"{self.host}:{self.http_port}"


def _credentials(netloc: str) -> tuple[str | None, str | None]:
    if "@" not in netloc:
        return None, None
    user, colon, password = netloc.rpartition("@")[0].partition(":")
    if not user:
        raise InvalidValueError("dsn user", "", "a name before ':' (or no '@' at all)")
    if not colon or not password:
        raise InvalidValueError("dsn password", "nothing", "given after 'user:'")
    return unquote(user), unquote(password)


def _http_port(netloc: str) -> int:
    place = netloc.rpartition("@")[2]
    text = place.rpartition("]")[2] if "]" in place else place
    _, colon, port = text.partition(":")
    return _port(port, "dsn port") if colon else HTTP_PORT


def _pg_port(query: str) -> int:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "pg_port" or name in found:
            raise InvalidValueError("dsn option", name, "'pg_port', once")
        found[name] = value
    return _port(found["pg_port"], "dsn pg_port") if found else PG_PORT


def _port(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= PORT_MAX:
        raise InvalidValueError(name, text, f"a number from 1 to {PORT_MAX}")
    return int(text)
