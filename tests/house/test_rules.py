"""The tree keeps the rules of CONTRIBUTING.md, and every check of a rule can fail."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.house import rules

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "text4seg"
TESTS = ROOT / "tests"
HERE = Path(__file__).parent
EXCEPTIONS = tomllib.loads((HERE / "exceptions.toml").read_text())
UNTESTED = tomllib.loads((HERE / "untested.toml").read_text())

LONGEST_FUNCTION = 50
LONGEST_FILE = 400


def rest(rule: str, found: list[str], excused: dict[str, str] | None = None) -> list[str]:
    """The breaches without an exception, if they are more than there may still be."""
    excused = EXCEPTIONS.get(rule, {}) if excused is None else excused
    assert all(len(reason) > 15 for reason in excused.values()), "an exception has a reason"
    idle = sorted(set(excused) - set(found))
    assert not idle, f"exceptions that no longer apply: {idle}"
    left = sorted(set(found) - set(excused))
    return left if len(left) > EXCEPTIONS["still"].get(rule, 0) else []


def test_every_module_has_a_test_file() -> None:
    assert rest("untested", rules.untested(SOURCE, TESTS), UNTESTED) == []


def test_few_file_names_are_shared() -> None:
    shared = rules.shared_names(SOURCE)
    assert len(shared) <= EXCEPTIONS["still"].get("shared_names", 5), shared


SIMPLE: list[Callable[[Path], list[str]]] = [
    rules.participles,
    rules.format_comparisons,
    rules.nano_branches,
    rules.probes,
    rules.type_checks,
]


@pytest.mark.parametrize("rule", SIMPLE, ids=lambda rule: rule.__name__)
def test_the_rule_is_kept(rule: Callable[[Path], list[str]]) -> None:
    assert rest(rule.__name__, rule(SOURCE)) == []


def test_no_modules_import_each_other() -> None:
    assert rest("import_circles", [" ".join(group) for group in rules.import_circles(SOURCE)]) == []


def test_functions_and_files_are_short() -> None:
    assert rest("long_functions", rules.long_functions(SOURCE, LONGEST_FUNCTION)) == []
    assert rest("long_files", rules.long_files(SOURCE, LONGEST_FILE)) == []


def test_the_wheel_is_small() -> None:
    assert rules.lines(SOURCE) < EXCEPTIONS["still"].get("lines", 30_000)
    assert rules.code_lines(SOURCE) < 28_000


@pytest.mark.parametrize("room", ["models", "decoding", "training"])
def test_the_difficult_rooms_say_why(room: str) -> None:
    least = EXCEPTIONS["at_least"].get("comments_per_hundred_lines", 4.0)
    assert rules.comments_per_hundred_lines(SOURCE / room) >= least


# One tree in which every rule is broken once, and kept beside it.
TREE = {
    "__init__.py": "",
    "codec/__init__.py": "",
    "codec/sd.py": "class Format: ...\ndef is_sd(name): return name == 'sd'\n",
    "models/hf/probe.py": "def probe(x): return hasattr(x, 'eos')\n",
    "models/nano/own.py": "def is_own(name): return name == 'nano'\n",
    "refine/_names.py": "class Refined: ...\nclass RefinedMask: ...\nclass _Told: ...\n",
    "refine/names.py": "class Field: ...\nclass Sampling: ...\n",
    "decoding/engine.py": (
        "from text4seg.codec import Format\n"
        "from text4seg.decoding import draft\n\n\n"
        "def run(form, name):\n"
        "    if name in ('rle', 'rrle') or isinstance(form, Format):\n"
        "        return getattr(form, 'run', None)\n"
        "    return getattr(form, name)\n"
    ),
    "decoding/draft.py": (
        "def is_ours(name):\n"
        '    """Two lines\n'
        '    of docstring."""\n'
        "    from text4seg.decoding.engine import run\n"
        "    # The reason why.\n"
        "    return name == 'nano'  # noqa\n"
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_text(text)
    return tmp_path / "src"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(
            rules.participles, ["refine/_names.py: Refined", "refine/_names.py: _Told"], id="names"
        ),
        pytest.param(
            rules.format_comparisons,
            ["decoding/engine.py: name in ('rle', 'rrle')"],
            id="a format's name",
        ),
        pytest.param(rules.nano_branches, ["decoding/draft.py: name == 'nano'"], id="nano"),
        pytest.param(
            rules.probes, ["decoding/engine.py: getattr(form, 'run', None)"], id="a probe"
        ),
        pytest.param(
            rules.type_checks, ["decoding/engine.py: isinstance(form, Format)"], id="a type check"
        ),
        pytest.param(
            rules.import_circles,
            [["text4seg.decoding.draft", "text4seg.decoding.engine"]],
            id="a circle",
        ),
        pytest.param(
            rules.shared_names, {"names": ["refine/_names.py", "refine/names.py"]}, id="a file name"
        ),
    ],
)
def test_a_breach_is_found(tree: Path, rule: Callable[[Path], Any], expected: Any) -> None:
    assert rule(tree) == expected


def test_a_module_without_a_test_is_found(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "tests" / "refine").mkdir(parents=True)
    (tmp_path / "tests" / "refine" / "test_names.py").write_text("")
    found = rules.untested(tree, tmp_path / "tests")
    assert "decoding/engine.py" in found
    assert "refine/_names.py" not in found
    assert not any("__init__" in name for name in found)


def test_lengths_leave_docstrings_out(tree: Path) -> None:
    assert rules.long_functions(tree, 4) == []
    assert rules.long_functions(tree, 3) == [
        "decoding/draft.py: is_ours",
        "decoding/engine.py: run",
    ]
    assert rules.long_files(tree, 7) == ["decoding/engine.py"]
    assert rules.lines(tree) == sum(text.count("\n") for text in TREE.values())
    assert rules.lines(tree) - rules.code_lines(tree) == 2


def test_comments_for_tools_do_not_count(tree: Path) -> None:
    lines = sum(text.count("\n") for name, text in TREE.items() if name.startswith("decoding/"))
    assert rules.comments_per_hundred_lines(tree / "decoding") == pytest.approx(100 / lines)


def test_an_idle_exception_is_found() -> None:
    with pytest.raises(AssertionError, match="no longer apply"):
        rest("probes", [], {"a.py: hasattr(x, 'y')": "a long enough reason"})
    with pytest.raises(AssertionError, match="reason"):
        rest("probes", ["a"], {"a": "short"})
    assert rest("no such rule", ["a breach"]) == ["a breach"]
