"""Label maps of the paper's scene data sets: COCO-Stuff, ADE20K, PASCAL VOC and PASCAL Context."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from text4seg.data.interface import LayoutError, Reader, Source
from text4seg.data.readers.label_maps import LabelMapDataset, pair_by_name, read_names

STUFF_LAYOUT = """\
ROOT/stuffthingmaps/<split>/*.png   or ROOT/<split>/*.png: class number - 1, 255 unlabelled
IMAGES/<split>/*.jpg                --images; by default ROOT/images
"""
ADE150_LAYOUT = """\
ROOT/ or ROOT/ADEChallengeData2016/
  images/<split>/*.jpg
  annotations/<split>/*.png   1 to 150, 0 not annotated
  objectInfo150.txt           names, in the last of its tabbed columns
"""
ADE847_LAYOUT = """\
ROOT/ or ROOT/ADE20K_2021_17_01/
  images_detectron2/<split>/*.jpg
  annotations_detectron2/<split>/*.tif   16 bits: 0 to 846, 65535 not annotated
  names.txt or ade847.json               847 names (--option names=FILE for another place)
"""
VOC_LAYOUT = """\
ROOT/ or ROOT/VOCdevkit/VOC2012/
  JPEGImages/*.jpg
  SegmentationClass/*.png               0 background, 1 to 20, 255 outlines (not scored)
  ImageSets/Segmentation/<split>.txt    a name a line
"""
CONTEXT_LAYOUT = """\
ROOT/ or ROOT/VOCdevkit/VOC2010/
  JPEGImages/*.jpg
  SegmentationClassContext/*.png               0 none of the 59, 1 to 59
  or trainval/*.mat                            LabelMap of all 459 classes, as published
  ImageSets/SegmentationContext/<split>.txt    a name a line
"""
# The numbers of the 59 classes among the 459 of the published MATLAB files; they run in the
# order of the names.
CONTEXT_NUMBERS = (
    2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113,
    115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326,
    347, 349, 354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458,
)  # fmt: skip


def _names(file: str) -> list[str]:
    text = resources.files("text4seg.data").joinpath("class_names", file).read_text("utf-8")
    return text.split("\n")[:-1]


def _root(source: Source, nested: str) -> Path:
    inside = source.root / nested
    return inside if inside.is_dir() else source.root


def _need(path: Path) -> Path:
    if not path.exists():
        raise LayoutError(f"there is no {path}")
    return path


def _open_stuff(source: Source) -> LabelMapDataset:
    split = source.split or "train2017"
    maps = _root(source, "stuffthingmaps") / split
    _need(maps)
    images = (source.images or source.root / "images") / split
    pairs = tuple((images / f"{path.stem}.jpg", path) for path in sorted(maps.glob("*.png")))
    names = dict(enumerate(_names("coco_stuff.txt")))
    kept = {number: name for number, name in names.items() if not name.startswith("-")}
    return LabelMapDataset("coco-stuff", split, pairs, kept)


def _open_ade150(source: Source) -> LabelMapDataset:
    root, split = _root(source, "ADEChallengeData2016"), source.split or "training"
    table = _need(root / "objectInfo150.txt")
    maps = _need(root / "annotations" / split)
    rows = [line.split("\t") for line in table.read_text("utf-8", "replace").splitlines()]
    names = {int(row[0]): row[-1].strip() for row in rows if row[0].strip().isdigit()}
    images = (source.images or root / "images") / split
    return LabelMapDataset("ade20k-150", split, pair_by_name(images, maps), names, void=(0,))


def _open_ade847(source: Source) -> LabelMapDataset:
    root, split = _root(source, "ADE20K_2021_17_01"), source.split or "training"
    usual = [root / name for name in ("ade847.json", "names.txt")]
    given = [Path(source.options["names"])] if "names" in source.options else usual
    table = next((path for path in given if path.is_file()), given[0])
    _need(table)
    maps = _need(root / "annotations_detectron2" / split)
    images = (source.images or root / "images_detectron2") / split
    pairs = pair_by_name(images, maps, ending=".tif")
    return LabelMapDataset("ade20k-847", split, pairs, read_names(table), void=(65535,))


def _listed(root: Path, folder: str, source: Source) -> list[str]:
    path = _need(root / "ImageSets" / folder / f"{source.split}.txt")
    return path.read_text("utf-8").split()


def _open_voc(source: Source) -> LabelMapDataset:
    root = _root(source, "VOCdevkit/VOC2012")
    stems = _listed(root, "Segmentation", source)
    images = source.images or root / "JPEGImages"
    pairs = tuple(
        (images / f"{stem}.jpg", root / "SegmentationClass" / f"{stem}.png") for stem in stems
    )
    names = dict(enumerate(_names("voc.txt"), start=1))
    return LabelMapDataset("voc", source.split or "", pairs, names, background=(0,))


def _open_context(source: Source) -> LabelMapDataset:
    root = _root(source, "VOCdevkit/VOC2010")
    stems = _listed(root, "SegmentationContext", source)
    images = source.images or root / "JPEGImages"
    names = _names("pascal_context_59.txt")
    maps, ending = root / "SegmentationClassContext", ".png"
    numbered = dict(enumerate(names, start=1))
    void: tuple[int, ...] = (0, 255)
    if not maps.is_dir():
        maps, ending = _need(root / "trainval"), ".mat"
        numbered = dict(zip(CONTEXT_NUMBERS, names, strict=True))
        void = tuple(number for number in range(460) if number not in numbered)
    pairs = tuple((images / f"{stem}.jpg", maps / f"{stem}{ending}") for stem in stems)
    return LabelMapDataset("pascal-context-59", source.split or "", pairs, numbered, void)


COCO_STUFF = Reader(
    name="coco-stuff",
    summary="COCO-Stuff: 171 classes, things and stuff",
    layout=STUFF_LAYOUT,
    open=_open_stuff,
    splits=("train2017", "val2017"),
)
ADE150 = Reader(
    name="ade20k-150",
    summary="ADE20K, 150 classes (scene parsing challenge)",
    layout=ADE150_LAYOUT,
    open=_open_ade150,
    splits=("training", "validation"),
)
ADE847 = Reader(
    name="ade20k-847",
    summary="ADE20K, 847 classes",
    layout=ADE847_LAYOUT,
    open=_open_ade847,
    splits=("training", "validation"),
    options={"names": "The file of the 847 names."},
)
VOC = Reader(
    name="voc",
    summary="PASCAL VOC 2012: 20 classes (PAS-20 without the background)",
    layout=VOC_LAYOUT,
    open=_open_voc,
    splits=("train", "val", "trainval", "trainaug"),
)
CONTEXT59 = Reader(
    name="pascal-context-59",
    summary="PASCAL Context, its 59 common classes",
    layout=CONTEXT_LAYOUT,
    open=_open_context,
    splits=("train", "val"),
)
