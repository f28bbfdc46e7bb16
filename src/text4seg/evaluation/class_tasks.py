"""Evaluate on data sets with classes: every name is asked of every image.

The tasks are `semantic` (mean IoU of classes) and `instances` (average precision).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from text4seg.core.errors import InputError
from text4seg.core.types import label_fault
from text4seg.data import CheckedDataset, Sample
from text4seg.evaluation.instance_scores import average_precision_of, score_instances
from text4seg.evaluation.journal import Journal, Share
from text4seg.evaluation.report import Table
from text4seg.evaluation.semantic_scores import score_semantics, sum_confusions
from text4seg.segmenter import Segmenter

ClassTask = Literal["semantic", "instances"]
CLASS_TASKS: tuple[ClassTask, ...] = get_args(ClassTask)


@dataclass(frozen=True, slots=True)
class ClassOptions:
    """The task and the names to ask for in every image.

    Attributes:
        task: `semantic` or `instances`.
        names: The names to ask for, each a legal label.
        together: So many names in one question (`semantic` only), for models that were trained on
            lists of names.
    """

    task: ClassTask
    names: tuple[str, ...]
    together: int = 1


@dataclass(frozen=True, slots=True)
class ClassReport:
    """The figures of a class task.

    Attributes:
        options: The task and the names.
        results: The result of each image by its number.
        run: What else was run, as the caller says it.
    """

    options: ClassOptions
    results: Mapping[int, Mapping[str, Any]]
    run: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The settings and the figures as plain values.

        Returns:
            The settings; for `semantic` mIoU, pixel accuracy and the IoU of each name, for
            `instances` COCO's AP and AR.

        Raises:
            InputError: The results are not those of these names.
        """
        names = self.options.names
        settings = {**self.run, **asdict(self.options), "names": list(names)}
        report = settings | {"images": len(self.results), "classes": len(names)}
        if self.options.task == "semantic":
            return report | sum_confusions(self.results.values(), names).to_json()
        return report | {"ap": average_precision_of(self.results, names)}

    def tables(self) -> list[Table]:
        """Give the figures as tables.

        Returns:
            The figures, and for `semantic` the IoU of each name.

        Raises:
            InputError: The results are not those of these names.
        """
        report = self.to_json()
        more = []
        if self.options.task == "semantic":
            figures = {"mIoU": report["miou"], "pixel accuracy": report["pixel_accuracy"]}
            figures["pixels that got no name"] = report["none_of_them"]
            ious = tuple((name, _shown(value)) for name, value in report["ious"].items())
            more = [Table("IoU of each name", ("name", "IoU"), ious)]
        else:
            figures = report["ap"]
        rows = [("images", str(report["images"])), ("names", str(report["classes"]))]
        rows += [(name, _shown(value)) for name, value in figures.items()]
        return [Table("Figures", ("", ""), tuple(rows)), *more]


def class_names(dataset: CheckedDataset, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names of a data set to ask for.

    Args:
        dataset: A data set with classes.
        wanted: Only these; None takes all that can be a label.

    Returns:
        The names, each once.

    Raises:
        InputError: The data set has no classes, or not one that is wanted.
    """
    known = [name for name in dataset.classes if not label_fault(name)]
    if not known:
        raise InputError(
            "the tasks semantic and instances need a data set with classes, as the layouts coco, "
            "panoptic and their like have them"
        )
    unknown = [name for name in wanted or () if name not in known]
    if unknown:
        raise InputError(f"the data set has no class {unknown[0]!r}; it has {', '.join(known)}")
    return tuple(dict.fromkeys(wanted or known))


def evaluate_classes(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    *,
    options: ClassOptions,
    journal: Journal[dict[str, Any]] | None = None,
    on_image: Callable[[], None] | None = None,
) -> ClassReport:
    """Ask for every name in every image.

    Args:
        segmenter: The segmenter to measure.
        samples: Images of a data set with classes.
        options: The task and the names.
        journal: Keeps every image's result as soon as it is there; what it has is not asked again,
            and only its share of the images is asked.
        on_image: Called after every image, also of those that the journal had.

    Returns:
        The report; of several processes, with the results of this one.

    Raises:
        InputError: An image or a mask is broken.
    """
    names = options.names
    share = Share() if journal is None else journal.share
    results: dict[int, dict[str, Any]] = {}
    for number, sample in enumerate(samples):
        if not share.takes(number):
            continue
        if journal is not None and number in journal.done:
            results[number] = journal.done[number]
        else:
            if options.task == "semantic":
                result = score_semantics(segmenter, sample, names, together=options.together)
            else:
                result = score_instances(segmenter, sample, names)
            results[number] = result
            if journal is not None:
                journal.append({number: result})
        if on_image is not None:
            on_image()
    return ClassReport(options, results)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
