"""YAML as this project reads it: the core schema of YAML 1.2, and no key twice.

PyYAML follows YAML 1.1, where `symbol: ON` is true, `17:00` is 1020 and `2004-08-19` is a date.
Here only `true` and `false` are booleans, and times stay the text that was written.
"""

import re
from collections.abc import Iterator

import yaml

from runtime._section import Word
from runtime.errors import ConfigError, Problem

_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # 010 is ten, not eight


for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"(?:{_pattern})$"),
        [c if c != "\0" else "" for c in _first],
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def parse_yaml(text: str, where: str) -> object:
    """Return what a YAML document says; None for an empty one.

    Raises:
        ConfigError: It is not YAML, or has a key twice. Lines are named, never quoted: they may
            hold passwords.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        repeats = list(_repeats(node, "", set()))
        if repeats:
            raise ConfigError(repeats, where)
        return loader.construct_document(node)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        found = Word(f"{getattr(e, 'problem', None) or 'something else'}{line}")
        raise ConfigError([Problem("file", found, "one YAML document")], where) from None
    finally:
        loader.dispose()


def _repeats(node: yaml.Node, path: str, seen: set[int]) -> Iterator[Problem]:
    """Yield each key that a mapping has twice; an alias is looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _repeats(item, f"{path}.{i}", seen)
    if not isinstance(node, yaml.MappingNode):
        return
    names: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        at = f"{path}.{name}".lstrip(".")
        if name in names and key.tag != "tag:yaml.org,2002:merge":
            again = Word(f"given again in line {key.start_mark.line + 1}")
            yield Problem(at, again, "given once")
        names.add(name)
        yield from _repeats(value, at, seen)
