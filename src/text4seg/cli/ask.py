"""`text4seg ask`: answers questions about images in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._console import log, print_json, usage_errors
from text4seg.cli._image_arguments import QuestionKind, find_images, for_each_image, split_arguments
from text4seg.cli._model_options import ModelOption, load_segmenter
from text4seg.segmenter import Answer, check_question

KIND = QuestionKind("question", "-q", ("ask", "What is in the image?"))


def ask(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE... QUESTION",
            help="Images or folders of them, then the question. With -q, images only.",
            show_default=False,
        ),
    ],
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", "-q", help="A question; repeatable."),
    ] = None,
    model: ModelOption = "nano",
    max_tokens: Annotated[
        int, typer.Option(help="The longest answer, in the model's tokens.", min=1)
    ] = 64,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each image and question.")
    ] = False,
) -> None:
    """Ask a question about an image and print the answer.

    \b
    text4seg ask cat.jpg "Is there a cat in the image?"
    text4seg ask a.jpg b.jpg "How many dogs are there?"
    text4seg ask images/ -q "What is in the image?" -q "Where is the dog?" --json

    An image is encoded once for all its questions. nano answers simple ones: whether something is
    there, how many, of what color and where it is, and what is in the image. Images of a folder
    that cannot be read are skipped with a message, and the exit code is 1 at the end.
    """  # noqa: D301 - the sign tells click to leave the lines alone
    named, asked = split_arguments(arguments, questions or [], KIND)
    with usage_errors():
        for question in asked:
            check_question(question)
    images = find_images(named, KIND)
    segmenter = load_segmenter(model)
    several = len(images) * len(asked) > 1

    def report(image: Path, answers: list[Answer]) -> None:
        for answer in answers:
            _report(image, answer, several=several, as_json=as_json)

    for_each_image(
        images, lambda image: segmenter.ask_many(image, asked, max_tokens=max_tokens), report
    )


def _report(image: Path, answer: Answer, *, several: bool, as_json: bool) -> None:
    if answer.holds_mask:
        log(
            f"{image}: the answer to {answer.question!r} holds a mask; text4seg segment draws masks"
        )
    if not answer.finished:
        log(f"{image}: cut after {answer.tokens} tokens; --max-tokens allows more")
    if as_json:
        print_json({"image": str(image), **answer.to_record()})
    elif several:
        print(f"{image}: {answer.question} {answer.words}", flush=True)
    else:
        print(answer.words, flush=True)
