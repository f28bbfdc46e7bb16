"""What was written is loaded back by the libraries that it is written for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.reference.small_families import build as build_model
from tests.reference.small_nano import small_tokenizer
from text4seg.data import read_dataset
from text4seg.data.build import BuildPlan, build_dataset
from text4seg.data.mixture import Mixture
from text4seg.data.schemas import SCHEMAS, turns_of
from text4seg.data.shards import read_records
from text4seg.models.families import get_family
from text4seg.models.hf.loading import load_processor

datasets = pytest.importorskip("datasets")


def load(folder: Path, files: str, cache: Path) -> Any:
    """The files as users load them: `datasets.load_dataset` on a folder's parts."""
    kind = "json" if files == "jsonl" else "parquet"
    parts = sorted(str(path) for path in folder.glob("part-*"))
    return datasets.load_dataset(kind, data_files=parts, split="train", cache_dir=str(cache))


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(("files", "embed"), [("jsonl", False), ("parquet", True)])
def test_the_datasets_library_reads_every_schema(
    coco: Path, tmp_path: Path, schema: str, files: str, embed: bool
) -> None:
    plan = BuildPlan(Mixture(turns=2), schema=schema, files=files, embed=embed)
    manifest = build_dataset(read_dataset("coco", coco), tmp_path / "out", plan=plan)
    loaded = load(tmp_path / "out", files, tmp_path / "cache")
    assert len(loaded) == manifest["samples"]
    own = [one for path in sorted((tmp_path / "out").glob("part-*")) for one in read_records(path)]
    assert [turns_of(one) for one in loaded] == [turns_of(one) for one in own]
    row = loaded[0]
    image = row["images"][0] if "images" in row else row["image"]
    if embed:
        assert isinstance(image, Image.Image)
        assert image.size == (64, 48)
    else:
        assert Path(image).is_file()


@pytest.mark.parametrize("files", ["jsonl", "parquet"])
def test_trls_own_collator_takes_them(coco: Path, tmp_path: Path, files: str) -> None:
    pytest.importorskip("trl")
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    build_dataset(
        read_dataset("coco", coco),
        tmp_path / "out",
        plan=BuildPlan(files=files, embed=files == "parquet"),
    )
    loaded = load(tmp_path / "out", files, tmp_path / "cache")
    # As users do with paths: the column is cast, and pictures are opened when they are needed.
    loaded = loaded.cast_column("images", datasets.List(datasets.Image()))
    folder = build_model("gemma3", tmp_path / "model", small_tokenizer())
    processor = load_processor(folder, get_family("gemma3"))
    batch = DataCollatorForVisionLanguageModeling(processor)([loaded[0], loaded[1]])
    assert batch["input_ids"].shape[0] == 2
    text = processor.tokenizer.decode(batch["input_ids"][0])
    assert loaded[0]["messages"][1]["content"][:40] in text
    assert batch["pixel_values"].shape[0] > 0
