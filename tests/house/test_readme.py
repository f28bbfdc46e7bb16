"""The README's commands run, its links lead somewhere, its tree and its numbers are ours."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from scripts import readme_numbers
from tests.house import commands
from text4seg.evaluation import GroundTruth, Prediction, ScoreRecord, summarize
from text4seg.metrics import Overlap

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
)


def runnable() -> list[str]:
    """The README's commands but for `make` and `pip`, which set up what these tests run in."""
    return [line for line in commands.commands(README) if line.startswith("text4seg ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the examples and the recipes."""
    for folder in ("examples", "recipes"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_the_commands_run(workplace: Path) -> None:
    assert len(runnable()) >= 6
    for command in runnable():
        commands.run(command)
    assert (workplace / "out" / "cat.the-cat.overlay.png").exists()
    others = {line.split()[0] for line in commands.commands(README)} - {"text4seg"}
    assert others == {"make", "pip"}, "every other line is a command that runs"


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_the_python_lines_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = commands.blocks(README, "python")
    assert sum(1 for line in code.splitlines() if line.strip()) <= 6
    exec(compile(code, "README.md", "exec"), {})
    assert "the cat" in capsys.readouterr().out
    assert (workplace / "out" / "cat.mask.png").exists()


def test_the_two_commands_are_targets_of_make() -> None:
    made = [line.split()[1] for line in commands.commands(README) if line.startswith("make ")]
    assert made == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    for target in (*made, "lint", "setup", "slow"):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
    script = (ROOT / ".ci" / "run").read_text()
    assert "make lint" in script
    assert "make test" in script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_first_screen_has_the_main_job() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    first = lines[:30]
    assert next(line for line in first if line.startswith("pip install"))
    assert any(line.startswith("text4seg segment ") for line in first)
    assert any("Segmenter.from_pretrained" in line for line in first)
    (image,) = re.findall(r"!\[.+\]\((.+)\)", "\n".join(first))
    assert (ROOT / image).stat().st_size < 400_000


def test_the_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (line,) = re.findall(r"^.*Extras: (.*)$", README, flags=re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", line))
    for extras in re.findall(r"text4seg\[([\w,]+)\]", README):
        named |= set(extras.split(","))
    assert named <= project["optional-dependencies"].keys()


def test_the_tree_is_the_tree() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    (tree,) = re.findall(r"^```\n(src/text4seg/\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    drawn = set(re.findall(r"^  ([\w.]+?)/?\s", tree, flags=re.MULTILINE))
    source = ROOT / "src" / "text4seg"
    real = {path.name for path in source.iterdir() if not path.name.startswith(("_", "."))}
    assert drawn == real - {"py.typed"}
    for name in re.findall(r"^([\w./]+/)", tree, flags=re.MULTILINE):
        assert (ROOT / name).is_dir(), name


def test_the_numbers_are_the_recorded_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert readme_numbers.main(["--check"]) == 0, capsys.readouterr().err


def a_record() -> dict:
    cells, pixels = Overlap(20, 20, 15), Overlap(100, 100, 40)
    truth = GroundTruth(0, "a.jpg", "the cat", "val", None)
    answer = Prediction(None, validity="strict", tokens=100, passes=8, seconds=0.5)
    record = ScoreRecord(truth, answer, pixels, cells)
    figures = asdict(summarize([record])["val"])
    run = {
        "title": "COCO",
        "command": "text4seg evaluate --json",
        "report": {"sets": {"val": figures}},
    }
    return json.loads(json.dumps({"runs": [run]}))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with one table, not yet filled, and its record."""
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "nano_v9.json").write_text(json.dumps(a_record()))
    (tmp_path / "README.md").write_text(
        "before\n<!-- table: nano_v9 -->\nold\n<!-- /table -->\nafter\n"
    )
    monkeypatch.setattr(readme_numbers, "ROOT", tmp_path)
    return tmp_path


def test_recorded_evaluations_become_a_table() -> None:
    lines = readme_numbers.evaluations(a_record()).splitlines()
    assert lines[0] == "| | COCO |"
    assert "| IoU, grid | .600 |" in lines
    assert "| IoU, pixels | .250 |" in lines
    assert not any("absent" in line for line in lines), "what nothing has is left out"
    assert "text4seg evaluate --json" in lines


def test_a_record_with_fewer_figures_still_becomes_a_table() -> None:
    record = a_record()
    for figure in ("ciou", "oracle_iou", "precision"):
        del record["runs"][0]["report"]["sets"]["val"][figure]
    assert "| IoU, grid | .600 |" in readme_numbers.evaluations(record)


def test_numbers_that_differ_are_found_and_mended(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert readme_numbers.main(["--check"]) == 1
    assert "README.md" in capsys.readouterr().err
    assert readme_numbers.main([]) == 0
    assert readme_numbers.main(["--check"]) == 0
    text = (house / "README.md").read_text()
    assert text.startswith("before\n<!-- table: nano_v9 -->\n| | COCO |")
    assert text.endswith("<!-- /table -->\nafter\n")
    assert "old" not in text


def test_any_benchmark_may_draw_its_table(house: Path) -> None:
    record = (ROOT / "benchmarks" / "results" / "passes.json").read_text()
    (house / "benchmarks" / "results" / "passes.json").write_text(record)
    page = "<!-- table: passes by passes -->\n<!-- /table -->"
    assert "| 16x16 | sd |" in readme_numbers.renewed(house, page)


def test_a_registry_is_listed_with_its_summaries(house: Path) -> None:
    page = "<!-- registry: text4seg.refine:REFINERS -->\nstale\n<!-- /registry -->\n"
    text = readme_numbers.renewed(house, page)
    assert "| `none` | The text's own mask" in text
    assert "stale" not in text
    assert readme_numbers.renewed(house, text) == text


def test_marks_that_lead_nowhere(house: Path) -> None:
    page = "<!-- table: none -->\n<!-- /table -->"
    assert readme_numbers.NOT_MEASURED in readme_numbers.renewed(house, page)
    with pytest.raises(ValueError, match="without its"):
        readme_numbers.renewed(house, "<!-- table: nano_v9 -->\n")
    (house / "benchmarks" / "results" / "odd.json").write_text("{}")
    with pytest.raises(ValueError, match="benchmark"):
        readme_numbers.renewed(house, "<!-- table: odd -->\n<!-- /table -->")
