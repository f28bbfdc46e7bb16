"""The documentation site: every page is in its navigation, and a broken link fails the build."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house import commands

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def leaves(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from leaves(target)


def test_every_page_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text())
    listed = list(leaves(config["project"]["nav"]))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md")}
    assert set(listed) == pages
    assert len(listed) == len(pages), "a page stands in the navigation once"


@pytest.mark.parametrize(
    "page", sorted(DOCS.glob("**/*.md")), ids=lambda page: page.relative_to(DOCS).as_posix()
)
def test_pages_link_only_to_pages(page: Path) -> None:
    """Files outside docs/ are named as code: the site does not have them."""
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).resolve().is_relative_to(DOCS), target


def test_the_architecture_shows_the_plugin_and_the_registries() -> None:
    page = (DOCS / "architecture.md").read_text()
    (shown,) = commands.blocks(page, "toml")
    plugin = tomllib.loads((ROOT / "examples" / "plugin" / "pyproject.toml").read_text())
    assert tomllib.loads(shown)["project"] == {
        "entry-points": plugin["project"]["entry-points"],
    }
    rows = re.findall(r"`(\w+)` in `([\w./]+)` \|", page)
    assert len(rows) >= 6
    for name, file in rows:
        source = (ROOT / "src" / "text4seg" / file).read_text()
        assert re.search(rf"^{name}\b.* = ", source, re.MULTILINE), f"{name} is not in {file}"


@pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="the extra `docs` is not installed"
)
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("[page](other.md#the-part)", None, id="a sound link"),
        pytest.param("[page](none.md)", "page does not exist", id="a missing page"),
        pytest.param("[page](other.md#none)", "anchor does not exist", id="a missing anchor"),
        pytest.param("::: text4seg.none", "Could not collect", id="an unknown object"),
    ],
)
def test_the_build_finds_broken_links(tmp_path: Path, text: str, fault: str | None) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n{text}\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## The part\n")
    (tmp_path / "src" / "text4seg").mkdir(parents=True)
    (tmp_path / "src" / "text4seg" / "__init__.py").write_text('"""A package."""\n')
    config = (ROOT / "zensical.toml").read_text()
    config = re.sub(r"^nav = \[$.*?^\]$", "", config, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "zensical.toml").write_text(config)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    assert (done.returncode == 0) == (fault is None), said
    assert fault is None or fault in said
    if fault is None:
        html = (tmp_path / "out" / "site" / "index.html").read_text()
        assert "other.html#the-part" in html
        fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', html)
        assert fetched == [], "the site loads nothing from elsewhere"


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_the_guide_to_segmenting_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = DOCS / "segment.md"
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for command in commands.commands(page.read_text()):
        printed = commands.run(command)
        if "the dog" in command:
            assert json.loads(printed)["empty"]
    stems = [f"coffee.the-cup.{number}" for number in (1, 2, 3)]
    for stem in ("cat.the-cat", *stems):
        assert (tmp_path / "out" / f"{stem}.mask.png").exists()
    names: dict[str, Any] = {}
    for code in commands.blocks(page.read_text(), "python"):
        exec(compile(code, str(page), "exec"), names)
    printed = capsys.readouterr().out
    assert "passes for" in printed
    assert "16 rows of" in printed
    record = json.loads(commands.run('text4seg segment examples/photos/cat.jpg "the cat" --json'))
    table = page.read_text().partition("| field | content |")[2].partition("\n\n")[0]
    fields = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert len(fields) > 6
    assert set(fields) <= record.keys()
