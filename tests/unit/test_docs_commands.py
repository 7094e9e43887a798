"""What the pages say to type can be typed: commands, programs, targets, and their options."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ops.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text("utf-8") for page in PAGES}
EVERY = "".join(TEXTS.values())
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

PLACEHOLDERS = {"TOKEN": "1", "N": "3"}
"""What stands on the pages for a number."""


def found(words: list[str]) -> Any:
    """Return the command that words begin with, and take its name from them."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, words
        command = command.commands[words.pop(0)]
    return command


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_on_a_page_is_taken_as_it_stands_there(page: str) -> None:
    """What has to be given is there, and nothing else; optional parts stand in brackets."""
    shell = r"^    (?:docker compose exec \S+ )?seamless (.*)$"
    for line in re.findall(shell, TEXTS[page], re.MULTILINE):
        text = re.sub(r"\s#.*|[\[\]]", "", line)
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(text)]
        command = found(words)
        assert not hasattr(command, "commands"), line
        command.make_context(command.name, words)


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_that_is_spoken_of_is_one_with_these_options(page: str) -> None:
    for text in re.findall(r"`seamless\s([a-z][^`]*)`", TEXTS[page]):
        words = shlex.split(text)
        command = found(words)
        options = {name for param in command.params for name in param.opts + param.secondary_opts}
        assert {word for word in words if word.startswith("--")} <= options, text


def test_every_option_of_up_is_explained() -> None:
    root: Any = typer.main.get_command(app)
    for param in root.commands["up"].params:
        names = param.opts + param.secondary_opts
        assert any(f"`{name}" in TEXTS["operations.md"] for name in names), param


@pytest.mark.parametrize("module", ["streams", "worker", "coordinator"])
def test_every_program_on_a_page_has_these_options(module: str) -> None:
    told = re.findall(rf"python -m {module}\b([^`\n]*)", EVERY)
    options = {option for words in told for option in re.findall(r"--[a-z-]+", words)}
    assert "--config" in options
    command = [sys.executable, "-m", module, "--help"]
    known = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert options <= set(re.findall(r"--[a-z-]+", known))


def test_every_module_on_a_page_can_be_run() -> None:
    modules = set(re.findall(r"python -m ([a-z_.]+[a-z])", EVERY)) - {"pip", "venv"}
    assert {"streams", "worker", "coordinator"} <= modules
    for module in modules:
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_target_on_a_page_is_one_with_these_variables() -> None:
    recipes = dict(re.findall(r"^(\S+):.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE))
    told = re.findall(r"(?:^    |`)make ([a-z.]+)((?: [A-Z]+=\S+)*)", EVERY, re.MULTILINE)
    assert {"check", "test", "faults", "demo"} <= {target for target, _ in told}
    for target, variables in told:
        assert target in recipes
        for name in re.findall(r"([A-Z]+)=", variables):
            assert re.search(rf"\$\({name}\)", recipes[target]), (target, name)
