"""What may know what, and that these checks can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import text4seg

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "PIL", "cv2", "llguidance", "tokenizers", "rich", "typer")


def loaded_by(statement: str) -> set[str]:
    """The heavy packages that are loaded once the statement has run in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import text4seg") == set()


def test_the_ground_and_the_formats_load_nothing_heavy() -> None:
    rooms = ("core.geometry", "core.run_lengths", "codec", "metrics", "prompts")
    assert loaded_by(f"import {', '.join(f'text4seg.{room}' for room in rooms)}") == set()


def test_the_check_can_fail() -> None:
    assert loaded_by("import text4seg.images") == {"PIL"}


def test_there_are_few_public_names_and_each_has_a_home() -> None:
    assert len(text4seg.__all__) <= 24
    assert sorted(text4seg.__all__) == text4seg.__all__
    for name in text4seg.__all__:
        assert getattr(text4seg, name).__name__ == name
    assert set(text4seg.__all__) <= set(dir(text4seg))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = text4seg.no_such_name


VIOLATIONS = [
    pytest.param("core/types.py", "import text4seg.codec", "downward", id="upward"),
    pytest.param("refine/smooth.py", "import text4seg.decoding", "downward", id="a neighbour"),
    pytest.param("codec/sd.py", "import torch", "numpy alone", id="torch in the format"),
    pytest.param("decoding/engine.py", "import tokenizers", "Decoding knows", id="a tokenizer"),
    pytest.param("segmenter/segmenter.py", "import rich", "Only the apps print", id="printing"),
    pytest.param("attic.py", "import json", "downward", id="a room without a layer"),
    pytest.param("training/recipe.py", "import typer", "Only the apps print", id="training prints"),
    pytest.param("conversions.py", "import rich", "Only the apps print", id="a module prints"),
    pytest.param("evaluation/run.py", "import text4seg.training", "downward", id="training below"),
]


def test_only_cli_and_server_may_print() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (printing,) = (one for one in contracts["contracts"] if one["name"] == "Only the apps print")
    rooms = {f"text4seg.{path.stem}" for path in (ROOT / "src" / "text4seg").iterdir()}
    hidden = {room for room in rooms if room.startswith("text4seg._") or room == "text4seg.py"}
    assert rooms - hidden - {"text4seg.cli", "text4seg.server"} == set(printing["source_modules"])


LINT = "from importlinter.cli import lint_imports_command as run; run()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(folder / "pyproject.toml"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "300"},
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    ignore = shutil.ignore_patterns("__pycache__", "weights")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_imports_point_downward(house: Path) -> None:
    done = lint_imports(house)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("file", "line", "contract"), VIOLATIONS)
def test_a_violation_is_found(house: Path, file: str, line: str, contract: str) -> None:
    path = house / "src" / "text4seg" / file
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        done = lint_imports(house)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [text for text in done.stdout.splitlines() if text.rstrip().endswith("BROKEN")]
    assert any(contract in text for text in broken), done.stdout
