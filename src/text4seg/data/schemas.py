"""Records of conversations as trainers read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from text4seg.core.errors import UnknownNameError
from text4seg.data.conversations import Conversation

Record = dict[str, Any]
_Build = Callable[[Conversation, str, Any], Record]


def _messages(conversation: Conversation, identity: str, image: Any) -> Record:
    """TRL and transformers: texts, and the picture in a column of its own."""
    del identity
    turns = conversation.turns
    messages = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in (("user", turn.question), ("assistant", turn.answer))
    ]
    return {"messages": messages, "images": [image]}


def _swift(conversation: Conversation, identity: str, image: Any) -> Record:
    """ms-swift: the same, the place of the picture marked in the first question."""
    record = _messages(conversation, identity, image)
    record["messages"][0]["content"] = f"<image>{record['messages'][0]['content']}"
    return record


def _sharegpt(conversation: Conversation, identity: str, image: Any) -> Record:
    """LLaMA-Factory's ShareGPT."""
    del identity
    return {"conversations": _turns(conversation, "<image>"), "images": [image]}


def _llava(conversation: Conversation, identity: str, image: Any) -> Record:
    """LLaVA: one picture, and the mark on a line of its own."""
    return {"id": identity, "image": image, "conversations": _turns(conversation, "<image>\n")}


def _turns(conversation: Conversation, mark: str) -> list[dict[str, str]]:
    turns = [
        {"from": speaker, "value": text}
        for turn in conversation.turns
        for speaker, text in (("human", turn.question), ("gpt", turn.answer))
    ]
    turns[0]["value"] = mark + turns[0]["value"]
    return turns


SCHEMAS: Mapping[str, _Build] = MappingProxyType(
    {"trl": _messages, "ms-swift": _swift, "llama-factory": _sharegpt, "llava": _llava}
)
"""For each trainer the function that makes a record of a conversation, an id and an image."""


def get_schema(name: str) -> _Build:
    """Get the function that makes a trainer's records; raises `UnknownNameError`."""
    if name not in SCHEMAS:
        raise UnknownNameError("schema", name, SCHEMAS)
    return SCHEMAS[name]


def turns_of(record: Record) -> list[tuple[str, str]]:
    """Get the questions and answers of a record of any schema."""
    if "messages" in record:
        texts = [str(one["content"]) for one in record["messages"]]
    else:
        texts = [str(one["value"]) for one in record["conversations"]]
    texts = [text.removeprefix("<image>").removeprefix("\n") for text in texts]
    return list(zip(texts[0::2], texts[1::2], strict=True))


def image_of_record(record: Record) -> Any:
    """Get the image of a record of any schema: a path, or `{"bytes", "path"}`."""
    return record["images"][0] if "images" in record else record["image"]
