"""docs/cli.md and the command line tell of the same commands and options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

COMMANDS = ("runs", "recent", "show", "history", "lineage", "exec", "replay", "version")
PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_every_command_is_on_the_page(mlotel):
    """The help lists the commands, and the page has each."""
    listed = re.findall(r"^  (\w+) ", mlotel("--help").out.split("Commands:")[1], re.MULTILINE)

    assert tuple(listed) == COMMANDS
    assert all(f"`{name}`" in PAGE or f"`mlotel {name}" in PAGE for name in COMMANDS)


@pytest.mark.parametrize("command", ["runs", "show", "history", "lineage", "exec"])
def test_every_option_is_on_the_page(mlotel, command):
    """Each long option of a command, as its help spells it."""
    options = set(re.findall(r"(--[a-z]+)", mlotel(command, "--help").out)) - {"--help"}

    assert {option for option in options if option not in PAGE} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(mlotel, command):
    """--help and -h alike, with an example wherever there is something to ask."""
    answer = mlotel(command, "--help")

    assert answer.code == 0
    assert command in ("recent", "version") or f"Example: mlotel {command}" in answer.out
    assert mlotel(command, "-h").out == answer.out
