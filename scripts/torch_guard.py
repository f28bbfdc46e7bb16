"""Refuse a CUDA build of torch on a machine without an NVIDIA GPU.

Asks pip which torch it would install and reads that build's own requirements; nothing is installed.
Exit code 0: go on. 1: pip could not say. 2: the build would bring CUDA packages; stderr tells
what to do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pip._vendor.packaging.requirements import Requirement

HINT = (
    "error: {torch} from the configured package index brings CUDA packages ({found}), and this "
    "machine has no NVIDIA GPU: set TORCH_INDEX to the address of PyTorch's CPU wheels and run "
    "make setup again."
)
GPU_SIGNS = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")


def has_nvidia_gpu(signs: tuple[str, ...] = GPU_SIGNS) -> bool:
    """Tell whether a driver for an NVIDIA GPU is loaded."""
    return any(Path(sign).exists() for sign in signs)


def cuda_requirements(requires: list[str]) -> list[str]:
    """Names among a build's requirements that are CUDA packages on this platform."""
    names = []
    for line in requires:
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and requirement.name.lower().startswith(("nvidia-", "cuda-")):
            names.append(requirement.name)
    return sorted(set(names))


def verdict(report: dict[str, Any]) -> str | None:
    """One sentence that refuses the build in pip's installation report, or None where it may pass.

    An empty report means that a fitting torch is already there.
    """
    for item in report["install"]:
        metadata = item["metadata"]
        if metadata["name"].lower() == "torch":
            found = cuda_requirements(metadata.get("requires_dist", []))
            if found:
                named = ", ".join(found[:2]) + (", …" if len(found) > 2 else "")
                return HINT.format(torch=f"torch {metadata['version']}", found=named)
    return None


def resolve(pip_arguments: list[str]) -> dict[str, Any]:
    """What pip would install for torch alone, as its report."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"),
        *("--report", "-", *pip_arguments, "torch"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise RuntimeError(f"pip could not resolve torch: {last}")
    report: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return report


def main(pip_arguments: list[str]) -> int:
    if not sys.platform.startswith("linux") or has_nvidia_gpu():
        return 0
    try:
        refusal = verdict(resolve(pip_arguments))
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
