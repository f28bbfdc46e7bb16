"""Several names in one question: the model writes one grid with a label for each that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from text4seg import prompts
from text4seg.codec.answer import find_body
from text4seg.core.types import DescriptorGrid
from text4seg.decoding import DecodingOptions, DecodingTask, compile_mask_grammar, decode
from text4seg.segmenter.generation import MAX_NEW_TOKENS
from text4seg.segmenter.segmenter import Segmenter, check_expression

if TYPE_CHECKING:
    from PIL.Image import Image


def name_cells(segmenter: Segmenter, image: Image, names: Sequence[str]) -> DescriptorGrid:
    """Ask for several names at once; each cell has one of them or `others`.

    For models that were trained on lists of names, as `text4seg build data` makes them; nano takes
    one name a question.

    Args:
        segmenter: The model with its grid and format.
        image: Upright RGB.
        names: Legal labels.

    Returns:
        The cells over the image.

    Raises:
        LabelError: A name cannot be a label.
        DecodingError: The model broke its contract.
        GrammarError: The model's vocabulary cannot write this mask.
    """
    for name in names:
        check_expression(name)
    generator, form, shape = segmenter.generator, segmenter.format, segmenter.shape
    session = segmenter.model.encode_image(image)
    question = prompts.several(names, grid=generator.prompt_grid)
    if segmenter.model.capabilities.text_only:
        grammar = form.grammar(shape, names, "gbnf")
        written = session.generate(
            question, prompts.ANSWER_PREFIX, grammar=grammar, max_tokens=MAX_NEW_TOKENS
        )
        return form.to_grid(form.salvage(find_body(written.text), shape, names).value)
    prompt = session.prepare(question, prompts.ANSWER_PREFIX, grid=(shape.rows, shape.cols))
    vocabulary = generator.vocabulary_of(prompt.vocabulary)
    task = DecodingTask(
        prompt.first_logits,
        compile_mask_grammar(form, shape, names, vocabulary),
        DecodingOptions(draft="row"),
        bias=prompt.bias,
        max_context=prompt.max_context,
    )
    decoded = decode(prompt.step, task)
    text = vocabulary.decode(decoded.tokens).decode()
    return form.to_grid(form.decode(text, shape, names))
