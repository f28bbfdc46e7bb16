"""Visual questions, one `{"image", "question", "answers"}` a line; what lmms-eval calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten".split()  # noqa: SIM905
    )
} | {"none": "0"}


def doc_to_visual(doc: Mapping[str, Any]) -> list[Image.Image]:
    """The image of a question; raises `InputError`."""
    from text4seg.images import open_image

    return [open_image(doc["image"])]


def doc_to_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Any = None) -> str:
    """The question in its frame."""
    frame = lmms_eval_specific_kwargs or {}
    return f"{frame.get('pre_prompt', '')}{doc['question']}{frame.get('post_prompt', '')}"


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The score of one answer under the name of its metric."""
    return {"vqa_accuracy": vqa_accuracy(results[0], doc["answers"])}


def vqa_accuracy(answer: str, answers: Sequence[str]) -> float:
    """VQA accuracy: the mean over people left out of min(1, agreeing others / 3).

    Antol et al., VQA, ICCV 2015, §5. With fewer than four answers, whether it is one of them.
    """
    given, true = normalized(answer), [normalized(one) for one in answers]
    if len(true) < 4:
        return float(given in true)
    agreeing = true.count(given)
    scores = [min(1.0, (agreeing - (one == given)) / 3) for one in true]
    return sum(scores) / len(scores)


def normalized(text: str) -> str:
    """Lower case, no articles, no punctuation but in numbers, number words as digits."""
    plain = re.sub(r"(?<!\d)[.,](?!\d)|[.,](?!\d)|[^\w\s.,']", " ", text.lower())
    words = _ARTICLES.sub(" ", plain).split()
    return " ".join(_NUMBERS.get(word, word) for word in words)
