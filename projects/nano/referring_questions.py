"""Referring questions made from scenes: names, kinds, positions, sizes, attributes, absences."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from projects.nano.attribute_questions import SyntheticQuestion, ask_colored, ask_related, center
from projects.nano.scenes import SMALLEST_SHARE, Scene, Thing
from text4seg.models.nano.text.lexicon import HYPERNYMS, imagenet_classes, words_for

_SYNONYM_SHARE = 0.35
_KIND_SHARE = 0.06
# Things that look alike or are found together. Absent ones from the family of a present one are the
# questions worth asking: the others are too easy.
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
_ANIMALS = frozenset(_FAMILIES[0])
# Share of absent things that are animals from beyond the annotated names, where there is no animal.
_FOREIGN_SHARE = 0.12
_SIDES = {
    "left": (1, -1, ("the {} on the left", "the left {}", "the leftmost {}")),
    "right": (1, 1, ("the {} on the right", "the right {}", "the rightmost {}")),
    "top": (0, -1, ("the {} at the top", "the top {}", "the upper {}")),
    "bottom": (0, 1, ("the {} at the bottom", "the bottom {}", "the lower {}")),
}
_BIG = ("the biggest {}", "the largest {}", "the big {}")
_SMALL = ("the smallest {}", "the small {}")
# Distance of the centers in cells, and ratio of the sizes, from which position and size single out
# one of several things. Below them annotators would disagree.
_CLEAR_GAP = 1.5
_CLEAR_RATIO = 1.5
_FEWEST, _MOST = 2, 6
_ATTRIBUTE_QUESTIONS = (ask_related, ask_colored)


def ask(
    scene: Scene,
    random: np.random.Generator,
    *,
    absent_share: float = 0.28,
    spatial_share: float = 0.26,
    several_share: float = 0.04,
    attribute_share: float = 0.2,
) -> SyntheticQuestion | None:
    """Draw a question about a scene.

    Args:
        scene: The image with its masks.
        random: Source of randomness.
        absent_share: Share of questions about absent things.
        spatial_share: Share that singles out one of several things by position or size.
        several_share: Share that asks for two names at once.
        attribute_share: Share with a color or a relation.

    Returns:
        The question; None if nothing is known to be present or absent. If a scene has nothing for
        the drawn kind, a name is asked for instead.
    """
    draw = random.random()
    present, absent = scene.present, scene.absent
    if absent and (draw < absent_share or not present):
        return _ask_absent(scene, absent, random)
    if not present:
        return None
    if absent_share <= draw < absent_share + attribute_share:
        attribute = _ask_attribute(scene, random)
        if attribute is not None:
            return attribute
    elif draw < absent_share + attribute_share + spatial_share:
        placed = _ask_spatial(scene, random)
        if placed is not None:
            return placed
    if draw > 1 - several_share and len(present) > 1:
        return _ask_several(scene, present, random)
    return _ask_name(scene, present, random)


def _ask_attribute(scene: Scene, random: np.random.Generator) -> SyntheticQuestion | None:
    first, second = random.permutation(len(_ATTRIBUTE_QUESTIONS))[:2]
    return _ATTRIBUTE_QUESTIONS[first](scene, random) or _ATTRIBUTE_QUESTIONS[second](scene, random)


def _ask_name(scene: Scene, present: list[str], random: np.random.Generator) -> SyntheticQuestion:
    if random.random() < _KIND_SHARE:
        kind = _ask_kind(scene, random)
        if kind is not None:
            return kind
    name = present[random.integers(len(present))]
    return SyntheticQuestion(word(name, random), scene.layers[name], "name")


def _ask_kind(scene: Scene, random: np.random.Generator) -> SyntheticQuestion | None:
    """Ask for all of a kind (animals, furniture), if every name of that kind was annotated."""
    there = {
        kind: [scene.layers[name] for name in names if name in scene.layers]
        for kind, names in HYPERNYMS.items()
        if scene.annotated.issuperset(names)
    }
    kinds = sorted(kind for kind, layers in there.items() if layers)
    if not kinds:
        return None
    kind = kinds[random.integers(len(kinds))]
    return SyntheticQuestion(f"the {kind}", np.maximum.reduce(there[kind]), "kind")


def _ask_several(
    scene: Scene, present: list[str], random: np.random.Generator
) -> SyntheticQuestion:
    first, second = (str(name) for name in random.choice(present, 2, replace=False))
    covered = np.maximum(scene.layers[first], scene.layers[second])
    return SyntheticQuestion(f"the {first} and the {second}", covered, "several")


def word(name: str, random: np.random.Generator) -> str:
    """Draw a wording of a name, sometimes with a synonym."""
    (words,) = words_for([name])
    if len(words) > 1 and random.random() < _SYNONYM_SHARE:
        name = words[random.integers(1, len(words))]
    return phrase(name, random)


def phrase(name: str, random: np.random.Generator) -> str:
    """Draw a wording: with the article, bare, or `all of the`."""
    draw = random.random()
    if draw < 0.45:
        return f"the {name}"
    return name if draw < 0.9 else f"all of the {name}"


def _ask_absent(scene: Scene, absent: list[str], random: np.random.Generator) -> SyntheticQuestion:
    nothing = np.zeros((16, 16), dtype=np.float32)
    if random.random() < _FOREIGN_SHARE and _ANIMALS.isdisjoint(scene.layers):
        foreign = _foreign_animals()
        return SyntheticQuestion(
            phrase(foreign[random.integers(len(foreign))], random), nothing, "absent"
        )
    near = near_names(scene, set(absent))
    pool = near if near and random.random() < 0.4 else absent
    name = pool[random.integers(len(pool))]
    if random.random() < 0.12:
        side = _SIDES[str(random.choice(list(_SIDES)))]
        return SyntheticQuestion(str(random.choice(side[2])).format(name), nothing, "absent")
    return SyntheticQuestion(word(name, random), nothing, "absent")


@cache
def _foreign_animals() -> tuple[str, ...]:
    """List animals that no collection of scenes was annotated with."""
    return tuple(c.name for c in imagenet_classes() if "animal" in c.words and not c.held_out)


def near_names(scene: Scene, absent: set[str]) -> list[str]:
    """Find the absent names of the same family as a present one."""
    present = set(scene.layers)
    return [
        name
        for family in _FAMILIES
        if present.intersection(family)
        for name in family
        if name in absent
    ]


def _ask_spatial(scene: Scene, random: np.random.Generator) -> SyntheticQuestion | None:
    choices = spatial_choices(scene)
    if not choices:
        return None
    name = str(random.choice(sorted(choices)))
    templates, thing = choices[name][random.integers(len(choices[name]))]
    return SyntheticQuestion(str(random.choice(templates)).format(name), thing.coverage, "placed")


def spatial_choices(scene: Scene) -> dict[str, list[tuple[tuple[str, ...], Thing]]]:
    """Find what singles out one of two to six things of a name.

    Args:
        scene: The image with its masks.

    Returns:
        For each name, templates of the wordings and the thing that they mean.
    """
    groups: dict[str, list[Thing]] = {}
    for thing in scene.things:
        if thing.share >= SMALLEST_SHARE / 2:
            groups.setdefault(thing.name, []).append(thing)
    found = {
        name: [*_by_side(things), *_by_order(things), *_by_size(things)]
        for name, things in groups.items()
        if _FEWEST <= len(things) <= _MOST
    }
    return {name: choices for name, choices in found.items() if choices}


def _by_order(things: list[Thing]) -> list[tuple[tuple[str, ...], Thing]]:
    """Find the second from the left or right, of three and more things that are clearly apart."""
    if len(things) <= _FEWEST:
        return []
    ordered = sorted(things, key=lambda thing: center(thing)[1])
    found: list[tuple[tuple[str, ...], Thing]] = []
    for side, row in (("left", ordered), ("right", ordered[::-1])):
        along = [center(thing)[1] for thing in row[:3]]
        if (
            min(abs(b - a) for a, b in pairwise(along)) >= _CLEAR_GAP
            and row[1].share >= SMALLEST_SHARE
        ):
            found.append(((f"the second {{}} from the {side}",), row[1]))
    return found


def _by_side(things: list[Thing]) -> list[tuple[tuple[str, ...], Thing]]:
    found: list[tuple[tuple[str, ...], Thing]] = []
    centers = np.array([center(thing) for thing in things])
    for axis, sign, templates in _SIDES.values():
        along = centers[:, axis] * sign
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


def mirror(asked: SyntheticQuestion) -> SyntheticQuestion:
    """Mirror a question; left and right are exchanged in its words too."""
    words = asked.expression.replace("left", "\0").replace("right", "left").replace("\0", "right")
    return SyntheticQuestion(words, asked.coverage[:, ::-1].copy(), asked.kind)
