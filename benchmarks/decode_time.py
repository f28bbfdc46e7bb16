"""Seconds a mask on nano: `transformers.generate` against the engine, interleaved in one run.

    python benchmarks/decode_time.py --images DIR --json

Every image is asked one expression at a time. All ways answer it before the next one is asked, so
that a busy machine disturbs all alike: `generate` on flat text, on run lengths, on run lengths with
a grammar processor, and the engine on both formats. The features of the image are given
to all of them; the fusion and the prompt's prefill are in all of them.
`--large` adds the engine at 64x64.

With `--config FILE`, instead, a causal language model of that published configuration (Qwen,
InternVL's or LLaVA's language part) with random weights is forced to write true masks, in batches
of 1, 8 and 32, on the GPU if there is one: seconds a mask and peak memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from text4seg import prompts
from text4seg.codec import get_format
from text4seg.core.errors import InputError, Text4SegError
from text4seg.core.types import GridShape
from text4seg.decoding import MeasuredPassCost, compile_mask_grammar
from text4seg.images import open_image
from text4seg.segmenter import Segmenter

SMALL, LARGE = GridShape(16, 16), GridShape(64, 64)
EXPRESSIONS = ("the person", "the dog", "the cat", "the shirt")
IMAGE_ENDS = (".jpg", ".jpeg", ".png")


class Generate:
    """`transformers.generate` on one opened image, with or without a grammar processor."""

    def __init__(self, chat: Any, image: Any) -> None:
        self._chat = chat
        self._features = chat.vision_encoder.encode(image)[None].float()

    def __call__(self, expression: str, form: str, shape: GridShape, *, grammar: bool) -> int:
        """Write a mask as text; the number of new tokens."""
        chat = self._chat
        prompt = chat.text.prompt(prompts.question(expression), prompts.ANSWER_PREFIX)
        made = [_processor(chat, form, shape, expression, len(prompt))] if grammar else []
        # Without a grammar a model may stop early or never: as long as a usual mask is.
        length = _tokens_of(chat, form, shape)
        lengths = (None, 3 * shape.cells) if grammar else (length, length)
        return self._generate(prompt, shape, made, lengths)

    def force(self, expression: str, text: str, shape: GridShape) -> tuple[int, int]:
        """Write this text whatever the model chooses; tokens, and passes after the prompt's."""
        chat = self._chat
        prompt = chat.text.prompt(prompts.question(expression), prompts.ANSWER_PREFIX)
        tokens = chat.encode(text)
        made = [_forcing(tokens, len(prompt))]
        count = self._generate(prompt, shape, made, (None, len(tokens)))
        return count, count - 1

    def _generate(
        self,
        prompt: list[int],
        shape: GridShape,
        made: list[Any],
        lengths: tuple[int | None, int],
    ) -> int:
        import torch
        from transformers import LogitsProcessorList

        chat = self._chat
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            out = chat.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                features=self._features,
                grid=(shape.rows, shape.cols),
                do_sample=False,
                max_new_tokens=lengths[1],
                min_new_tokens=lengths[0],
                logits_processor=LogitsProcessorList(made),
                eos_token_id=chat.text.end,
                pad_token_id=chat.text.end,
            )
        return int(out.shape[1]) - len(prompt)


def _tokens_of(chat: Any, form: str, shape: GridShape) -> int:
    """Tokens of a mask with a square in its middle, which a free `generate` has to write too."""
    from text4seg.core.types import DescriptorGrid

    cells = np.zeros((shape.rows, shape.cols), dtype=np.int32)
    quarter = slice(shape.rows // 4, -shape.rows // 4), slice(shape.cols // 4, -shape.cols // 4)
    cells[quarter] = 1
    text = get_format(form).encode(DescriptorGrid.build(("others", "dog"), cells))
    return len(chat.encode(text))


def _forcing(tokens: list[int], prompt: int) -> Any:
    """The best logit for the next of these tokens."""
    from transformers import LogitsProcessor

    class Forcing(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            scores[:, tokens[input_ids.shape[1] - prompt]] = scores.max() + 1.0
            return scores

    return Forcing()


def _processor(chat: Any, form: str, shape: GridShape, expression: str, prompt: int) -> Any:
    """A grammar as llguidance masks it, one token at a time, as servers do."""
    import llguidance
    import torch
    from transformers import LogitsProcessor

    from text4seg.decoding import Vocabulary

    table = chat.vocabulary
    if not hasattr(chat, "benchmark_vocabulary"):
        chat.benchmark_vocabulary = Vocabulary(
            table.tokens, table.eos, table.encode, special=table.special
        )
    lark = get_format(form).grammar(shape, (expression,))

    class Masked(LogitsProcessor):
        def __init__(self) -> None:
            self.matcher = llguidance.LLMatcher(chat.benchmark_vocabulary.matcher_tokenizer, lark)
            self.seen = prompt

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            for token in input_ids[0, self.seen :].tolist():
                self.matcher.consume_token(token)
            self.seen = input_ids.shape[1]
            allowed = np.zeros(scores.shape[1], dtype=bool)
            if self.matcher.is_stopped():
                allowed[table.eos] = True
            else:
                bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
                found = np.unpackbits(bits, bitorder="little")[: len(allowed)]
                allowed[: len(found)] = found > 0
            return scores.masked_fill(~torch.from_numpy(allowed), -torch.inf)

    return Masked()


Ways = dict[str, Callable[[str], int]]


def ways_of(segmenters: dict[str, Segmenter], image_path: Path, *, large: bool) -> Ways:
    """What answers an expression about an image, by name; each opens no image of its own."""
    from text4seg.models.nano.nano_model import NanoSession

    image = open_image(image_path)
    chat: Any = segmenters["engine, sd"].model
    generate = Generate(chat, image)
    features = chat.vision_encoder.encode(image)

    def engine(name: str) -> Callable[[str], int]:
        def answer(expression: str) -> int:
            # A new session each time, so that the engine pays for the prefill as `generate` does.
            session = NanoSession(chat, features)
            return segmenters[name].generator.generate(session, expression).costs.tokens

        return answer

    ways: Ways = {
        "generate, sd": lambda text: generate(text, "sd", SMALL, grammar=False),
        "generate, rrle": lambda text: generate(text, "rrle", SMALL, grammar=False),
        "generate, rrle, grammar": lambda text: generate(text, "rrle", SMALL, grammar=True),
        "engine, sd": engine("engine, sd"),
        "engine, rrle": engine("engine, rrle"),
    }
    if large:
        ways["engine, rrle, 64x64"] = engine("engine, rrle, 64x64")
    return ways


def time_nano(images: Sequence[Path], expressions: Sequence[str], *, large: bool) -> dict[str, Any]:
    """Seconds and tokens of each way, and the ratios."""
    first = Segmenter.from_pretrained("nano", format="sd")
    segmenters = {
        "engine, sd": first,
        "engine, rrle": Segmenter(first.model, format="rrle"),
        "engine, rrle, 64x64": Segmenter(first.model, format="rrle", grid="64x64"),
    }
    seconds: dict[str, list[float]] = {}
    tokens: dict[str, list[int]] = {}
    for image in images:
        ways = ways_of(segmenters, image, large=large)
        if not seconds:
            for name in [name for name in ways if name.startswith("engine")]:
                ways[name](expressions[0])  # grammars are compiled once
        for expression in expressions:
            for name, answer in ways.items():
                started = time.perf_counter()
                tokens.setdefault(name, []).append(answer(expression))
                seconds.setdefault(name, []).append(time.perf_counter() - started)
            print(f"{image.name}: {expression}", file=sys.stderr)
    return {
        "model": "nano",
        "masks": len(next(iter(seconds.values()))),
        "seconds": {name: float(np.mean(found)) for name, found in seconds.items()},
        "tokens": {name: float(np.mean(found)) for name, found in tokens.items()},
        "ratios": ratios({name: float(np.sum(found)) for name, found in seconds.items()}),
    }


def ratios(total: dict[str, float]) -> dict[str, float]:
    """How many times faster: the two that are asked for, and what 64x64 costs."""
    engine = min(total["engine, sd"], total["engine, rrle"])
    found = {
        "engine over generate, sd": total["generate, sd"] / engine,
        "engine over generate, rrle": total["generate, rrle"] / engine,
        "engine over generate, rrle, grammar": total["generate, rrle, grammar"] / engine,
    }
    if "engine, rrle, 64x64" in total:
        large = total["engine, rrle, 64x64"]
        found["engine at 64x64 over generate, rrle, at 16x16"] = total["generate, rrle"] / large
    return found


def time_config(file: Path, batches: Sequence[int], masks: int, *, toy: bool) -> dict[str, Any]:
    """A published configuration with random weights, made to write squares and disks."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from benchmarks.forced import ForcedBatch, script_of, shapes_of

    try:
        config: Any = AutoConfig.for_model(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} is not the configuration of a known model: {error}") from None
    config = getattr(config, "text_config", config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if toy:
        config.num_hidden_layers = 2
    model = (
        AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.bfloat16
        )
        .to(device)
        .eval()
    )
    vocabulary, texts = script_of(shapes_of(SMALL, masks), "rrle")
    grammar = compile_mask_grammar(get_format("rrle"), SMALL, ("dog",), vocabulary)
    results = []
    for batch in batches:
        pass_cost = MeasuredPassCost()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started, passes = time.perf_counter(), 0
        for at in range(0, len(texts), batch):
            step = ForcedBatch(model, vocabulary, texts[at : at + batch])
            passes += step.write(grammar, pass_cost)
        took = (time.perf_counter() - started) / len(texts)
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
        results.append({"batch": batch, "seconds": took, "passes": passes, "peak_bytes": peak})
    return {"model": file.name, "device": device, "toy": toy, "masks": masks, "results": results}


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.config is not None:
        batches = [int(part) for part in arguments.batch.split(",")]
        return time_config(arguments.config, batches, arguments.limit, toy=arguments.toy)
    if arguments.images is None or not arguments.images.is_dir():
        raise InputError(f"--images is a folder of images, got {arguments.images}")
    found = sorted(p for p in arguments.images.iterdir() if p.suffix.lower() in IMAGE_ENDS)
    if not found:
        raise InputError(f"{arguments.images} holds no image ({', '.join(IMAGE_ENDS)})")
    expressions = arguments.expressions.split(",")
    return time_nano(found[: arguments.limit], expressions, large=arguments.large)


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    if "results" in report:
        rows = [
            f"| {one['batch']} | {one['seconds']:.3f} | {one['peak_bytes'] or 0:,} |"
            for one in report["results"]
        ]
        return "\n".join(["| batch | seconds a mask | peak bytes |", "|---|---|---|", *rows])
    lines = ["| way | seconds a mask | tokens |", "|---|---|---|"]
    for name, seconds in report["seconds"].items():
        lines.append(f"| {name} | {seconds:.2f} | {report['tokens'][name]:.0f} |")
    lines += ["", *(f"{name}: {ratio:.1f}x" for name, ratio in report["ratios"].items())]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Seconds a mask.")
    add = parser.add_argument
    add("--images", type=Path, help="folder of images, for nano")
    add("--expressions", default=",".join(EXPRESSIONS), help="what to ask, with commas between")
    add("--limit", type=int, default=4, help="so many images, or masks of a configuration (4)")
    add("--large", action="store_true", help="the engine at 64x64, too")
    add("--config", type=Path, help="config.json of a published model: random weights, forced")
    add("--batch", default="1,8,32", help="batch sizes for --config")
    add("--toy", action="store_true", help="two layers of the configuration only: a dry run")
    add("--json", action="store_true", help="print JSON instead of a table")
    parsed = parser.parse_args(arguments)
    try:
        report = run(parsed)
    except Text4SegError as error:
        print(f"decode_time: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=2) if parsed.json else table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
