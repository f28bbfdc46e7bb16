"""Arguments of `segment` and `ask`: images or folders, and expressions or questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from text4seg.cli._console import UsageError, log, one_line, progress
from text4seg.core.errors import InputError
from text4seg.images import IMAGE_ENDINGS, check_image, images_in

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class QuestionKind(NamedTuple):
    """How a verb names what it asks: "expression", "-e", and an example for messages."""

    what: str
    option: str
    example: tuple[str, str]


def split_arguments(
    arguments: list[str], asked: list[str], asking: QuestionKind
) -> tuple[list[Path], list[str]]:
    """Split the arguments of a call; without the option, the question is the last argument.

    Args:
        arguments: The positional arguments.
        asked: The values of the option.
        asking: How the verb names them.

    Returns:
        The images and the questions, each without repetitions.

    Raises:
        UsageError: One of the two is missing.
    """
    images = arguments if asked else arguments[:-1]
    if not images:
        verb, words = asking.example
        raise UsageError(
            f"an image or the {asking.what} is missing: write the {asking.what} last, as in "
            f'text4seg {verb} {arguments[-1] if arguments else "image.jpg"} "{words}"'
        )
    asked = asked or arguments[-1:]
    return [Path(image) for image in dict.fromkeys(images)], list(dict.fromkeys(asked))


def find_images(arguments: list[Path], asking: QuestionKind) -> dict[Path, bool]:
    """Find the images of a call.

    Named images are opened at once, so that a wrong name is reported before a model is loaded. Of a
    folder, every file with an image's ending is taken, in the order of the names.

    Args:
        arguments: Images and folders.
        asking: How the verb names what it asks.

    Returns:
        The images in order, and of each whether it was found in a folder.

    Raises:
        InputError: A named image cannot be read, or a folder has no image in it.
    """
    images: dict[Path, bool] = {}
    for path in arguments:
        if not path.is_dir():
            if not path.suffix and not path.exists():
                raise InputError(
                    f"there is no file {path}; if it is a second {asking.what}, "
                    f"write each with {asking.option}"
                )
            check_image(path)
            images[path] = False
            continue
        found = images_in(path)
        if not found:
            raise InputError(
                f"the folder {path} has no image in it: a name that ends in "
                f"{', '.join(IMAGE_ENDINGS)}"
            )
        for file in found:
            images.setdefault(file, True)
    return images


def for_each_image(
    images: dict[Path, bool], answer: Callable[[Path], T], report: Callable[[Path, T], None]
) -> None:
    """Answer about each image and report the answers at once.

    Args:
        images: As `find_images` returns them.
        answer: Computes the answers about an image.
        report: Prints them.

    Raises:
        InputError: A named image cannot be read; or, at the end, images of a folder were skipped.
    """
    skipped = 0
    for number, (image, found) in enumerate(images.items(), start=1):
        try:
            with progress(f"image {number} of {len(images)}"):
                answers = answer(image)
        except InputError as error:
            if not found:
                raise
            log(f"skipped: {one_line(error)}")
            skipped += 1
            continue
        report(image, answers)
    if skipped:
        raise InputError(f"{skipped} of {len(images)} images could not be read; see above")
