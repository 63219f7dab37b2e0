"""Every command keeps the rules: help with an example, JSON for programs, and a place in the docs."""

from __future__ import annotations

import inspect
import json
import re
from importlib.resources import files
from pathlib import Path

import click
import pytest

from mlotel.cli import app
from mlotel.cli.app import COMMANDS as LISTED
from mlotel.cli.app import load

COMMANDS = {name: load(name) for name in LISTED}
# What runs for as long as somebody wants it to, or has an output of its own, prints no document.
WITHOUT_JSON = {"completion", "dashboards", "exec", "rules", "ui"}
DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")
EVERYTHING = "".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md")))


def options_of(command):
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("--")}


def test_the_help_lists_every_command(mlotel):
    """Each with what it is for."""
    listed = dict(re.findall(r"^  ([\w-]+) +(\w.*)$", mlotel("--help").out.split("Commands:")[1], re.MULTILINE))

    assert listed.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_list_of_commands_says_of_each_what_it_says_of_itself(name):
    """Though it loads none of them."""
    listed = app.get_command(click.Context(app), name)

    assert listed.get_short_help_str(limit=200) == COMMANDS[name].get_short_help_str(limit=200)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_with_an_example(mlotel, name):
    """--help and -h alike, on a terminal of any width."""
    answer = mlotel(name, "--help")

    assert answer.code == 0
    assert f"Example: mlotel {name}" in answer.out
    assert mlotel(name, "-h").out == answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_one(name):
    """Its options are there, and it has an argument for everything that is required."""
    command = COMMANDS[name]
    (example,) = re.findall(rf"Example: mlotel {name}\b(.*)", command.help)
    words = example.split(" -- ")[0].split()
    required = [each for each in command.params if each.param_type_name == "argument" and each.required]

    assert {word for word in words if word.startswith("--")} <= options_of(command)
    assert len(words) >= len(required)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name):
    """And so does every argument."""
    command = COMMANDS[name]
    options = [each for each in command.params if each.param_type_name == "option"]
    arguments = [each for each in command.params if each.param_type_name == "argument"]

    assert [each.name for each in options if not (each.help or "").strip()] == []
    explained = inspect.cleandoc(command.help)
    assert [each.name for each in arguments if f"\n{each.metavar.strip('[].')}: " not in explained] == []


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_JSON))
def test_a_command_can_answer_a_program(mlotel, name):
    """`--format` takes json, and the schema of what it prints is in the package."""
    refused = mlotel(name, "--format", "nothing")
    schema = "runs" if name == "recent" else name
    described = [
        json.loads(each.read_text(encoding="utf-8")).get("description", "")
        for each in (files("mlotel") / "schemas").iterdir()
        if each.name.endswith(".schema.json")
    ]

    assert (refused.code, "json" in refused.err) == (2, True)
    assert any(re.search(rf"`mlotel {schema} (?:[^`]* )?--format json", each) for each in described)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_are_in_the_docs(name):
    """The command on the page of the command line, its options on any page."""
    assert f"`mlotel {name}" in PAGE or f"`{name}`" in PAGE
    assert {option for option in options_of(COMMANDS[name]) if option not in EVERYTHING} - {"--help"} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_refuses_what_it_does_not_know(mlotel, name):
    """An unknown option ends with 2, a line on standard error and nothing on standard output."""
    answer = mlotel(name, "--no-such-option")

    assert (answer.code, answer.out) == (2, "")
    assert "--no-such-option" in answer.err


def test_an_unknown_command_names_the_nearest(mlotel):
    """A slip costs no look at the help."""
    answer = mlotel("histroy")

    assert (answer.code, answer.out) == (2, "")
    assert "history" in answer.err
