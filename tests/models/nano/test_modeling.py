"""Nano is an ordinary model of `transformers`, and its step equals its forward pass."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

from tests.reference.run_lengths import choose_by_hand, count_run
from tests.reference.small_nano import (
    IMAGE_TOKEN,
    small_features,
    small_model,
    small_prompt,
    small_text,
)
from text4seg.codec import get_format
from text4seg.core.types import DescriptorGrid
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.stepping import NanoStep
from text4seg.models.nano.text.cell_tracker import NOWHERE, OUTSIDE_MASK

TEXT = small_text()
GRIDS = [(16, 16), (4, 6), (20, 9), (1, 1)]


def body(rows: int, cols: int, name: str = "sd") -> list[int]:
    """A mask of that shape as tokens, half of it the dog."""
    cells = [["the dog" if c > cols // 2 else "others" for c in range(cols)] for _ in range(rows)]
    return TEXT.encode(get_format(name).encode(DescriptorGrid.from_rows(cells)))


def logits_of(
    model: NanoForConditionalGeneration,
    tokens: list[int],
    features: Tensor,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """Logits after every token, of one pass over all of them."""
    with torch.inference_mode():
        return model(torch.tensor([tokens]), features=features, grid=grid).logits[0]


def step_after(
    model: NanoForConditionalGeneration,
    prompt: list[int],
    features: Tensor,
    grid: tuple[int, int] = (16, 16),
) -> tuple[NanoStep, np.ndarray]:
    """A step whose cache holds the prompt, image and all, and the logits after the prompt."""
    place = len(prompt) - prompt[::-1].index(IMAGE_TOKEN)
    cache = DynamicCache(config=model.language.config)
    with torch.inference_mode():
        image = model.fusion.encode_image(features)
        states, logits = model.ground(image, *model.question_of(torch.tensor([prompt])))
        model(torch.tensor([prompt[:place]]), features=features, past_key_values=cache)
    step = NanoStep(model, cache, states=states, logits=logits, grid=grid)
    return step, np.asarray(step(prompt[place:])[-1])


def test_a_saved_model_comes_back_the_same(tmp_path: Path) -> None:
    model = small_model(3)
    model.save_pretrained(tmp_path)
    again = NanoForConditionalGeneration.from_pretrained(tmp_path).eval()
    again.set_cell_tracker(TEXT.cell_tracker)
    tokens = small_prompt() + body(4, 4, "rrle")
    assert json.loads(again.config.to_json_string()) == json.loads(model.config.to_json_string())
    assert torch.equal(
        logits_of(model, tokens, small_features()), logits_of(again, tokens, small_features())
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_a_step_gives_the_logits_of_one_long_pass(grid: tuple[int, int]) -> None:
    model, features, prompt = small_model(), small_features(), small_prompt()
    tokens = body(*grid)
    step, first = step_after(model, prompt, features, grid)
    rows = [first, *(np.asarray(row) for row in step(tokens[:5]))]
    rows += [np.asarray(row) for token in tokens[5:9] for row in step([token])]
    expected = logits_of(model, prompt + tokens[:9], features, grid)[len(prompt) - 1 :].numpy()
    assert np.allclose(np.stack(rows), expected[: len(rows)], atol=1e-3)
    assert expected.std() > 0.1, "and they are not all the same"


def test_generate_writes_what_the_step_writes() -> None:
    model, features, prompt = small_model(1), small_features(1), small_prompt("hot dog")
    step, row = step_after(model, prompt, features)
    stepped: list[int] = []
    while len(stepped) < 40:
        stepped.append(int(row.argmax()))
        row = np.asarray(step(stepped[-1:])[-1])
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            ids,
            features=features,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=40,
            eos_token_id=None,
            pad_token_id=2,
        )
    assert out[0, len(prompt) :].tolist() == stepped
    assert len(set(stepped)) > 3


def test_generate_with_another_grid_and_another_question() -> None:
    """What is told to `generate` reaches every step, or the texts would be the same."""
    model, features = small_model(1), small_features(1)
    written = []
    for expression, grid in (("dog", None), ("dog", (4, 4)), ("t-shirt", None)):
        ids = torch.tensor([small_prompt(expression)])
        with torch.inference_mode():
            out = model.generate(
                ids, features=features, grid=grid, attention_mask=torch.ones_like(ids),
                do_sample=False, max_new_tokens=30, eos_token_id=None, pad_token_id=2,
            )  # fmt: skip
        written.append(tuple(out[0, ids.shape[1] :].tolist()))
    assert len(set(written)) == 3


def test_what_was_cut_leaves_no_trace() -> None:
    model, features, prompt = small_model(2), small_features(2), small_prompt()
    tokens = body(16, 16)
    step, _ = step_after(model, prompt, features)
    never, _ = step_after(model, prompt, features)
    step(tokens[:6])
    never(tokens[:6])
    step(tokens[40:60])  # a draft that went wrong, over a line end
    step.rollback(20)
    step.rollback(0)
    again = [np.asarray(row) for row in step(tokens[6:12])]
    expected = [np.asarray(row) for row in never(tokens[6:12])]
    assert np.array_equal(again, expected)


def test_the_loss_is_the_cross_entropy_of_what_is_labelled() -> None:
    model, features, prompt = small_model(), small_features(), small_prompt()
    tokens = prompt + body(3, 3)
    ids = torch.tensor([tokens])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    labels[:, len(prompt) + 2] = -100
    loss = model(ids, features=features, labels=labels).loss
    every = logits_of(model, tokens, features)
    wanted = [i for i in range(len(prompt), len(tokens)) if i != len(prompt) + 2]
    expected = functional.cross_entropy(every[[i - 1 for i in wanted]], ids[0, wanted])
    assert torch.allclose(loss, expected, atol=1e-4)
    other = labels.clone()
    other[:, len(prompt)] = 5
    assert not torch.allclose(loss, model(ids, features=features, labels=other).loss)


def test_logits_can_be_kept_for_the_last_tokens_only() -> None:
    model, features, prompt = small_model(), small_features(), small_prompt()
    with torch.inference_mode():
        kept = model(torch.tensor([prompt]), features=features, logits_to_keep=2).logits
    assert torch.allclose(kept[0], logits_of(model, prompt, features)[-2:], atol=1e-4)


def test_a_padded_batch_is_read_as_its_rows_one_by_one() -> None:
    model = small_model()
    features = small_features(images=2)
    prompts = [small_prompt("dog"), small_prompt("the teddy bear, please")]
    rows = [prompt + body(2, 2) for prompt in prompts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [TEXT.end] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.inference_mode():
        both = model(ids, features=features, attention_mask=mask).logits
    for index, row in enumerate(rows):
        alone = logits_of(model, row, features[index : index + 1])
        assert torch.allclose(both[index, : len(row)], alone, atol=1e-3)


def test_the_question_stands_between_the_image_and_the_end_of_the_turn() -> None:
    model = small_model()
    prompts = [small_prompt("dog"), small_prompt("the teddy bear")]
    longest = max(map(len, prompts))
    ids = torch.tensor([prompt + [TEXT.end] * (longest - len(prompt)) for prompt in prompts])
    words, mask = model.question_of(ids)
    decode = TEXT.tokenizer.decode
    read = [
        decode(row[seen].tolist(), skip_special_tokens=False)
        for row, seen in zip(words, mask, strict=True)
    ]
    assert read == ["Segment dog in this image.", "Segment the teddy bear in this image."]


def tell_run(row: list[bool], col: int, written: int, named: int) -> list[float]:
    """What is told of the run in that cell of a row, amid the run length that is written there."""
    length = count_run(row, col)
    wanted = length if named == NOWHERE else choose_by_hand(row, col, named=bool(named))
    told = [float(row[col]), float(not row[col]), float(col + length == len(row))]
    channels = [0.0] * 11
    if written != NOWHERE:
        begun, digits = str(written or ""), str(wanted)
        further = digits.startswith(begun) and digits != begun
        channels[int(digits[len(begun)]) if further else 10] = 1.0
    return [*told, *channels]


@pytest.mark.parametrize("grid", GRIDS)
def test_tokens_read_the_cell_they_point_at_and_the_rest_of_its_row(grid: tuple[int, int]) -> None:
    """Against a plain twin: one token, one look-up."""
    model = small_model()
    states, logits = torch.randn(1, 256, 16), torch.randn(1, 256)
    pointers = torch.tensor(
        [[OUTSIDE_MASK, (0, NOWHERE, NOWHERE), (grid[0] * grid[1] - 1, 0, 1), (grid[1] // 2, 1, 0)]]
    )
    with torch.inference_mode():
        found = model.read_cells(states, logits, pointers, grid)[0]
        sampled, flat = model.resample(states, logits, grid)
        for place, (pointer, written, named) in enumerate(pointers[0].tolist()):
            if pointer == NOWHERE:
                assert not found[place].any()
                continue
            left = grid[1] - pointer % grid[1]
            ahead = torch.zeros(2, 16)
            ahead[0, : min(left, 16)] = torch.tanh(flat[0, pointer : pointer + min(left, 16)] / 2)
            ahead[1, : min(left, 16)] = 1
            row, col = divmod(pointer, grid[1])
            told = tell_run((flat[0].view(grid)[row] > 0).tolist(), col, written, named)
            assert model.run_reader is not None
            expected = model.reader(torch.cat([sampled[0, pointer], ahead.flatten()]))
            expected = expected + model.run_reader(torch.tensor(told))
            assert torch.allclose(found[place], expected, atol=1e-5)


def test_a_bias_raises_every_cell_that_the_writer_is_given() -> None:
    model = small_model()
    tokens = torch.tensor([TEXT.encode("Segment the dog in this image.")])
    mask = torch.ones_like(tokens, dtype=torch.bool)
    with torch.inference_mode():
        image = model.fusion.encode_image(small_features())
        states, logits = model.ground(image, tokens, mask)
        model.config.cell_bias = 0.5
        same, raised = model.ground(image, tokens, mask)
    assert torch.equal(states, same)
    assert torch.equal(raised, logits + 0.5)


def test_another_grid_is_the_same_map_at_another_size() -> None:
    model = small_model()
    ramp = torch.arange(16.0)[:, None].expand(16, 16).reshape(1, 256)
    states = ramp[..., None].expand(1, 256, 16)
    for rows, cols in ((8, 16), (32, 16), (4, 5)):
        sampled, logits = model.resample(states, ramp, (rows, cols))
        assert sampled.shape == (1, rows * cols, 16)
        heights = logits.view(rows, cols)
        centers = (torch.arange(rows) + 0.5) * 16 / rows - 0.5
        inner = (centers > 2) & (centers < 13)  # the borders have no neighbours to average with
        assert torch.allclose(heights[inner], centers[inner, None].expand(-1, cols), atol=0.2)


def test_text_is_not_read_without_a_cell_tracker() -> None:
    model = small_model()
    model.cell_tracker = None
    with pytest.raises(RuntimeError, match="set_cell_tracker"):
        model(torch.tensor([small_prompt()]), features=small_features())


def test_lora_attaches_trains_and_merges(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = small_model()
    ids = torch.tensor([small_prompt() + body(3, 3)])
    features = small_features()
    before = logits_of(model, ids[0].tolist(), features)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_alpha=64)
    tuned = peft.get_peft_model(copy.deepcopy(model), config)
    trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 2 * 2, "two matrices for each of two layers' two projections"
    optimizer = torch.optim.SGD(trained, 0.1)
    losses = []
    for _ in range(4):
        loss = tuned(input_ids=ids, features=features, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    tuned.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path).merge_and_unload()
    after = logits_of(again.eval(), ids[0].tolist(), features)
    assert not torch.allclose(after, before, atol=1e-3)
    with torch.inference_mode():
        expected = tuned.eval()(input_ids=ids, features=features).logits[0]
    assert torch.allclose(after, expected, atol=1e-3)


def test_trainer_trains_it(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    ids = torch.tensor(small_prompt() + body(3, 3))
    samples = [{"input_ids": ids, "features": small_features()[0], "labels": ids} for _ in range(8)]
    model = small_model()
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=2, learning_rate=1e-2,
        report_to=[], save_strategy="no", logging_steps=1, use_cpu=True, disable_tqdm=True,
        remove_unused_columns=False,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=samples)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < losses[0]


def test_runs_come_to_older_weights_without_a_change() -> None:
    """A younger part begins at nothing: weights from before it write what they wrote."""
    old_config = small_model().config
    old_config.runs = False
    torch.manual_seed(5)
    old = NanoForConditionalGeneration(old_config).eval()
    assert old.run_reader is None
    new_config = copy.deepcopy(old_config)
    new_config.runs = True
    new = NanoForConditionalGeneration(new_config).eval()
    missing, unknown = new.load_state_dict(old.state_dict(), strict=False)
    assert (missing, unknown) == (["run_reader.weight"], [])
    for model in (old, new):
        model.set_cell_tracker(TEXT.cell_tracker)
    tokens, features = small_prompt() + body(16, 16, "rrle"), small_features(5)
    assert torch.equal(logits_of(old, tokens, features), logits_of(new, tokens, features))
    assert new.run_reader is not None
    with torch.no_grad():
        new.run_reader.weight.normal_()
    assert not torch.equal(logits_of(old, tokens, features), logits_of(new, tokens, features))
