"""Ask a segmenter for every target of a data set and compare its answers with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from text4seg.core.errors import InputError
from text4seg.core.types import Size
from text4seg.data import Sample
from text4seg.evaluation.ground_truth import IndexedSample, index_samples
from text4seg.evaluation.journal import Journal, Share
from text4seg.evaluation.records import Prediction, ScoreRecord
from text4seg.evaluation.report import EvaluationOptions, Report
from text4seg.evaluation.scoring import score_prediction
from text4seg.segmenter import Segmenter


def evaluate(
    segmenter: Segmenter,
    dataset: Iterable[Sample],
    *,
    options: EvaluationOptions | None = None,
    journal: Journal[ScoreRecord] | None = None,
    on_record: Callable[[ScoreRecord], None] | None = None,
) -> Report:
    """Measure a segmenter on a data set; each image is encoded once for all its targets.

    Args:
        segmenter: The segmenter to measure.
        dataset: Images with their referring targets, as `read_dataset` yields them.
        options: The task, and what is measured and asked; by default everything, as `res`.
        journal: Keeps every image's records as soon as they are there; what it has is not asked
            again, and only its share of the images is asked.
        on_record: Called with every record, also with those that the journal had.

    Returns:
        The report; of several processes, with the records of this one.

    Raises:
        InputError: An image turns out to be broken, or the journal is that of other data.
    """
    options = options or EvaluationOptions()
    share = Share() if journal is None else journal.share
    records: list[ScoreRecord] = []
    indexed = index_samples(dataset, root=options.root, limit=options.limit)
    for number, sample in enumerate(indexed):
        if not share.takes(number):
            continue
        new = None if journal is None else _known(sample, journal)
        if new is None:
            new = _ask(segmenter, sample, boundary=options.boundary)
            if journal is not None:
                journal.append({record.truth.index: record for record in new})
        records += new
        if on_record is not None:
            for record in new:
                on_record(record)
    run = {"grid": str(segmenter.shape), "format": segmenter.format.name}
    return Report(records, options, run)


def _known(sample: IndexedSample, journal: Journal[ScoreRecord]) -> list[ScoreRecord] | None:
    """The records of an image that a journal has; None unless it has all of them."""
    records = []
    for index, target in enumerate(sample.sample.targets, start=sample.first):
        record = journal.done.get(index)
        if record is None:
            return None
        if (record.truth.image, record.truth.expression) != (sample.image, target.expression):
            raise InputError(
                f"{journal.folder} has {record.truth} as target {index}, and the data set "
                f"{target.expression!r} of {sample.image}: the data have changed since the run "
                "was begun"
            )
        records.append(record)
    return records


def _ask(segmenter: Segmenter, indexed: IndexedSample, *, boundary: bool) -> list[ScoreRecord]:
    targets = indexed.sample.targets
    image = indexed.sample.open_image()
    size = Size(image.height, image.width)
    for target in targets:
        if target.mask is not None and target.mask.size != size:
            raise InputError(
                f"{target.source}: the mask is {target.mask.size} and the image {size}"
            )
    answers = segmenter.segment_many(image, [target.expression for target in targets])
    return [
        score_prediction(truth, Prediction.of(answer), boundary=boundary)
        for truth, answer in zip(indexed.truths(), answers, strict=True)
    ]
