"""Where the servers listen, and how other processes are told."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

from bars.errors import InvalidValueError
from ops.stack.listening import HOST, PORT_MAX, PORT_MIN, free_ports


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a process has to know to use the three servers."""

    bootstrap: str
    """Kafka, as `host:port`."""

    registry_url: str
    """The Confluent-compatible API of the registry."""

    dsn: str
    """QuestDB."""

    def environ(self) -> dict[str, str]:
        """Return the same as the environment variables that settings are overridden with."""
        return {
            "SEAMLESS_KAFKA_BOOTSTRAP": self.bootstrap,
            "SEAMLESS_REGISTRY_URL": self.registry_url,
            "SEAMLESS_STORE_DSN": self.dsn,
        }


@dataclass(frozen=True, slots=True)
class Ports:
    """The six ports of a stack. The defaults are those that settings default to."""

    kafka: int = 19_092
    controller: int = 19_093
    registry: int = 18_081
    registry_management: int = 18_091
    questdb_http: int = 19_000
    questdb_pg: int = 18_812

    def __post_init__(self) -> None:
        found = asdict(self)
        for name, port in found.items():
            if not PORT_MIN <= port <= PORT_MAX:
                raise InvalidValueError(f"port {name}", port, f"from {PORT_MIN} to {PORT_MAX}")
        if len(set(found.values())) < len(found):
            raise InvalidValueError("ports", found, "six different numbers")

    @classmethod
    def from_base(cls, base: int) -> Self:
        """Return six consecutive ports.

        Raises:
            InvalidValueError: They would not all be ports that a user may listen on.
        """
        last = PORT_MAX - len(fields(cls)) + 1
        if not PORT_MIN <= base <= last:
            raise InvalidValueError("ports", base, f"'free' or a number from {PORT_MIN} to {last}")
        return cls(*range(base, base + len(fields(cls))))

    @classmethod
    def free(cls) -> Self:
        """Return six ports on which nobody listens now.

        Raises:
            NoFreePortError: There are not as many.
        """
        return cls(*free_ports(len(fields(cls))))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return six consecutive ports from what a person wrote.

        Raises:
            InvalidValueError: It is no number, or they would not all be ports.
        """
        if not (text.isascii() and text.isdigit()):
            raise InvalidValueError("ports", text, "'free' or the first of six port numbers")
        return cls.from_base(int(text))

    @classmethod
    def from_mapping(cls, found: Mapping[str, int]) -> Self:
        """Return ports from what `asdict` made."""
        return cls(**found)

    def addresses(self) -> Addresses:
        """Return how the servers on these ports are reached."""
        return Addresses(
            bootstrap=f"{HOST}:{self.kafka}",
            registry_url=f"http://{HOST}:{self.registry}/apis/ccompat/v7",
            dsn=f"questdb://{HOST}:{self.questdb_http}?pg_port={self.questdb_pg}",
        )
