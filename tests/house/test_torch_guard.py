from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scripts import torch_guard

CUDA = ['nvidia-cublas-cu12==12.8; platform_system == "Linux"', "filelock", "cuda-bindings>=12"]
CPU = ["filelock", "sympy>=1.13", 'triton; extra == "opt"', 'nvidia-ml-py; extra == "monitor"']


def report(requires: list[str]) -> dict:
    return {
        "install": [{"metadata": {"name": "torch", "version": "9.9", "requires_dist": requires}}]
    }


def test_a_cuda_build_is_refused_in_one_sentence() -> None:
    refusal = torch_guard.verdict(report(CUDA))
    assert refusal
    assert "torch 9.9" in refusal
    assert "cuda-bindings, nvidia-cublas-cu12" in refusal
    assert "TORCH_INDEX" in refusal
    assert "\n" not in refusal


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(report(CPU), id="a CPU build, whose optional parts do not count"),
        pytest.param({"install": []}, id="a fitting torch is there already"),
        pytest.param(report(['nvidia-x; sys_platform == "win32"']), id="for another system"),
    ],
)
def test_what_brings_no_cuda_passes(found: dict) -> None:
    assert torch_guard.verdict(found) is None


def run_guard(monkeypatch: pytest.MonkeyPatch, gpu: bool, requires: list[str]) -> int:
    monkeypatch.setattr(torch_guard, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(torch_guard, "resolve", lambda arguments: report(requires))
    monkeypatch.setattr(torch_guard.sys, "platform", "linux")
    return torch_guard.main([])


def test_only_a_machine_without_a_gpu_is_guarded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_guard(monkeypatch, True, CUDA) == 0
    assert run_guard(monkeypatch, False, CPU) == 0
    assert capsys.readouterr().err == ""
    assert run_guard(monkeypatch, False, CUDA) == 2
    assert capsys.readouterr().err.startswith("error: torch 9.9")


def test_pip_is_asked_and_its_answer_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def answer(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "noise\n" + json.dumps(report(CPU)), "")

    monkeypatch.setattr(torch_guard.subprocess, "run", answer)
    assert torch_guard.resolve(["--index-url", "X"]) == report(CPU)
    assert "--dry-run" in asked[0], "nothing may be installed by the guard"
    assert asked[0][-3:] == ["--index-url", "X", "torch"]


def test_pip_failing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: no such thing\n")
    monkeypatch.setattr(torch_guard, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(torch_guard.sys, "platform", "linux")
    monkeypatch.setattr(torch_guard.subprocess, "run", lambda *a, **k: failed)
    assert torch_guard.main([]) == 1
    assert capsys.readouterr().err == "error: pip could not resolve torch: ERROR: no such thing\n"


def test_a_gpu_is_known_by_its_driver(tmp_path: Path) -> None:
    assert not torch_guard.has_nvidia_gpu((str(tmp_path / "none"),))
    assert torch_guard.has_nvidia_gpu((str(tmp_path),))
