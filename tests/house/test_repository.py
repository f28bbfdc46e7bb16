"""The files beside the code agree with it: versions, pins, workflow, citation, changelog."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import text4seg

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_one_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == text4seg.__version__ == citation["version"]
    assert citation["license"] == PROJECT["license"]


def test_actions_are_pinned_by_hash_and_may_only_read() -> None:
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = file.read_text()
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {"contents": "read"}
        uses = re.findall(r"uses: (.*)", text)
        assert uses
        for action in uses:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", action), action


def test_the_workflow_runs_the_checks_on_every_version() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["checks"]
    versions = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if ":: 3." in line]
    assert job["strategy"]["matrix"]["python"] == versions
    assert {"run": ".ci/run"} in job["steps"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111, ".ci/run can be executed"


def test_pre_commit_runs_the_pinned_ruff() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (ruff,) = [repo for repo in config["repos"] if repo["repo"].endswith("/ruff-pre-commit")]
    assert f"ruff=={ruff['rev'].removeprefix('v')}" in (ROOT / "constraints.txt").read_text()
    assert {hook["id"] for hook in ruff["hooks"]} == {"ruff-check", "ruff-format"}


def test_issue_forms_are_valid() -> None:
    forms = [*(ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")]
    assert len(forms) >= 3
    for form in forms:
        content = yaml.safe_load(form.read_text())
        if form.name != "config.yml":
            assert {"name", "description", "body"} <= content.keys(), form.name
            assert any(field["type"] != "markdown" for field in content["body"])


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    for section in sections[1:]:
        assert re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}", section), section
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_extras_are_pinned() -> None:
    """`make setup` installs the extras below; each of their packages has one tested version."""
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for extra in ("docs", "dev"):
        for requirement in PROJECT["optional-dependencies"][extra]:
            name = re.split(r"[<>=\[; ]", requirement)[0].lower().replace("_", "-")
            assert name in pinned, f"{name} of the extra {extra} is not in constraints.txt"
