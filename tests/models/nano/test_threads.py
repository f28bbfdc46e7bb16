"""Threads: those of the cores that are free, unless somebody says otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from text4seg.core.errors import InputError
from text4seg.models.nano import threads
from text4seg.models.nano.threads import Ticks, free_cores, read_ticks, settle_threads

STATISTICS = """\
cpu  30 4 10 200 2 0 1 0 0 0
cpu0 10 1 5 80 1 0 1 2 50 0
cpu1 20 3 5 120 1 0 0 0 0 0
intr 12345
"""


@pytest.fixture
def two_threads() -> Iterator[None]:
    import cv2

    before, cvs = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
    cv2.setNumThreads(cvs)


def test_ticks_of_cores_are_read(tmp_path: Path) -> None:
    file = tmp_path / "stat"
    file.write_text(STATISTICS)
    assert read_ticks(file) == {0: (82, 100), 1: (124, 149)}


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"cpu0 1 2\ncpux 1 2 3 4 5 6 7 8\n"])
def test_a_system_that_does_not_tell(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "stat"
    if content is not None:
        file.write_bytes(content)
    assert read_ticks(file) == {}
    assert free_cores(lambda: read_ticks(file), [0, 1], seconds=0) is None


CASES = [
    pytest.param([20, 20], 2, id="all idle"),
    pytest.param([20, 0], 1, id="one busy"),
    pytest.param([0, 0], 1, id="all busy: one thread all the same"),
    pytest.param([18, 17], 2, id="a little work elsewhere"),
    pytest.param([10, 15], 1, id="half a core and more is missing"),
    pytest.param([20, 20, 0, 19], 3, id="of four"),
]


@pytest.mark.parametrize(("idle", "expected"), CASES)
def test_cores_that_are_idle_are_free(idle: list[int], expected: int) -> None:
    later: dict[int, Ticks] = {core: (100 + free, 520) for core, free in enumerate(idle)}
    told = iter([dict.fromkeys(later, (100, 500)), later])
    assert free_cores(lambda: next(told), range(len(idle)), seconds=0) == expected


def test_only_cores_that_may_be_used_count() -> None:
    told = iter([dict.fromkeys(range(4), (0, 0)), dict.fromkeys(range(4), (20, 20))])
    assert free_cores(lambda: next(told), [1, 2], seconds=0) == 2


def test_this_machine_tells_a_number_that_it_has() -> None:
    free = free_cores(seconds=0.05)
    assert free is None or 1 <= free <= (os.cpu_count() or 1)


@pytest.mark.usefixtures("two_threads")
def test_as_many_threads_as_free_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "free_cores", lambda: 64)
    settle_threads({})
    assert torch.get_num_threads() == 2, "never more than torch would take"
    monkeypatch.setattr(threads, "free_cores", lambda: 1)
    settle_threads({"OMP_NUM_THREADS": "2"})
    assert torch.get_num_threads() == 2, "torch was told already"
    settle_threads({})
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("two_threads")
def test_a_user_says_how_many() -> None:
    settle_threads({"TEXT4SEG_THREADS": "1", "OMP_NUM_THREADS": "2"})
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("told", ["0", "-1", "two", "1.5", "²", "9999"])
def test_no_number_of_threads(told: str) -> None:
    with pytest.raises(InputError, match="TEXT4SEG_THREADS"):
        settle_threads({"TEXT4SEG_THREADS": told})
