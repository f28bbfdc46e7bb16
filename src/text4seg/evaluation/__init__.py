"""Evaluation: a segmenter, or the predictions of any model, against ground truth.

- `evaluate`, `score`: measure a segmenter, or predictions from files; both return a `Report`
- `evaluate_classes`: semantic segmentation and instances, by names
- `compare_runs`: is one of two runs better beyond chance?
- `GroundTruth`, `Prediction`, `ScoreRecord`: what is compared, made once and carried
- `summarize`: records to figures
- `page`: the report as one HTML page; `journal`: long runs that survive being killed
"""

from __future__ import annotations

from text4seg.evaluation.class_tasks import ClassOptions, ClassReport, evaluate_classes
from text4seg.evaluation.compare import compare_runs
from text4seg.evaluation.ground_truth import GroundTruth
from text4seg.evaluation.predictions import TextReader
from text4seg.evaluation.records import Prediction, ScoreRecord
from text4seg.evaluation.report import EvaluationOptions, Report
from text4seg.evaluation.run import evaluate
from text4seg.evaluation.scoring import score, score_prediction
from text4seg.evaluation.summary import Summary, summarize

__all__ = [
    "ClassOptions",
    "ClassReport",
    "EvaluationOptions",
    "GroundTruth",
    "Prediction",
    "Report",
    "ScoreRecord",
    "Summary",
    "TextReader",
    "compare_runs",
    "evaluate",
    "evaluate_classes",
    "score",
    "score_prediction",
    "summarize",
]
