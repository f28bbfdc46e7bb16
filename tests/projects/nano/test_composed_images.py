"""Composed images hold what their lines say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.nano.composed_images import (
    CutOut,
    compose_images,
    cut_classes,
    cut_coco,
    read_composed,
)
from projects.nano.scenes import Scene
from text4seg.core.errors import InputError
from text4seg.core.run_lengths import rle_to_mask
from text4seg.models.nano.text.lexicon import imagenet_classes


def cut_out(name: str, rgb: tuple[int, int, int]) -> CutOut:
    pixels = np.full((30, 20, 3), rgb, dtype=np.uint8)
    return CutOut(name, pixels, np.full((30, 20), 255, dtype=np.uint8))


CUT_OUTS = [
    cut_out(f"thing {i}", rgb)
    for i, rgb in enumerate([(200, 10, 10), (10, 160, 20), (20, 20, 200)] * 9)
]


@pytest.fixture
def background(tmp_path: Path) -> Scene:
    Image.new("RGB", (64, 48), (128, 128, 128)).save(tmp_path / "grey.png")
    layers = {"thing 0": np.ones((16, 16), dtype=np.float32)}
    return Scene(tmp_path / "grey.png", "coco", layers, frozenset(layers))


def test_things_are_where_the_lines_say(tmp_path: Path, background: Scene) -> None:
    folder = tmp_path / "made"
    lines = list(compose_images(CUT_OUTS, [background], folder, count=6))
    for line in lines:
        pixels = np.asarray(Image.open(folder / line["image"])).astype(int)
        masks = [rle_to_mask(thing["mask"]) for thing in line["things"]]
        assert 1 <= len(masks) <= 5
        changed = (abs(pixels - 128) > 40).any(-1)
        together = np.logical_or.reduce(masks)
        assert (changed & together).sum() / (changed | together).sum() > 0.9
        assert sum(m.sum() for m in masks) == together.sum(), "what is covered is not seen"
        named = {thing["name"] for thing in line["things"]}
        assert "thing 0" not in named, "the image has one already"
        assert named.isdisjoint(line["absent"])
        assert "thing 0" not in line["absent"]
    assert sum(len({t["name"] for t in line["things"]}) < len(line["things"]) for line in lines)


def test_images_are_made_once_and_read_as_scenes(tmp_path: Path, background: Scene) -> None:
    folder = tmp_path / "made"
    first = list(compose_images(CUT_OUTS, [background], folder, count=2))
    written = (folder / "0000.jpg").stat().st_mtime_ns
    assert list(compose_images(CUT_OUTS, [background], folder, count=2)) == first
    assert (folder / "0000.jpg").stat().st_mtime_ns == written
    scenes = read_composed(folder)
    assert [scene.image.name for scene in scenes] == ["0000.jpg", "0001.jpg"]
    for scene, line in zip(scenes, first, strict=True):
        assert [t.name for t in scene.things] == [t["name"] for t in line["things"]]
        assert set(scene.absent) == set(line["absent"])
        assert all(t.shades is not None and t.shades.max() > 0.6 for t in scene.things)
    assert read_composed(tmp_path / "nowhere") == []


def test_too_few_names_are_told(tmp_path: Path, background: Scene) -> None:
    with pytest.raises(InputError, match="too few things to cut out"):
        list(compose_images(CUT_OUTS[:3], [background], tmp_path / "made", count=1))
    assert not list((tmp_path / "made").glob("*"))


def test_only_whole_large_instances_are_cut_out(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")

    def record(x: float, side: float, **more: int) -> dict[str, object]:
        outline = [x, x, x + side, x, x + side, x + side, x, x + side]
        return {
            "image_id": 1, "category_id": 2, "segmentation": [outline], "area": side * side,
            **more,
        }  # fmt: skip

    document = {
        "categories": [{"id": 2, "name": "cup"}],
        "images": [{"id": 1, "file_name": "a.png", "height": 100, "width": 100}],
        "annotations": [record(10, 40), record(0, 40), record(10, 5), record(10, 40, iscrowd=1)],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    (found,) = cut_coco(tmp_path / "a.json", tmp_path)
    assert found.name == "cup"
    assert found.pixels.shape[:2] == found.alpha.shape
    assert all(abs(side - 40) <= 1 for side in found.alpha.shape)


def test_classes_held_out_are_not_cut_out(tmp_path: Path) -> None:
    taught, held = (next(c for c in imagenet_classes() if c.held_out is h) for h in (False, True))
    saliency = np.zeros((320, 320), dtype=np.uint8)
    saliency[100:200, 80:240] = 255
    for one in (taught, held):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{one.wnid}_x.jpg")
        Image.fromarray(saliency).save(tmp_path / f"{one.wnid}_x.png")
    (found,) = cut_classes(tmp_path, tmp_path)
    assert found.name == taught.name
    assert found.alpha.shape == (20, 32)
