r"""The body of a mask inside an answer: `…:\n<seg>` + body + `</seg>`.

Both marks are plain text; no vocabulary is added to the model.
"""

from __future__ import annotations

from text4seg.core.errors import MaskSyntaxError

SEG_OPEN = "<seg>"
SEG_CLOSE = "</seg>"
_FENCE = "```"


def wrap(body: str) -> str:
    """Put a body between its marks."""
    return SEG_OPEN + body + SEG_CLOSE


def body_of(text: str) -> str:
    """The body of an answer that holds exactly one block, at its end.

    Raises `MaskSyntaxError` where a mark is missing, doubled or followed by anything.
    """
    opened = text.find(SEG_OPEN)
    if opened < 0:
        raise MaskSyntaxError(text, len(text), f"{SEG_OPEN!r} before the mask")
    start = opened + len(SEG_OPEN)
    closed = text.find(SEG_CLOSE, start)
    if closed < 0:
        raise MaskSyntaxError(text, len(text), f"{SEG_CLOSE!r} after the mask")
    again = text.find(SEG_OPEN, start, closed)
    if again >= 0:
        raise MaskSyntaxError(text, again, f"one {SEG_OPEN!r}")
    end = closed + len(SEG_CLOSE)
    if end != len(text):
        raise MaskSyntaxError(text, end, f"the end of the text after {SEG_CLOSE!r}")
    return text[start:closed]


def find_body(text: str) -> str:
    """The body of whatever a model wrote; never raises, linear in the text.

    Of several blocks the last complete one counts; without a complete one, what follows the last
    `<seg>`, or stands before the first `</seg>`, or the whole text. A beginning of `</seg>` at a
    cut end is dropped. In the body, a Markdown fence leaves only what stands inside it.
    """
    return _unfenced(_block(text))


def _block(text: str) -> str:
    closed = text.rfind(SEG_CLOSE)
    while closed >= 0:
        opened = text.rfind(SEG_OPEN, 0, closed)
        if opened >= 0:
            # Several closing marks after one opening mark: the first of them ends the block.
            first = text.find(SEG_CLOSE, opened)
            return text[opened + len(SEG_OPEN) : first]
        if SEG_OPEN in text:
            break
        return text[: text.find(SEG_CLOSE)]
    body = text[text.rfind(SEG_OPEN) + len(SEG_OPEN) :] if SEG_OPEN in text else text
    for length in range(len(SEG_CLOSE) - 1, 0, -1):
        if body.endswith(SEG_CLOSE[:length]):
            return body[:-length]
    return body


def _unfenced(body: str) -> str:
    start = 0 if body.startswith(_FENCE) else body.find("\n" + _FENCE) + 1
    if not body.startswith(_FENCE, start):
        return body
    inside = body.find("\n", start) + 1
    if inside == 0:
        return body
    end = body.find("\n" + _FENCE, inside - 1)
    return body[inside:] if end < 0 else body[inside : end + 1]
