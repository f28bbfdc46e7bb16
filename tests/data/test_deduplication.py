from __future__ import annotations

import shutil
from pathlib import Path

from tests.data.conftest import SQUARE, annotation, coco_document, write_json
from text4seg.data import read_dataset
from text4seg.data.build import BuildPlan, build_dataset
from text4seg.data.deduplication import hold_out_images
from text4seg.data.schemas import image_of_record
from text4seg.data.shards import read_records


def all_records(folder: Path) -> list[dict]:
    return [one for path in sorted(folder.glob("part-*")) for one in read_records(path)]


def test_images_that_are_held_out_by_id_and_by_look(many: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "held"
    folder.mkdir()
    # The same image as 05.png, larger and as JPEG, under another id.
    Image.open(many.parent / "05.png").resize((128, 96)).save(folder / "other.jpg", quality=80)
    document = coco_document()
    document["images"] = [{"id": 999, "file_name": "other.jpg", "height": 96, "width": 128}]
    document["annotations"] = [annotation(1, 999, 18, SQUARE)]
    document["images"].append({"id": 7, "file_name": "07.png", "height": 48, "width": 64})
    document["annotations"].append(annotation(2, 7, 18, SQUARE))
    shutil.copy(many.parent / "07.png", folder)
    held = hold_out_images(read_dataset("coco", write_json(folder / "val.json", document)))
    manifest = build_dataset(
        read_dataset("coco", many), tmp_path / "out", plan=BuildPlan(held_out=held)
    )
    assert manifest["report"]["filtered"] == {"held out": 2}
    assert manifest["report"]["images"] == 38
    images = {Path(image_of_record(one)).name for one in all_records(tmp_path / "out")}
    assert not images & {"05.png", "07.png"}
