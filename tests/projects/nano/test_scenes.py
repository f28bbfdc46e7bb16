"""Collections are read in their true formats, from small ones made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from projects.nano.scenes import (
    Scene,
    Thing,
    clean_stuff_name,
    known_names,
    read_coco,
    read_collection,
    read_label_maps,
    read_panoptic,
)
from text4seg.core.run_lengths import mask_to_rle

SIDE = 32  # two pixels a cell
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}]


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def box(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def cells(rows: slice, cols: slice) -> np.ndarray:
    coverage = np.zeros((16, 16), dtype=np.float32)
    coverage[rows, cols] = 1.0
    return coverage


def crowd() -> dict[str, Any]:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[:, 24:] = True
    return mask_to_rle(mask)


def coco_document() -> dict[str, Any]:
    return {
        "categories": CATEGORIES,
        "images": [
            {"id": 5, "file_name": "a.jpg", "height": SIDE, "width": SIDE},
            {"id": 6, "file_name": "b.jpg", "height": SIDE, "width": SIDE},
        ],
        "annotations": [
            {"image_id": 5, "category_id": 17, "segmentation": [box(0, 0, 8, 8)], "iscrowd": 0},
            {
                "image_id": 5,
                "category_id": 17,
                "segmentation": [box(4, 0, 12, 8), box(0, 16, 8, 24)],
            },
            {"image_id": 5, "category_id": 1, "segmentation": crowd(), "iscrowd": 1},
        ],
    }


def test_coco_instances_become_layers_and_things(tmp_path: Path) -> None:
    file = write(tmp_path / "instances.json", coco_document())
    first, second = read_coco(file, tmp_path / "images")
    assert first.image == tmp_path / "images" / "a.jpg"
    assert first.source == "coco"
    assert first.annotated == {"person", "cat", "dog"}
    assert first.layers.keys() == {"cat", "person"}
    both = cells(slice(0, 4), slice(0, 6)) + cells(slice(8, 12), slice(0, 4))
    assert np.allclose(first.layers["cat"], both), "where instances overlap, a layer is still 1"
    assert np.allclose(first.layers["person"], cells(slice(0, 16), slice(12, 16)))
    assert [thing.name for thing in first.things] == ["cat", "cat"], "a crowd is no thing"
    assert np.allclose(first.things[0].coverage, cells(slice(0, 4), slice(0, 4)))
    assert first.things[1].share == pytest.approx((16 + 16) / 256)
    assert first.absent == ["dog"]
    assert (second.layers, second.things, second.present) == ({}, (), [])
    assert second.absent == ["cat", "dog", "person"]


def panoptic_document() -> dict[str, Any]:
    return {
        "categories": [
            {"id": 1, "name": "person"},
            {"id": 171, "name": "wall-brick"},
            {"id": 184, "name": "tree-merged"},
        ],
        "images": [{"id": 9, "file_name": "p.jpg", "folder": "coco/images"}],
        "annotations": [
            {
                "image_id": 9,
                "file_name": "p.png",
                "segments_info": [
                    {"id": 70_000, "category_id": 1, "iscrowd": 0},
                    {"id": 300, "category_id": 1, "iscrowd": 1},
                    {"id": 7, "category_id": 171},
                    {"id": 8, "category_id": 171},
                ],
            }
        ],
    }


def write_panoptic_mask(path: Path) -> None:
    segments = np.zeros((SIDE, SIDE), dtype=np.int64)  # 0: nobody said what it is
    segments[:8], segments[8:16] = 70_000, 300
    segments[16:20], segments[20:24] = 7, 8
    colors = np.stack([segments % 256, segments // 256 % 256, segments // 65536], axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colors.astype(np.uint8)).save(path)


def test_panoptic_segments_are_read_off_their_colors(tmp_path: Path) -> None:
    write_panoptic_mask(tmp_path / "masks" / "p.png")
    file = write(tmp_path / "panoptic.json", panoptic_document())
    (scene,) = read_panoptic(file, tmp_path / "masks", tmp_path)
    assert scene.image == tmp_path / "coco" / "images" / "p.jpg"
    assert scene.source == "panoptic"
    assert scene.annotated == {"person", "brick wall", "tree"}
    assert scene.layers.keys() == {"person", "brick wall"}
    assert np.allclose(scene.layers["person"], cells(slice(0, 8), slice(0, 16)))
    assert np.allclose(scene.layers["brick wall"], cells(slice(8, 12), slice(0, 16)))
    assert [thing.name for thing in scene.things] == ["person"], "no crowd, no stuff"
    assert np.allclose(scene.things[0].coverage, cells(slice(0, 4), slice(0, 16)))
    assert scene.absent == ["tree"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wall-other-merged", "wall"),
        ("wall-brick", "brick wall"),
        ("floor-wood", "wood floor"),
        ("tree-merged", "tree"),
        ("food-other-merged", "food"),
        ("window-blind", "window blind"),
        ("mirror-stuff", "mirror"),
        ("window-other", "window"),
        ("hot dog", "hot dog"),
    ],
)
def test_stuff_is_called_what_a_person_would_call_it(name: str, said: str) -> None:
    assert clean_stuff_name(name) == said


def write_clothing(root: Path) -> Path:
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    pixels[:8], pixels[8:16, :16] = 1, 3
    (root / "masks").mkdir(parents=True)
    Image.fromarray(pixels).save(root / "masks" / "0001.png")
    document = {"labels": ["null", "hat", "shoes", "t-shirt"], "train": ["0001"], "val": []}
    return write(root / "index.json", document)


def test_label_maps_name_garments_and_the_whole_person(tmp_path: Path) -> None:
    index = write_clothing(tmp_path)
    (scene,) = read_label_maps(index, tmp_path / "images", tmp_path / "masks", "train")
    assert read_label_maps(index, tmp_path / "images", tmp_path / "masks", "val") == []
    assert scene.image == tmp_path / "images" / "0001.jpg"
    assert scene.source == "clothing"
    assert scene.annotated == {"hat", "shoes", "t-shirt", "person"}
    hat, shirt = cells(slice(0, 4), slice(0, 16)), cells(slice(4, 8), slice(0, 8))
    assert {name: layer.tolist() for name, layer in scene.layers.items()} == {
        "hat": hat.tolist(),
        "t-shirt": shirt.tolist(),
        "person": (hat + shirt).tolist(),
    }
    assert scene.absent == ["shoes"]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """All three collections; `a.jpg` of panoptic is also a validation image of COCO."""
    write(tmp_path / "coco" / "instances_train.json", coco_document())
    held_out = coco_document()
    held_out["images"] = held_out["images"][:1]
    write(tmp_path / "coco" / "instances_val.json", held_out)
    write_clothing(tmp_path / "clothing")
    panoptic = panoptic_document()
    panoptic["images"].append({"id": 10, "file_name": "a.jpg", "folder": "coco/images"})
    panoptic["annotations"].append(panoptic["annotations"][0] | {"image_id": 10})
    write(tmp_path / "panoptic" / "panoptic.json", panoptic)
    write_panoptic_mask(tmp_path / "panoptic" / "masks" / "p.png")
    return tmp_path


def test_a_collection_is_all_of_them_without_the_images_held_out(collection: Path) -> None:
    train = [(scene.source, scene.image.name) for scene in read_collection(collection, "train")]
    assert train == [
        ("coco", "a.jpg"),
        ("coco", "b.jpg"),
        ("clothing", "0001.jpg"),
        ("panoptic", "p.jpg"),
    ]
    held_out = [(scene.source, scene.image.name) for scene in read_collection(collection, "val")]
    assert held_out == [("coco", "a.jpg")]


def test_known_names_are_all_that_was_annotated_in_order(collection: Path) -> None:
    names = known_names(read_collection(collection, "train"))
    assert names == sorted(
        {"person", "cat", "dog", "brick wall", "tree", "hat", "shoes", "t-shirt"}
    )


def test_a_speck_is_there_but_not_present() -> None:
    speck, spot = np.zeros((16, 16), dtype=np.float32), np.zeros((16, 16), dtype=np.float32)
    speck[3, 3], spot[3, 3] = 0.7, 0.8
    layers = {"speck": speck, "spot": spot}
    scene = Scene(Path("a"), "coco", layers, frozenset({"speck", "spot", "cat"}))
    assert scene.present == ["spot"]
    assert scene.absent == ["cat"]
    assert Thing("spot", spot).share == pytest.approx(0.8 / 256)
