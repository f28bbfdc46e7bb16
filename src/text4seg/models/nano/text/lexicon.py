"""The words that nano was taught, and how another word leads to one of them.

Names of the fusion's own head, of the detector and of the image classifier, each with other words
for it; for the rest of the language a thesaurus made from WordNet (Miller 1995). All of it is text;
`encoders.sentences` makes embeddings of it.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from text4seg.models.nano.encoders.detector import COCO_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IMAGENET = Path(__file__).parent / "data" / "imagenet.tsv"
THESAURUS = Path(__file__).parent / "data" / "thesaurus.tsv.gz"
_SYNONYMS = Path(__file__).parent / "data" / "synonyms.tsv"
# Every tenth of ImageNet's classes is kept out of training, to measure words that were not taught.
_HELD_OUT_EVERY, _HELD_OUT_AT = 10, 7

# Known name → a word for it that is kept out of training, for the same purpose.
HELD_OUT = {
    "person": "individual", "bicycle": "cycle", "car": "vehicle", "airplane": "jet",
    "bus": "coach", "train": "locomotive", "truck": "lorry", "boat": "vessel",
    "traffic light": "stoplight", "bird": "fowl", "cat": "feline", "dog": "hound",
    "horse": "pony", "sheep": "lamb", "cow": "cattle", "backpack": "rucksack",
    "umbrella": "parasol", "tie": "necktie", "suitcase": "luggage", "bottle": "flask",
    "wine glass": "goblet", "cup": "mug", "knife": "blade", "bowl": "dish", "chair": "seat",
    "couch": "settee", "potted plant": "houseplant", "bed": "mattress", "dining table": "desk",
    "tv": "telly", "laptop": "notebook computer", "cell phone": "smartphone", "oven": "stove",
    "sink": "washbasin", "refrigerator": "icebox", "book": "paperback", "clock": "timepiece",
    "vase": "urn", "hair": "hairdo", "shoes": "footwear", "pants": "slacks", "jeans": "denims",
    "dress": "gown", "hat": "headgear", "jacket": "windbreaker", "sweater": "pullover",
    "sunglasses": "eyewear", "purse": "clutch", "bag": "tote", "skirt": "miniskirt",
    "t-shirt": "tee", "stockings": "hosiery",
}  # fmt: skip

HYPERNYMS = {
    "fruit": ("apple", "orange", "banana"),
    "furniture": ("chair", "couch", "bed", "bench", "dining table"),
    "cutlery": ("fork", "knife", "spoon"),
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra",
               "giraffe"),
    "food": ("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza",
             "donut", "cake"),
    "vegetable": ("broccoli", "carrot"),
}  # fmt: skip
"""Words for several names at once, of COCO's."""


@dataclass(frozen=True, slots=True)
class ImagenetClass:
    """A class of the image classifier.

    Attributes:
        wnid: Its WordNet id, as in the names of ImageNet's folders.
        name: Its name.
        others: Other words for it.
        kinds: What it is a kind of.
        held_out: Whether it is kept out of training.
    """

    wnid: str
    name: str
    others: tuple[str, ...]
    kinds: tuple[str, ...]
    held_out: bool

    @property
    def words(self) -> tuple[str, ...]:
        """Name, other words and kinds, each once."""
        return tuple(dict.fromkeys((self.name, *self.others, *self.kinds)))


@cache
def imagenet_classes() -> tuple[ImagenetClass, ...]:
    """The 1,000 classes in the order of the classifier's logits, without words held out."""
    classes = []
    for index, line in enumerate(IMAGENET.read_text(encoding="utf-8").splitlines()):
        # A line a class, in the order of the logits.
        wnid, name, others, kinds = line.split("\t")
        classes.append(
            ImagenetClass(
                wnid,
                name,
                _allowed(others.split("|")),
                _allowed(kinds.split("|")),
                index % _HELD_OUT_EVERY == _HELD_OUT_AT or not _allowed([name]),
            )
        )
    return tuple(classes)


def _allowed(words: Iterable[str]) -> tuple[str, ...]:
    """Those words that contain none of `HELD_OUT`."""
    # Spaces on both sides: only whole words count.
    held = [f" {word} " for word in HELD_OUT.values()]
    return tuple(w for w in words if w and not any(h in f" {w} " for h in held))


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """Name of a thing → other words for it, as training asks for them."""
    lines = _SYNONYMS.read_text(encoding="utf-8").splitlines()
    return {name: tuple(words.split("|")) for name, words in (line.split("\t") for line in lines)}


def words_for(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each name with the other words for it."""
    return [(name, *_allowed(synonyms().get(name, ()))) for name in names]


@cache
def core_words() -> frozenset[str]:
    """Words for things of which training has human masks."""
    return frozenset(word for words in words_for([*COCO_CLASSES, *synonyms()]) for word in words)


@cache
def taught_words() -> frozenset[str]:
    """All words that training may ask for."""
    taught = set(core_words())
    taught |= {w for one in imagenet_classes() if not one.held_out for w in one.words}
    return frozenset(taught | HYPERNYMS.keys())


@cache
def thesaurus() -> dict[str, tuple[str, ...]]:
    """Words that were not taught → taught ones that mean the same or are the nearest kind."""
    lines = gzip.decompress(THESAURUS.read_bytes()).decode().splitlines()
    return {word: tuple(names.split("|")) for word, names in (line.split("\t") for line in lines)}
