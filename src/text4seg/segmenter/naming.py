"""Several names in one question: the model writes one grid with a label of each that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from text4seg import prompts
from text4seg.codec.answer import find_body
from text4seg.core.types import DescriptorGrid
from text4seg.decoding import compile_mask_grammar, decode, make_drafter
from text4seg.segmenter.generation import WritingSession
from text4seg.segmenter.segmenter import Segmenter, check_expression

if TYPE_CHECKING:
    from PIL.Image import Image


def name_cells(segmenter: Segmenter, image: Image, names: Sequence[str]) -> DescriptorGrid:
    """Ask for several names at once; each cell has one of them or `others`.

    For models that were trained on lists of names, as `text4seg build data` makes them; nano takes
    one name a question.

    Raises:
        LabelError: A name cannot be a label.
        DecodingError, GrammarError: The model cannot write this mask.
    """
    for name in names:
        check_expression(name)
    writer, form, shape = segmenter.writer, segmenter.format, segmenter.shape
    session = segmenter.chat.open(image)
    question = prompts.several(names, grid=writer.named_grid(session))
    if isinstance(session, WritingSession):
        grammar = form.grammar(shape, names, "gbnf")
        said = session.write(question, prompts.ANSWER_PREFIX, grammar=grammar)
        return form.salvage(find_body(said), shape, names).grid
    asked = session.ask(question, prompts.ANSWER_PREFIX, grid=(shape.rows, shape.cols))
    vocabulary = writer.vocabulary_of(asked.vocabulary)
    decoded = decode(
        asked.step,
        asked.first_logits,
        vocabulary,
        compile_mask_grammar(form, shape, names, vocabulary),
        draft=make_drafter("row", shape),
        bias=asked.bias,
        room=asked.room,
    )
    return form.decode(vocabulary.decode(decoded.tokens).decode(), shape, names)
