"""The docstring check of the API reference finds what is missing, and only that."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_docstrings

COMPLETE = '''"""A package."""


class Thing:
    """A thing.

    Attributes:
        size: Its side, in cells.
    """

    size: int
    weight: float
    """Its weight, in grams."""

    def turn(self, angle: float) -> "Thing":
        """Turn the thing.

        Args:
            angle: Degrees, counted clockwise, from 0 up to 360.

        Returns:
            A new thing.

        Raises:
            ValueError: The angle is out of range.
        """
        if angle < 0:
            raise ValueError(angle)
        return self

    def _help(self, angle):
        return angle


def rest() -> None:
    """Do nothing."""
'''


@pytest.fixture
def faults(tmp_path: Path):
    """What is missing of a one-file package whose whole content is in the reference."""
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    page = tmp_path / "docs" / "reference" / "thing.md"
    page.write_text("# Thing\n\n::: made_up.Thing\n\ntext\n\n::: made_up.rest\n")
    folder = tmp_path / "src" / "made_up"
    folder.mkdir(parents=True)

    def check(source: str) -> list[str]:
        (folder / "__init__.py").write_text(source)
        names = check_docstrings.reference(tmp_path)
        assert names == ["made_up.Thing", "made_up.rest"]
        return check_docstrings.missing(check_docstrings.load(tmp_path, "made_up"), names)

    return check


def test_complete_docstrings_pass(faults) -> None:
    assert faults(COMPLETE) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param(
            "            angle: Degrees, counted clockwise, from 0 up to 360.\n",
            "made_up.Thing.turn: Args lacks angle",
            id="a parameter",
        ),
        pytest.param(
            "        Returns:\n            A new thing.\n",
            "made_up.Thing.turn: no Returns",
            id="a value",
        ),
        pytest.param(
            "        Raises:\n            ValueError: The angle is out of range.\n",
            "made_up.Thing.turn: Raises lacks ValueError",
            id="an error",
        ),
        pytest.param(
            "        size: Its side, in cells.\n", "made_up.Thing.size: no docstring", id="a field"
        ),
        pytest.param(
            '    """Its weight, in grams."""\n',
            "made_up.Thing.weight: no docstring",
            id="a field with a docstring of its own",
        ),
        pytest.param('    """Do nothing."""\n', "made_up.rest: no docstring", id="a docstring"),
    ],
)
def test_a_gap_is_found(faults, line: str, fault: str) -> None:
    assert COMPLETE.count(line) == 1
    body = "    ...\n" if "nothing" in line else ""
    assert fault in faults(COMPLETE.replace(line, body))


def test_a_name_that_leads_nowhere_is_found(faults) -> None:
    (fault,) = faults(COMPLETE.replace("def rest", "def other"))
    assert fault.startswith("made_up.rest: no such object")


def test_the_reference_is_not_empty() -> None:
    names = check_docstrings.reference(check_docstrings.ROOT)
    assert len(names) > 50
    assert len(set(names)) == len(names), "an object is documented on one page"


def test_a_gap_fails_the_check(faults, tmp_path: Path, monkeypatch, capsys) -> None:
    real = check_docstrings.load
    monkeypatch.setattr(check_docstrings, "load", lambda root, name="made_up": real(root, name))
    faults(COMPLETE)
    assert check_docstrings.main(tmp_path) == 0
    faults(COMPLETE.replace('    """Do nothing."""\n', "    ...\n"))
    assert check_docstrings.main(tmp_path) == 1
    assert "made_up.rest: no docstring" in capsys.readouterr().err
