"""Plain twins of the figures: sets of pixels and loops, no array and none of the package's code."""

from __future__ import annotations

from collections.abc import Sequence

Mask = frozenset[tuple[int, int]]
Pairs = Sequence[tuple[Mask, Mask]]


def ious(pairs: Pairs) -> list[float]:
    values = []
    for predicted, target in pairs:
        if not predicted and not target:
            values.append(1.0)
        else:
            values.append(len(predicted & target) / len(predicted | target))
    return values


def emptied(pairs: Pairs, below: int) -> list[tuple[Mask, Mask]]:
    return [(frozenset() if len(p) < below else p, t) for p, t in pairs]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def ciou(pairs: Pairs) -> float:
    return sum(len(p & t) for p, t in pairs) / sum(len(p | t) for p, t in pairs)


def giou(pairs: Pairs) -> float:
    total = 0.0
    for predicted, target in pairs:
        if not target:
            total += 0.0 if predicted else 1.0
        elif predicted:
            total += len(predicted & target) / len(predicted | target)
    return total / len(pairs)


def n_acc(pairs: Pairs) -> float:
    return mean([1.0 if not p else 0.0 for p, t in pairs if not t])


def t_acc(pairs: Pairs) -> float:
    return mean([1.0 if p else 0.0 for p, t in pairs if t])


def box(mask: Mask) -> tuple[int, int, int, int] | None:
    if not mask:
        return None
    rows, cols = [row for row, _ in mask], [col for _, col in mask]
    return min(cols), min(rows), max(cols) + 1, max(rows) + 1


def class_ious(truths: list[list[int]], answers: list[list[int]], classes: int) -> list[float]:
    """IoU of each class over flat label maps; 255 in the truth is void; nan where unseen."""
    values = []
    for index in range(classes):
        both = either = 0
        for truth, answer in zip(truths, answers, strict=True):
            for true, said in zip(truth, answer, strict=True):
                if true != 255:
                    both += true == index and said == index
                    either += index in (true, said)
        values.append(both / either if either else float("nan"))
    return values


def boundary_f(predicted: list[list[bool]], target: list[list[bool]], radius: int) -> float:
    ours, theirs = outline(predicted), outline(target)
    if not ours or not theirs:
        return float(bool(ours) == bool(theirs))

    def near(some: set[tuple[int, int]], others: set[tuple[int, int]]) -> float:
        hits = sum(
            any((y - v) ** 2 + (x - u) ** 2 <= radius * radius for v, u in others) for y, x in some
        )
        return hits / len(some)

    precision, recall = near(ours, theirs), near(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: list[list[bool]]) -> set[tuple[int, int]]:
    height, width = len(mask), len(mask[0])
    found = set()
    for y in range(height):
        for x in range(width):
            below, beside = min(y + 1, height - 1), min(x + 1, width - 1)
            if {mask[y][beside], mask[below][x], mask[below][beside]} != {mask[y][x]}:
                found.add((y, x))
    return found
