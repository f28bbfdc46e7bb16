"""Questions with attributes: the color of a thing, or its relation to another thing.

Some have a wrong attribute ("the green dress" of a red one); their target is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from projects.nano.scenes import SMALLEST_SHARE, Scene, Thing
from text4seg.models.nano.encoders.colors import clear_color, wrong_colors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float32

WRONG_SHARE = 0.4
"""Share of the questions whose attribute is wrong."""

# Distance of the centers along an axis, in cells, from which a thing is on that side of another
# one, and up to which it is not. In between it is ambiguous, and nothing is asked.
_CLEARLY, _CLEARLY_NOT = 1.5, 0.0
_UNCOLORED = frozenset({"person", "skin", "hair", "orange"})
# Relations: the axis, the sign on it, wordings.
_RELATIONS = {
    "left": (1, -1, ("{} to the left of the {}", "{} left of the {}")),
    "right": (1, 1, ("{} to the right of the {}", "{} right of the {}")),
    "above": (0, -1, ("{} above the {}", "{} over the {}")),
    "below": (0, 1, ("{} below the {}", "{} under the {}")),
}
_MOST_OF_A_KIND = 6


@dataclass(frozen=True, slots=True)
class SyntheticQuestion:
    """A question made from annotations.

    Attributes:
        expression: What it asks for.
        coverage: Share of each cell that the target covers; zeros if it is absent.
        kind: How it was made, such as `name` or `related`.
    """

    expression: str
    coverage: Float32[np.ndarray, "16 16"]
    kind: str


def center(thing: Thing) -> tuple[float, float]:
    """Get the center of a thing as row and column, in cells."""
    weight = thing.coverage.sum()
    steps = np.arange(16) + 0.5
    return (
        float(thing.coverage.sum(1) @ steps / weight),
        float(thing.coverage.sum(0) @ steps / weight),
    )


def ask_colored(scene: Scene, random: np.random.Generator) -> SyntheticQuestion | None:
    """Ask for a color, as in `the red dress`; None if nothing in the scene has a clear one."""
    choices = list(color_choices(scene))
    if not choices:
        return None
    name, right, wrong = choices[random.integers(len(choices))]
    if wrong and random.random() < WRONG_SHARE:
        color = wrong[random.integers(len(wrong))]
        return SyntheticQuestion(
            f"the {color} {name}", np.zeros((16, 16), np.float32), "wrong color"
        )
    color = str(random.choice(sorted(right)))
    return SyntheticQuestion(f"the {color} {name}", right[color], "colored")


def color_choices(
    scene: Scene,
) -> Iterator[tuple[str, dict[str, Float32[np.ndarray, "16 16"]], list[str]]]:
    """Find the names whose things all have clear colors.

    Args:
        scene: The image with its masks.

    Yields:
        A name, the coverage of its things by color, and colors that none of them has.
    """
    for name, layer in scene.layers.items():
        if name in _UNCOLORED or layer.mean() < 2 * SMALLEST_SHARE:
            continue
        things = [thing for thing in scene.things if thing.name == name]
        if things:
            if sum(thing.share for thing in things) < 0.95 * layer.mean():
                continue  # a crowd besides
            parts = [(thing.coverage, thing.shades) for thing in things]
        else:
            parts = [(layer, scene.shades.get(name))]
        right: dict[str, Float32[np.ndarray, "16 16"]] = {}
        wrong: set[str] | None = None
        for coverage, shades in parts:
            color = clear_color(shades) if shades is not None else None
            if shades is None or color is None:
                break
            right[color] = np.maximum(right.get(color, 0.0), coverage)
            others = set(wrong_colors(shades))
            wrong = others if wrong is None else wrong & others
        else:
            yield name, right, sorted(wrong or ())


def ask_related(scene: Scene, random: np.random.Generator) -> SyntheticQuestion | None:
    """Ask for a relation, as in `the cup left of the lamp`; None if there is no clear one."""
    choices = list(related_choices(scene))
    if not choices:
        return None
    wrong = [choice for choice in choices if not choice[3]]
    right = [choice for choice in choices if choice[3]]
    pool = wrong if not right or (wrong and random.random() < WRONG_SHARE / 2) else right
    name, relation, landmark, chosen = pool[random.integers(len(pool))]
    coverage = _cover(chosen)
    wordings = _RELATIONS[relation][2]
    words = wordings[random.integers(len(wordings))].format(name, landmark)
    return SyntheticQuestion(f"the {words}", coverage, "related")


def _cover(things: Sequence[Thing]) -> Float32[np.ndarray, "16 16"]:
    nothing = np.zeros((16, 16), np.float32)
    return np.maximum.reduce([nothing, *(thing.coverage for thing in things)])


def related_choices(scene: Scene) -> Iterator[tuple[str, str, str, list[Thing]]]:
    """Find the relations of things to a single thing of another name.

    Args:
        scene: The image with its masks.

    Yields:
        A name, a relation, the landmark's name, and the things of the name in that relation, which
        may be none.
    """
    groups: dict[str, list[Thing]] = {}
    for thing in scene.things:
        groups.setdefault(thing.name, []).append(thing)
    whole = {
        name: things
        for name, things in groups.items()
        if all(thing.share >= SMALLEST_SHARE / 2 for thing in things)
        and sum(thing.share for thing in things) > 0.95 * scene.layers[name].mean()
    }
    for landmark, marks in whole.items():
        if len(marks) != 1 or marks[0].share < SMALLEST_SHARE:
            continue
        mark = np.array(center(marks[0]))
        for name, things in whole.items():
            if name == landmark or len(things) > _MOST_OF_A_KIND:
                continue
            away = np.array([center(thing) for thing in things]) - mark
            for relation, (axis, sign, _) in _RELATIONS.items():
                along = away[:, axis] * sign
                inside = along >= _CLEARLY
                if not (inside | (along <= _CLEARLY_NOT)).all():
                    continue
                chosen = [t for t, there in zip(things, inside, strict=True) if there]
                if not chosen or _cover(chosen).mean() >= SMALLEST_SHARE:
                    yield name, relation, landmark, chosen
