"""Write `artifacts.json` anew: `python -m ops.stack.pin [kafka=VERSION ...]`.

Run it after changing a version. It resolves what each server needs through jgo, takes the digest
of every file that came, and writes the table; the difference is for a person to judge, since
what is pinned here is what every machine will run.
"""

import json
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jgo.maven import MavenContext

from ops.stack.artifacts import digest, digest_of_tree, unpack
from ops.stack.pinned import Pinned, bundles

TABLE = Path(__file__).with_name("artifacts.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one server is called and made of."""

    title: str
    roots: tuple[str, ...]
    """`group:name` of what to resolve; the first takes the server's version."""

    versions: tuple[str, ...] = ()
    """Versions of the other roots."""

    archive: bool = False
    """Whether it is one archive, classifier `all`, instead of jars and what they need."""


SERVERS = {
    # Kafka leaves out what its log goes through; without it a broker dies without a word.
    "kafka": Server(
        title="Apache Kafka",
        roots=("org.apache.kafka:kafka_2.13", "org.slf4j:slf4j-simple"),
        versions=("1.7.36",),
    ),
    "registry": Server(
        title="Apicurio Registry", roots=("io.apicurio:apicurio-registry-app",), archive=True
    ),
    "questdb": Server(title="QuestDB", roots=("org.questdb:questdb",)),
}


def main(arguments: list[str]) -> None:
    """Write the table, with other versions where arguments say so."""
    versions = {name: bundle.version for name, bundle in bundles().items()}
    for argument in arguments:
        name, _, version = argument.partition("=")
        if name not in SERVERS or not version:
            sys.exit(f"an argument must be SERVER=VERSION of {', '.join(SERVERS)}: {argument!r}")
        versions[name] = version
    table = {name: _entry(server, versions[name]) for name, server in SERVERS.items()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def _entry(server: Server, version: str) -> dict[str, Any]:
    context = MavenContext()
    entry: dict[str, Any] = {"title": server.title, "version": version}
    if server.archive:
        group, name = server.roots[0].split(":")
        component = context.project(group, name).at_version(version)
        artifact = component.artifact(classifier="all", packaging="tar.gz")
        with tempfile.TemporaryDirectory() as folder:
            unpack(artifact.resolve(), Path(folder))
            entry["tree_sha256"] = digest_of_tree(Path(folder))
        return entry | {"files": [_pin(artifact)]}
    versions = (version, *server.versions)
    wanted = [
        context.create_dependency(f"{root}:{v}")
        for root, v in zip(server.roots, versions, strict=True)
    ]
    inputs, others = context.resolver.resolve(wanted)
    found = [_pin(dependency.artifact) for dependency in (*inputs, *others)]
    return entry | {"files": sorted(found, key=lambda each: (each["group"], each["name"]))}


def _pin(artifact: Any) -> dict[str, Any]:
    path: Path = artifact.resolve()
    pinned = Pinned(
        group=artifact.groupId,
        name=artifact.artifactId,
        version=artifact.version,
        classifier=artifact.classifier,
        packaging=artifact.packaging,
        sha256=digest(path),
        size=path.stat().st_size,
    )
    defaults = {each.name: each.default for each in fields(Pinned)}
    return {name: value for name, value in asdict(pinned).items() if value != defaults[name]}


if __name__ == "__main__":
    main(sys.argv[1:])
