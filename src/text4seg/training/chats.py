"""A recipe's data as chats about images: what every trainer learns from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg import prompts
from text4seg.core.errors import InputError
from text4seg.core.types import GridShape
from text4seg.data import Sample, Selection, read_dataset, read_jsonl
from text4seg.data.arrow_rows import open_arrow_rows
from text4seg.data.targets import TargetEncoder
from text4seg.images import check_image, open_image
from text4seg.training.recipe import DataSection

if TYPE_CHECKING:
    from PIL.Image import Image

Messages = tuple[Mapping[str, Any], ...]
_QUESTIONS = "jsonl"  # the layout whose files may hold chats as well
_PARQUET = ".parquet"
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat about one image.

    Attributes:
        image: The image's file, or its name where `content` has its bytes.
        messages: `{"role", "content"}`; the content is a list of `{"type": "image"}` and
            `{"type": "text", "text"}`. The first question holds the image's place.
        source: File and line, for messages.
        expression: What is asked for, where it is known apart from its wording.
        content: The bytes of an image that is no file of its own.
    """

    image: Path
    messages: Messages
    source: str
    expression: str = ""
    content: bytes | None = None

    def open_image(self) -> Image:
        """Open the image as upright RGB; raises `InputError`."""
        return open_image(self.image, content=self.content)

    @property
    def answers(self) -> list[str]:
        """The assistant's texts, turn by turn."""
        return [text_of(m) for m in self.messages if m["role"] == "assistant"]


def text_of(message: Mapping[str, Any]) -> str:
    """Get the text of a message without its images."""
    return "".join(part.get("text", "") for part in message["content"])


def read_chats(path: str | Path, data: DataSection) -> list[Chat]:
    """Read what a recipe learns from.

    A JSON Lines file holds questions or chats, as its first line tells; Parquet files hold chats;
    any other layout holds images with masks.

    Args:
        path: The data of the recipe.
        data: How it is laid out, and what is taught.

    Returns:
        The chats, without those about held-out images.

    Raises:
        InputError: The file, a line or an image cannot be used; file and line are named.
    """
    if data.layout == _QUESTIONS and _holds_chats(Path(path)):
        # Chats have no masks to score by, so they cannot be asked as a validation.
        if data.hold_out:
            raise InputError(
                f"{path} holds chats; data.hold_out takes images out of questions: give "
                "data.validation instead"
            )
        chats = _read_written(Path(path), Path(data.images))
    else:
        chats = chats_of(split_samples(read_samples(path, data), data.hold_out)[0], data)
    if not chats:
        raise InputError(f"{path} holds no sample to learn from")
    return chats[: data.limit or None]


def read_validation(data: DataSection) -> list[Sample]:
    """Read the questions of a recipe's validation.

    Args:
        data: The recipe's data.

    Returns:
        Images with their questions; none where the recipe has no validation.

    Raises:
        InputError: The file cannot be used, or too few images are held out.
    """
    if data.validation:
        return read_samples(data.validation, data)
    if data.hold_out:
        held = split_samples(read_samples(data.train, data), data.hold_out)[1]
        if not held:
            raise InputError(
                f"data.hold_out={data.hold_out} holds back none of the images of {data.train}: "
                "take more"
            )
        return held
    return []


def read_samples(path: str | Path, data: DataSection) -> list[Sample]:
    """Read images with questions, of the recipe's layout; the first fault raises `InputError`."""
    if data.layout == _QUESTIONS:
        return read_jsonl(path, data.images)
    # The default would be the working directory; a layout knows its own place.
    images = None if data.images == "." else data.images
    return list(read_dataset(data.layout, path, images=images, selection=Selection(strict=True)))


def split_samples(samples: Sequence[Sample], share: float) -> tuple[list[Sample], list[Sample]]:
    """Split samples into those to learn from and those held out.

    Held out are the images whose names' hashes come first, so an image does not change sides when
    others are added or removed, but for the last few.

    Args:
        samples: The samples.
        share: Share of the images to hold out.

    Returns:
        Samples to learn from, and held-out samples.
    """
    if not share:
        return list(samples), []
    held = first_names({sample.image.name for sample in samples}, share)
    kept = [sample for sample in samples if sample.image.name not in held]
    return kept, [sample for sample in samples if sample.image.name in held]


def first_names(names: Collection[str], share: float) -> set[str]:
    """Get the share of some names whose hashes come first."""
    # Hashes, not a seed: the split depends on nothing but the names.
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(ordered[: round(share * len(ordered))])


def chats_of(samples: Sequence[Sample], data: DataSection) -> list[Chat]:
    """Make a chat of each question, with its mask in the recipe's format and grid."""
    encoder = TargetEncoder(data.format, GridShape.parse(data.grid))
    chats: list[Chat] = []
    for sample in samples:
        for target in sample.targets:
            # In turns, not at random: the same data gives the same chats.
            index = len(chats) if data.wordings == "varied" else 0
            wording = prompts.question(target.expression, index=index, grid=encoder.grid)
            masks = [] if target.mask is None else [(target.expression, target.mask.to_mask())]
            turns = one_turn(wording, prompts.answer(encoder.encode(masks)))
            found = Chat(sample.image, turns, target.source, target.expression, sample.content)
            chats.append(found)
    return chats


def one_turn(question: str, answer: str) -> Messages:
    """Write one question about an image and its answer as messages."""
    image, asked = {"type": "image"}, {"type": "text", "text": question}
    return (
        {"role": "user", "content": [image, asked]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    )


def _holds_chats(path: Path) -> bool:
    if path.suffix == _PARQUET:
        return True
    try:
        # Files from Windows begin with a byte-order mark, which utf-8-sig skips.
        with path.open(encoding="utf-8-sig") as lines:
            first = next((line for line in lines if line.strip()), "{}")
        return "messages" in json.loads(first)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, TypeError):
        return False  # read_jsonl says what is wrong


def _read_written(path: Path, images: Path) -> list[Chat]:
    chats = []
    checked: set[Path] = set()  # many chats are about the same image
    for source, record in _records(path):
        try:
            chat = _parse(json.loads(record) if isinstance(record, str) else record, images, source)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{source} is no chat of a trainer: {error!r}") from error
        # A broken image is found now, not after hours of training.
        if chat.content is not None:
            check_image(chat.image, content=chat.content)
        elif chat.image not in checked:
            check_image(chat.image)
            checked.add(chat.image)
        chats.append(chat)
    return chats


def _records(path: Path) -> Iterator[tuple[str, str | dict[str, Any]]]:
    """Chats of JSON lines, still text, or of a Parquet file; each with its place."""
    if path.suffix == _PARQUET:
        if not path.is_file():
            raise InputError(f"{path} cannot be read: there is no such file")
        rows = open_arrow_rows(path, None)
        if "messages" not in rows.columns:
            raise InputError(
                f"{path} has the columns {', '.join(rows.columns)}, and no chats (messages, "
                "images): --set data.layout=hugging-face reads columns of image, mask and text"
            )
        yield from ((rows.place(index), rows.row(index)) for index in range(len(rows)))
        return
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{path}, line {number}", line


def _parse(record: Mapping[str, Any], images: Path, source: str) -> Chat:
    listed = record["images"]
    if len(listed) != 1:
        raise InputError(f"{source}: a sample is about one image, got {len(listed)}")
    image: Any = listed[0]
    content: bytes | None = None
    if isinstance(image, dict):
        content, image = image.get("bytes"), image.get("path")
        if content is not None and not image:
            image = hashlib.sha256(content).hexdigest()  # an image without a name
    if not isinstance(image, str):
        raise InputError(f"{source}: the image must be a path, got {type(image).__name__}")
    messages = tuple(_message(message, source) for message in record["messages"])
    if not messages or messages[-1]["role"] != "assistant":
        raise InputError(f"{source}: the last message must be an answer of the assistant")
    # Where the image's tokens go must be unambiguous.
    places = sum(part["type"] == "image" for m in messages for part in m["content"])
    if places != 1:
        raise InputError(f"{source}: the messages hold {places} places for the one image")
    return Chat(images / image, messages, source, content=content)


def _message(message: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    role, content = message["role"], message["content"]
    if role not in _ROLES:
        raise InputError(f"{source}: the role {role!r} is none of {', '.join(_ROLES)}")
    # Content is a text with <image> in it (LLaVA's way), or a list of parts (transformers' way).
    parts: list[dict[str, Any]]
    if isinstance(content, str):
        before, mark, after = content.partition("<image>")
        parts = [{"type": "text", "text": before}] if before else []
        parts += [{"type": "image"}] if mark else []
        parts += [{"type": "text", "text": after.lstrip("\n") if mark else after}] if after else []
    else:
        parts = [
            {"type": "image"} if part["type"] == "image" else
            {"type": "text", "text": str(part["text"])}
            for part in content
        ]  # fmt: skip
    return {"role": role, "content": parts}
