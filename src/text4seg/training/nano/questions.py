"""What is asked of a scene while nano is trained: names, positions, sizes, absent things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from text4seg.training.nano.scenes import SMALLEST_SHARE, Scene, Thing

if TYPE_CHECKING:
    from jaxtyping import Float32

_SYNONYMS = {
    "person": ("people", "human", "human being"),
    "tv": ("television", "screen"),
    "couch": ("sofa",),
    "cell phone": ("phone", "mobile phone"),
    "airplane": ("plane", "aircraft"),
    "motorcycle": ("motorbike",),
    "bicycle": ("bike",),
    "dining table": ("table",),
    "potted plant": ("plant",),
    "refrigerator": ("fridge",),
    "donut": ("doughnut",),
    "sunglasses": ("shades",),
    "pants": ("trousers",),
    "cat": ("kitty",),
    "dog": ("puppy",),
    "car": ("automobile",),
    "remote": ("remote control",),
    "sports ball": ("ball",),
}
# Things that look or live alike: a fair absent thing could be mistaken for a present one.
_FAMILIES = (
    (
        "cat",
        "dog",
        "bear",
        "teddy bear",
        "sheep",
        "cow",
        "horse",
        "zebra",
        "giraffe",
        "elephant",
        "bird",
    ),
    ("car", "truck", "bus", "train", "motorcycle", "bicycle", "boat", "airplane"),
    ("cup", "wine glass", "bottle", "vase", "bowl", "potted plant"),
    ("fork", "knife", "spoon", "scissors", "toothbrush"),
    (
        "apple",
        "orange",
        "banana",
        "carrot",
        "broccoli",
        "donut",
        "cake",
        "pizza",
        "sandwich",
        "hot dog",
    ),
    ("chair", "couch", "bed", "bench", "dining table", "toilet"),
    ("tv", "laptop", "cell phone", "remote", "keyboard", "mouse", "microwave", "oven", "book"),
    ("skis", "snowboard", "surfboard", "skateboard", "kite", "frisbee", "umbrella"),
    ("backpack", "handbag", "suitcase", "bag", "purse", "wallet"),
    ("jacket", "coat", "blazer", "cardigan", "sweater", "hoodie", "sweatshirt", "jumper", "vest"),
    ("shirt", "blouse", "t-shirt", "top", "dress", "bodysuit", "romper"),
    ("pants", "jeans", "leggings", "tights", "stockings", "shorts", "skirt", "socks"),
    (
        "boots",
        "heels",
        "flats",
        "sandals",
        "shoes",
        "sneakers",
        "pumps",
        "wedges",
        "loafers",
        "clogs",
    ),
    (
        "necklace",
        "bracelet",
        "ring",
        "earrings",
        "watch",
        "belt",
        "scarf",
        "tie",
        "hat",
        "glasses",
        "sunglasses",
    ),
)
_SIDES = {
    "left": (1, -1, ("the {} on the left", "the left {}", "the leftmost {}")),
    "right": (1, 1, ("the {} on the right", "the right {}", "the rightmost {}")),
    "top": (0, -1, ("the {} at the top", "the top {}", "the upper {}")),
    "bottom": (0, 1, ("the {} at the bottom", "the bottom {}", "the lower {}")),
}
_BIG = ("the biggest {}", "the largest {}", "the big {}")
_SMALL = ("the smallest {}", "the small {}")
# Two things are told apart by position when their centres lie this many cells apart,
# by size at this ratio.
_CLEAR_GAP = 1.5
_CLEAR_RATIO = 1.5


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: the expression and what it covers (zeros: nothing of it is there)."""

    expression: str
    coverage: Float32[np.ndarray, "16 16"]
    kind: str


def ask(scene: Scene, random: np.random.Generator, *, absent_share: float = 0.28) -> Asked:
    draw = random.random()
    present = scene.present
    if draw < absent_share or not present:
        return _ask_absent(scene, random)
    if draw < absent_share + 0.2:
        placed = _ask_placed(scene, random)
        if placed is not None:
            return placed
    name = present[random.integers(len(present))]
    return Asked(word(name, random), scene.layers[name], "name")


def word(name: str, random: np.random.Generator) -> str:
    if name in _SYNONYMS and random.random() < 0.25:
        name = str(random.choice(_SYNONYMS[name]))
    draw = random.random()
    if draw < 0.45:
        return f"the {name}"
    return name if draw < 0.9 else f"all of the {name}"


def _ask_absent(scene: Scene, random: np.random.Generator) -> Asked:
    absent = scene.absent
    near = _near_names(scene, set(absent))
    pool = near if near and random.random() < 0.4 else absent
    name = pool[random.integers(len(pool))]
    nothing = np.zeros((16, 16), dtype=np.float32)
    if random.random() < 0.12:
        side = _SIDES[str(random.choice(list(_SIDES)))]
        return Asked(str(random.choice(side[2])).format(name), nothing, "absent")
    return Asked(word(name, random), nothing, "absent")


def _near_names(scene: Scene, absent: set[str]) -> list[str]:
    present = set(scene.layers)
    return [
        name
        for family in _FAMILIES
        if present.intersection(family)
        for name in family
        if name in absent
    ]


def _ask_placed(scene: Scene, random: np.random.Generator) -> Asked | None:
    groups: dict[str, list[Thing]] = {}
    for thing in scene.things:
        if thing.share >= SMALLEST_SHARE / 2:
            groups.setdefault(thing.name, []).append(thing)
    groups = {name: things for name, things in groups.items() if 2 <= len(things) <= 6}
    if not groups:
        return None
    name = str(random.choice(sorted(groups)))
    things = groups[name]
    choices = [*_by_side(things), *_by_size(things)]
    if not choices:
        return None
    template, thing = choices[random.integers(len(choices))]
    templates = template if isinstance(template, tuple) else (template,)
    return Asked(str(random.choice(templates)).format(name), thing.coverage, "placed")


def _by_side(things: list[Thing]) -> list[tuple[tuple[str, ...], Thing]]:
    found: list[tuple[tuple[str, ...], Thing]] = []
    centres = np.array([_centre(thing) for thing in things])
    for axis, sign, templates in _SIDES.values():
        along = centres[:, axis] * sign
        order = np.argsort(-along)
        if (
            along[order[0]] - along[order[1]] >= _CLEAR_GAP
            and things[order[0]].share >= SMALLEST_SHARE
        ):
            found.append((templates, things[order[0]]))
    return found


def _by_size(things: list[Thing]) -> list[tuple[tuple[str, ...], Thing]]:
    ordered = sorted(things, key=lambda thing: thing.share)
    found: list[tuple[tuple[str, ...], Thing]] = []
    if (
        ordered[-1].share >= _CLEAR_RATIO * ordered[-2].share
        and ordered[-1].share >= SMALLEST_SHARE
    ):
        found.append((_BIG, ordered[-1]))
    if ordered[1].share >= _CLEAR_RATIO * ordered[0].share and ordered[0].share >= SMALLEST_SHARE:
        found.append((_SMALL, ordered[0]))
    return found


def _centre(thing: Thing) -> tuple[float, float]:
    weight = thing.coverage.sum()
    steps = np.arange(16) + 0.5
    return (
        float(thing.coverage.sum(1) @ steps / weight),
        float(thing.coverage.sum(0) @ steps / weight),
    )


def mirror(asked: Asked) -> Asked:
    """The same question of the mirrored photo: left and right change places in the words too."""
    words = asked.expression.replace("left", "\0").replace("right", "left").replace("\0", "right")
    return Asked(words, asked.coverage[:, ::-1].copy(), asked.kind)
