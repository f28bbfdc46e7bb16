"""The application: every module of a verb has its row, every verb help and documentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from scripts import cli_docs
from tests.cli.conftest import Call
from text4seg import cli
from text4seg.cli.app import VERBS, build_app

HELPERS = {"__init__", "app"}
NO_VERBS = {"coco", "values"}
"""Helpers that are still to be named with an underscore; nothing may be added."""


def test_each_module_without_underscore_is_a_verb() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert {name for name in modules - HELPERS - NO_VERBS if not name.startswith("_")} == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_each_verb_has_help(call: Call, verb: str, option: str) -> None:
    assert call(verb, option).out.startswith(f"Usage: text4seg {verb} ")


def test_the_documentation_has_every_verb() -> None:
    words = [" ".join(words) for words in cli_docs.verbs(typer.main.get_command(build_app()))]
    assert {"ask", "build data", "evaluate compare"} < set(words)
    page = cli_docs.PAGE.read_text()
    assert [word for word in words if f"## text4seg {word}\n" not in page] == []


def test_the_documentation_is_up_to_date() -> None:
    assert cli_docs.PAGE.read_text() == cli_docs.page(), "run python scripts/cli_docs.py"


def test_a_call_imports_only_its_own_verb() -> None:
    code = (
        "import sys; from text4seg import cli; cli.main(['grammar', '--help']);"
        "sys.exit(any(name in sys.modules for name in"
        " ('text4seg.cli.evaluate', 'text4seg.segmenter', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_verb_is_a_usage_error(call: Call) -> None:
    done = call("paint")
    assert done.code == 2
    assert "No such command 'paint'" in done.err


def test_the_version_is_printed(call: Call) -> None:
    assert call("--version").out.startswith("text4seg ")
