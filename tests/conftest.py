"""What all tests share: array shapes are checked, randomness is fixed, nothing reaches a hub."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

from tests.checked import typechecker  # noqa: F401 - the import hook finds it by name

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One process a core: threads on top of that only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Annotated array shapes of the lower floors are checked by beartype in tests only.
install_import_hook(["text4seg.core", "text4seg.metrics"], "tests.checked.typechecker")

settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colors and widths of the terminal that runs the tests must not reach them."""
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(scope="session")
def nano_parts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The pretrained parts of nano, fetched into the user's cache where they are missing."""
    command = [sys.executable, "-m", "text4seg", "weights", "--fetch"]
    # Workers of one run share the parent of their folders: the first fetches, the others wait.
    with FileLock(tmp_path_factory.getbasetemp().parent / "text4seg-weights.lock"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
