"""Questions with answers in words, made from scenes: is there one, how many, what color, where.

Only names that the image was annotated with are counted or denied. Answers are single words in
lower case; several names are listed with commas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from projects.nano.attribute_questions import ask_colored, ask_related, color_choices
from projects.nano.referring_questions import near_names, word
from projects.nano.scenes import Scene
from text4seg.training.nano.augmentation import move_maps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float32

COUNTS = ("none", "one", "two", "three", "several")
NOT_THERE = "not there"
UNKNOWN = "I do not know"
WORDINGS = {
    "there": (
        "Is there {a} in the photo?", "Is there {a}?", "Do you see {a}?",
        "Can you see {a} in this picture?", "Does the photo show {a}?",
    ),
    "count": (
        "How many {many} are there?", "How many {many} are in the photo?",
        "How many {many} can you see?", "How many {many} do you see in this image?",
    ),
    "color": (
        "What colour {is} the {name}?", "What color {is} the {name}?",
        "What is the colour of the {name}?", "Which colour {is} the {name} in the photo?",
    ),
    "where": (
        "Where {is} the {name}?", "Where in the photo {is} the {name}?",
        "Where {is} the {name} in this picture?",
    ),
    "names": (
        "What is in the photo?", "What do you see?", "What can you see in this image?",
        "What is there?", "Describe the photo.",
    ),
    "name": ("What is this?", "What is that?"),
    "other": (
        "Why is he smiling?", "Who is this?", "What time is it?", "What is the weather like?",
        "What is she doing?", "Who took the photo?", "How old is the man?", "What does it say?",
        "Is it warm outside?", "Which country is this?", "What happens next?", "How are you?",
        "What brand is it?", "What is the person thinking of?", "Which sport is it?",
    ),
}  # fmt: skip
# Distance from the image's center, in shares of the side: "middle" up to the first; beyond the
# third a direction is named if it is this many times longer than the other one.
_MIDDLE, _CLEARER, _BESIDE_MIDDLE = 0.12, 1.4, 0.17
_PLURAL = frozenset({"accessories", "glasses", "stairs", "skis", "people"})
_LARGEST_FIRST = 3


@dataclass(frozen=True, slots=True)
class VqaQuestion:
    """A question with its answer.

    Attributes:
        question: The question.
        kind: One of `question_types.QUESTION_TYPES`.
        answer: The answer.
        coverage: What it is about, `16 16`, if that is one present thing or kind.
        name: The name it asks about.
    """

    question: str
    kind: str
    answer: str
    coverage: Float32[np.ndarray, "16 16"] | None = None
    name: str = ""


def plural(name: str) -> str:
    """Get the plural of a name; names that are plurals already stay as they are."""
    if name in _PLURAL or (name.endswith("s") and not name.endswith(("ss", "us"))):
        return name
    irregular = {"person": "people", "knife": "knives", "sheep": "sheep", "mouse": "mice"}
    for single, many in irregular.items():
        if name == single or name.endswith(f" {single}"):
            return name.removesuffix(single) + many
    if name.endswith(("s", "sh", "ch", "x")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def wording(kind: str, name: str, random: np.random.Generator) -> str:
    """Draw a wording of a kind of question about a name."""
    templates = WORDINGS[kind]
    is_plural = name == plural(name) and name != "sheep"
    article = "an" if name[:1] in "aeiou" else "a"
    text = templates[random.integers(len(templates))].format(
        a=name if is_plural else f"{article} {name}",
        many=plural(name),
        name=name,
        **{"is": "are" if is_plural else "is"},
    )
    return text.replace("Is there", "Are there") if is_plural else text


def ask_all(scene: Scene, random: np.random.Generator) -> list[VqaQuestion]:
    """Ask up to fifteen questions of all kinds, as many with yes for an answer as with no."""
    asked = [*ask_there(scene, random), *ask_counts(scene, random)]
    asked += [*ask_colors(scene, random), *ask_places(scene, random), *ask_names(scene, random)]
    other = WORDINGS["other"]
    if random.random() < 0.3:
        asked.append(VqaQuestion(other[random.integers(len(other))], "other", UNKNOWN))
    return asked


def ask_there(
    scene: Scene, random: np.random.Generator, most: int = 3, *, attributes: bool = True
) -> Iterator[VqaQuestion]:
    """Ask for present and absent names in pairs; half of the absent ones resemble a present one."""
    present, absent = scene.present, scene.absent
    present = [name for name in present if name in scene.annotated]
    count = min(most, len(present), len(absent))
    for name in _some(present, count, random):
        words = wording("there", _phrase_name(name, random), random)
        yield VqaQuestion(words, "there", "yes", scene.layers[name], name)
    near = near_names(scene, set(absent))
    for name in _some(absent, count, random):
        if near and random.random() < 0.5:
            name = near[random.integers(len(near))]  # noqa: PLW2901
        yield VqaQuestion(
            wording("there", _phrase_name(name, random), random), "there", "no", None, name
        )
    for more in (ask_colored, ask_related) if attributes else ():
        found = more(scene, random)
        if found is not None:
            name = found.expression.removeprefix("the ")
            there = found.coverage.any()
            yield VqaQuestion(
                f"Is there a {name}?", "there", "yes" if there else "no",
                found.coverage if there else None, name,
            )  # fmt: skip


def ask_counts(
    scene: Scene, random: np.random.Generator, most: int = 3, *, absent_share: float = 0.4
) -> Iterator[VqaQuestion]:
    """Ask for counts of names whose things are all annotated one by one: crowds are left out."""
    counted = list(countable(scene))
    for name, count in (counted[i] for i in random.permutation(len(counted))[:most]):
        answer = COUNTS[min(count, len(COUNTS) - 1)]
        words = wording("count", _phrase_name(name, random, single=True), random)
        yield VqaQuestion(words, "count", answer, scene.layers[name], name)
    if counted and scene.absent and random.random() < absent_share:
        near = near_names(scene, set(scene.absent)) or scene.absent
        name = near[random.integers(len(near))]
        words = wording("count", _phrase_name(name, random, single=True), random)
        yield VqaQuestion(words, "count", COUNTS[0], None, name)


def countable(scene: Scene) -> Iterator[tuple[str, int]]:
    """Find the names whose things add up to all that is annotated of them, with their counts."""
    for name in scene.present:
        things = [thing for thing in scene.things if thing.name == name]
        if things and sum(t.share for t in things) >= 0.95 * scene.layers[name].mean():
            yield name, len(things)


def ask_colors(
    scene: Scene, random: np.random.Generator, most: int = 3, *, absent_share: float = 0.2
) -> Iterator[VqaQuestion]:
    """Ask for the color of names that have a single clear one."""
    choices = [
        (name, *right)
        for name, right, _ in color_choices(scene)
        if len(right) == 1 and name in scene.annotated
    ]
    for name, color in (choices[i] for i in random.permutation(len(choices))[:most]):
        words = wording("color", _phrase_name(name, random), random)
        yield VqaQuestion(words, "color", color, scene.layers[name], name)
    yield from _ask_absent("color", scene, random, absent_share)


def ask_places(
    scene: Scene, random: np.random.Generator, most: int = 3, *, absent_share: float = 0.2
) -> Iterator[VqaQuestion]:
    """Ask for the position of single things: left, right, top, bottom or middle, if it is clear."""
    single = {name for name, count in countable(scene) if count == 1}
    if not scene.things:
        single = set(scene.present) & scene.annotated
    placed = [(name, place) for name in sorted(single) if (place := place_of(scene.layers[name]))]
    for name, place in (placed[i] for i in random.permutation(len(placed))[:most]):
        words = wording("where", _phrase_name(name, random), random)
        yield VqaQuestion(words, "where", place, scene.layers[name], name)
    yield from _ask_absent("where", scene, random, absent_share)


def place_of(coverage: Float32[np.ndarray, "16 16"]) -> str | None:
    """Get the position of what is covered; None if no single word fits."""
    steps = (np.arange(16) + 0.5) / 16 - 0.5
    total = coverage.sum()
    down, right = float(coverage.sum(1) @ steps / total), float(coverage.sum(0) @ steps / total)
    long, short = max(abs(down), abs(right)), min(abs(down), abs(right))
    if long < _MIDDLE:
        return "middle"
    if long < _BESIDE_MIDDLE or long < _CLEARER * short:
        return None
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "bottom" if down > 0 else "top"


def ask_names(scene: Scene, random: np.random.Generator) -> Iterator[VqaQuestion]:
    """Ask for the largest things that are present, the largest first."""
    names = sorted(
        (name for name in scene.present if name in scene.annotated),
        key=lambda name: -float(scene.layers[name].mean()),
    )
    if names:
        yield VqaQuestion(wording("names", "", random), "names", ", ".join(names[:_LARGEST_FIRST]))
        yield VqaQuestion(wording("name", "", random), "name", names[0])


def _ask_absent(
    kind: str, scene: Scene, random: np.random.Generator, share: float
) -> Iterator[VqaQuestion]:
    if scene.absent and random.random() < share:
        name = scene.absent[random.integers(len(scene.absent))]
        words = wording(kind, _phrase_name(name, random), random)
        yield VqaQuestion(words, kind, NOT_THERE, None, name)


def _phrase_name(name: str, random: np.random.Generator, *, single: bool = False) -> str:
    """Draw the name or a synonym; to count, a synonym that is a plural is not used."""
    said = word(name, random).removeprefix("all of the ").removeprefix("the ")
    return name if single and said != name and said == plural(said) else said


def _some(names: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    return [names[i] for i in random.permutation(len(names))[:count]]


def move_scene(scene: Scene, *, flip: bool, zoom: float, shift: tuple[float, float]) -> Scene:
    """Mirror the scene, then make it smaller and shift it, as `move_maps` does."""
    names = list(scene.layers)
    covers = [*scene.layers.values(), *(thing.coverage for thing in scene.things)]
    if not covers:
        return scene
    stack = torch.from_numpy(np.stack(covers))[:, None]
    stack = stack.flip(3) if flip else stack
    count = len(stack)
    moved = move_maps(
        stack, zoom=torch.full((count,), zoom), shift=torch.tensor([shift]).expand(count, 2)
    )[:, 0].numpy()
    things = zip(scene.things, moved[len(names) :], strict=True)
    return replace(
        scene,
        layers=dict(zip(names, moved[: len(names)], strict=True)),
        things=tuple(replace(thing, coverage=coverage) for thing, coverage in things),
    )
