"""The plugin against lmms-eval's interface as its documentation and its loader have it.

lmms-eval itself is not installed with the tests: it pins a hundred packages. What is checked is
what it does with a plugin: `LMMS_EVAL_PLUGINS=P` imports `P.models` for `AVAILABLE_MODELS` and
takes the folder of `P.tasks` as an include path; each YAML there is a task whose `!function
FILE.NAME` is a function of the file beside it.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from text4seg.evaluation.lmms.tasks import text4seg_vqa
from text4seg.evaluation.lmms.tasks.text4seg_vqa import normalized, vqa_accuracy

yaml = pytest.importorskip("yaml")
PLUGIN = "text4seg.evaluation.lmms"


def load() -> dict[str, Any]:
    spec = importlib.util.find_spec(f"{PLUGIN}.tasks")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    (path,) = folder.glob("*.yaml")

    class Loader(yaml.SafeLoader):
        pass

    def function(loader: Any, node: Any) -> Any:
        file, name = loader.construct_scalar(node).split(".")
        found = importlib.util.spec_from_file_location(file, folder / f"{file}.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return getattr(module, name)

    Loader.add_constructor("!function", function)
    return yaml.load(path.read_text(), Loader=Loader)


def test_the_task_is_one_of_the_documented_form(tmp_path: Path) -> None:
    task = load()
    assert (task["task"], task["output_type"]) == ("text4seg_vqa", "generate_until")
    assert task["test_split"] in task["dataset_kwargs"]["data_files"]
    assert not task["generation_kwargs"]["do_sample"], "the same call gives the same numbers"
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    doc = {"image": str(tmp_path / "a.png"), "question": "What is it?", "answers": ["a cat"]}
    (image,) = task["doc_to_visual"](doc)
    assert (image.mode, image.size) == ("RGB", (4, 3))
    asked = task["doc_to_text"](doc, task["lmms_eval_specific_kwargs"]["default"])
    assert asked.startswith("What is it?\nAnswer")
    assert "lmms_eval_specific_kwargs" in inspect.signature(task["doc_to_text"]).parameters
    result = task["process_results"](doc, ["Cat."])
    assert result == {"vqa_accuracy": 1.0}
    assert {metric["metric"] for metric in task["metric_list"]} == set(result)
    assert task["doc_to_target"] in doc


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Cat.", "cat"),
        ("two dogs!", "2 dogs"),
        ("1,000.5", "1,000.5"),
        ("A man, an apple", "man apple"),
        ("can't", "can't"),
    ],
)
def test_answers_are_normalized(text: str, plain: str) -> None:
    assert normalized(text) == plain


def test_accuracy_by_hand() -> None:
    answers = ["cat"] * 3 + ["dog"] * 7
    assert vqa_accuracy("dog", answers) == 1.0
    # leaving out one who said cat, two agree; leaving out another, three
    assert vqa_accuracy("cat", answers) == pytest.approx((3 * 2 / 3 + 7 * 1) / 10)
    assert vqa_accuracy("cow", answers) == 0.0
    assert vqa_accuracy("the dog", ["dog"]) == 1.0


@pytest.mark.slow
def test_in_lmms_eval_itself(tmp_path: Path) -> None:
    """Its own command line with its own `dummy`, which says one word whatever is asked."""
    pytest.importorskip("lmms_eval")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    questions = [("What is it?", ["cat"]), ("How many?", ["1", "one"])]
    lines = [{"image": "a.png", "question": q, "answers": a} for q, a in questions]
    (tmp_path / "vqa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "lmms_eval", "--model", "dummy", "--model_args"]
    command += ["response=cat", "--tasks", "text4seg_vqa", "--output_path", "out"]
    command += ["--include_path", str(Path(text4seg_vqa.__file__).parent)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **offline}, check=True, timeout=500)
    (results,) = (tmp_path / "out").rglob("*results.json")
    found = json.loads(results.read_text())["results"]["text4seg_vqa"]
    assert found["vqa_accuracy,none"] == 0.5
