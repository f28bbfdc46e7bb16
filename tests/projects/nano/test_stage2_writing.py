"""Writing is learned at the right places, from shapes and images, with stops and without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.nano.batches import ImageBatch
from projects.nano.mask_tokens import MaskTokenizer
from projects.nano.stage2_writing import BatchSampler, overlap_loss, train_decoder, writing_loss
from projects.nano.writing_samples import (
    _LONGEST_BODY,
    Sample,
    TokenBatch,
    WritingConfig,
    collate,
    make_sample,
)
from tests.reference.small_nano import LABELS, small_features, small_model, small_text
from text4seg.codec import get_format
from text4seg.core.types import GridShape
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.text.cell_tracker import NOWHERE
from text4seg.prompts import question

TEXT = small_text()
WRITER = MaskTokenizer(TEXT)
SHAPE = GridShape(16, 16)
WEIGHT = 1.5


def sample(seed: int, label: str, *, runs: bool, wrong_share: float = 0.5) -> Sample:
    random = np.random.default_rng(seed)
    truth = random.random((16, 16)) < random.random()
    if seed % 2:
        truth = np.maximum.accumulate(truth, axis=1)
    return make_sample(
        TEXT,
        WRITER,
        label=label,
        wording=question(label),
        truth=truth,
        guess=np.where(truth, 1.0, -1.0) + random.normal(0, 1, truth.shape),
        runs=runs,
        random=random,
        settings=WritingConfig(wrong_share=wrong_share),
    )


def collated(samples: list[Sample], seed: int = 0, **changed: float) -> TokenBatch:
    chosen = WritingConfig(target_weight=WEIGHT, **changed)
    return collate(samples, TEXT, WRITER, np.random.default_rng(seed), chosen)


SEEDS = st.integers(0, 10_000)
PAIRS = st.lists(st.tuples(SEEDS, st.sampled_from(LABELS)), min_size=1, max_size=3)


@settings(max_examples=25)
@given(PAIRS, st.booleans())
def test_targets_stand_before_the_tokens_they_are_for(
    pairs: list[tuple[int, str]], runs: bool
) -> None:
    """What is chosen after a position is what stands there, unless the history is wrong there."""
    samples = [sample(seed, label, runs=runs) for seed, label in pairs]
    batch = collated(samples)
    length = batch.ids.shape[1]
    flat = batch.ids.flatten().tolist()
    choice = iter(range(len(batch.at)))
    for index, one in enumerate(samples):
        row = batch.ids[index].tolist()
        ending = [*TEXT.encode("</seg>"), TEXT.end] if one.body.whole else []
        written = [*one.prompt, *one.body.tokens, *ending]
        assert row == written + [TEXT.end] * (length - len(written))
        for offset, decides in enumerate(one.body.decides):
            if not decides:
                continue
            i = next(choice)
            at = int(batch.at[i])
            assert at == index * length + len(one.prompt) + offset - 1
            wanted = one.choices[int(batch.target[i])]
            assert batch.choices[i].tolist() == one.choices
            assert wanted == one.body.targets[offset]
            if one.body.targets[offset] == one.body.tokens[offset]:
                assert wanted == flat[at + 1]
            is_label = wanted in (one.choices[1], one.choices[3])
            assert float(batch.weight[i]) == (WEIGHT if is_label else 1.0)
    assert next(choice, None) is None


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(LABELS), st.booleans())
def test_digits_and_background_rows_weigh_what_is_asked(seed: int, label: str, runs: bool) -> None:
    one = sample(seed, label, runs=runs)
    one.truth[3:6] = False  # the true mask decides; the text to learn may differ
    plain, weighed = collated([one]), collated([one], digits_weight=3.0, background_weight=0.25)
    for i, at in enumerate(plain.at.tolist()):
        offset = at - len(one.prompt) + 1
        row = one.body.tokens[:offset].count(WRITER.newline)
        wanted = one.choices[int(plain.target[i])]
        expected = float(plain.weight[i])
        expected *= 3.0 if wanted in WRITER.digits else 1.0
        expected *= 1.0 if one.truth[row].any() else 0.25
        assert float(weighed.weight[i]) == pytest.approx(expected)


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(LABELS))
def test_choices_of_flat_text_are_the_cells_of_the_truth(seed: int, label: str) -> None:
    """Read back: the chosen word of each decision is the word of the very cell it points at."""
    one = sample(seed, label, runs=False)
    batch = collated([one])
    pointers = batch.pointers[..., 0].flatten()[batch.at].tolist()
    assert pointers == list(range(len(pointers)))
    chosen = [one.choices[target] for target in batch.target.tolist()]
    label_firsts = {one.choices[1], one.choices[3]}
    found = [token in label_firsts for token in chosen]
    assert found == one.truth.flatten()[: len(found)].tolist()
    # A body may be cut behind its last cell, before the line end: all cells, and yet not whole.
    assert len(found) == 256 or not one.body.whole
    assert one.body.whole or len(one.body.tokens) == _LONGEST_BODY


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(LABELS))
def test_true_histories_are_the_codecs_answers(seed: int, label: str) -> None:
    for runs, name in ((True, "rrle"), (False, "sd")):
        one = sample(seed, label, runs=runs, wrong_share=0.0)
        body = TEXT.tokenizer.decode(one.body.tokens)
        if one.body.whole:
            grid = get_format(name).decode(body, SHAPE, (label,))
            assert np.array_equal(grid.select(label), one.truth)
        assert one.body.targets == one.body.tokens


@settings(max_examples=15)
@given(SEEDS, st.sampled_from(LABELS), st.booleans())
def test_what_is_scored_against_all_words_is_what_stands_there(
    seed: int, label: str, runs: bool
) -> None:
    batch = collated([sample(seed, label, runs=runs), sample(seed + 1, "dog", runs=runs)])
    flat = batch.ids.flatten()
    assert torch.equal(flat[batch.full_at + 1], batch.full_target)
    assert 0 < len(batch.full_at) <= 2 * 24
    assert len(set(batch.full_at.tolist())) == len(batch.full_at)


def test_a_long_body_is_cut_and_has_no_end() -> None:
    label = "the teddy bear " * 6 + "é"
    one = sample(1, label, runs=False)
    assert not one.body.whole
    assert len(one.body.tokens) == 560
    batch = collated([one])
    assert batch.ids[0].tolist() == one.prompt + one.body.tokens
    assert TEXT.end not in batch.ids[0, len(one.prompt) :].tolist()


def test_nothing_points_at_a_cell_outside_the_answer() -> None:
    samples = [sample(2, "dog", runs=True), sample(3, "the teddy bear", runs=True)]
    batch = collated(samples)
    for index, one in enumerate(samples):
        inside = slice(len(one.prompt) - 1, len(one.prompt) + len(one.body.tokens) - 1)
        pointers = batch.pointers[index, :, 0]
        assert (pointers[inside] != NOWHERE).all()
        assert (pointers[: inside.start] == NOWHERE).all()
        assert (pointers[inside.stop :] == NOWHERE).all()


# -- losses ---------------------------------------------------------------------------------------


def sure(samples: list[Sample], batch: TokenBatch, by: float = 20.0) -> torch.Tensor:
    """Logits of the choices that are all right."""
    narrow = torch.full(batch.choices.shape, -by)
    narrow[torch.arange(len(batch.target)), batch.target] = by
    return narrow


def test_the_overlap_of_right_choices_is_whole() -> None:
    samples = [sample(seed, "dog", runs=False) for seed in (1, 2, 4)]
    batch = collated(samples)
    right = sure(samples, batch)
    assert float(overlap_loss(right, samples)) == pytest.approx(0.0, abs=1e-3)
    flipped = right.clone()
    flipped[:, [0, 1, 2, 3]] = flipped[:, [1, 0, 3, 2]]
    assert float(overlap_loss(flipped, samples)) > 0.9


def test_the_overlap_of_each_sample_is_of_its_own_choices() -> None:
    """With runs and empty masks between, which have none."""
    empty = make_sample(
        TEXT, WRITER, label="dog", wording="?", truth=np.zeros((16, 16), dtype=bool),
        guess=np.zeros((16, 16)), runs=False, random=np.random.default_rng(0),
        settings=WritingConfig(wrong_share=0.0),
    )  # fmt: skip
    flat, runs = sample(1, "dog", runs=False), sample(2, "dog", runs=True)
    both = [runs, empty, flat]
    batch = collated(both)
    assert float(overlap_loss(sure(both, batch), both)) == pytest.approx(0.0, abs=1e-3)
    no_targets = [runs, empty]
    none = collated(no_targets)
    assert float(overlap_loss(sure(no_targets, none), no_targets)) == 0.0


def test_the_loss_is_small_where_the_model_is_right() -> None:
    """Against a plain twin: one position after another, in full precision."""
    model = small_model()
    samples = [sample(1, "dog", runs=True), sample(5, "hot dog", runs=True)]
    batch = collated(samples)
    torch.manual_seed(0)
    states, logits = torch.randn(2, 256, 16), torch.randn(2, 256)
    chosen = WritingConfig(overlap_weight=0.0, full_weight=0.0)
    with torch.no_grad():
        loss, right = writing_loss(
            model, batch, samples, image_embeddings=None, states=states, logits=logits,
            settings=chosen,
        )  # fmt: skip
        every = model(batch.ids, cell_states=states, target_logits=logits).logits.flatten(0, 1)
    total, hits = 0.0, 0
    for at, target, weight, choices in zip(
        batch.at, batch.target, batch.weight, batch.choices, strict=True
    ):
        narrow = every[at][choices]
        total += float(weight) * float(-narrow.log_softmax(0)[target])
        hits += int(narrow.argmax() == target)
    assert float(loss) == pytest.approx(total / float(batch.weight.sum()), rel=0.05)
    assert right == pytest.approx(hits / len(batch.at), abs=0.05)


# -- the lesson -----------------------------------------------------------------------------------


class Drawn:
    def draw(self, seed: int) -> ImageBatch:
        features = small_features(seed, images=2)
        cells = (features[..., 0] > 0.5).float().view(2, 16, 16)
        names = torch.zeros(2, 256, 3)
        image = torch.tensor([0, 1])
        annotated = torch.ones(2, 3, dtype=torch.bool)
        return ImageBatch(features, image, ["dog", "the hot dog"], cells, names, annotated)


SETTINGS = WritingConfig(
    shape_steps=3, image_steps=10, samples=2, warm_up=1, save_every=10, runs_share=1.0
)


def make_lesson(
    model: NanoForConditionalGeneration, settings: WritingConfig = SETTINGS
) -> BatchSampler:
    return BatchSampler(model, TEXT, Drawn(), ["dog", "hot dog"], settings)  # type: ignore[arg-type]


class Stopping:
    """A lesson that somebody stops."""

    def __init__(self, lesson: BatchSampler, at: int) -> None:
        self._lesson, self._at = lesson, at

    def shapes(self, seed: int) -> tuple[torch.Tensor, float]:
        return self._lesson.shapes(seed)

    def images(self, seed: int) -> tuple[torch.Tensor, float]:
        if seed == self._at:
            raise KeyboardInterrupt
        return self._lesson.images(seed)


def train(folder: Path, stop_at: int | None = None) -> NanoForConditionalGeneration:
    folder.mkdir(exist_ok=True)
    model = small_model(7)
    lesson = make_lesson(model)
    if stop_at is not None:
        lesson = Stopping(lesson, stop_at)  # type: ignore[assignment]
    train_decoder(model, lesson, settings=SETTINGS, folder=folder)
    return model


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop_at=11)
    assert torch.load(tmp_path / "parts" / "writing.pt", weights_only=True)["step"] == 10
    parts = train(tmp_path / "parts")
    for (name, a), b in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_it_is_saved_as_often_as_asked_whatever_is_logged(tmp_path: Path) -> None:
    model, often = small_model(7), replace(SETTINGS, image_steps=5, save_every=3, log_every=4)
    lesson = Stopping(make_lesson(model, often), 7)
    with pytest.raises(KeyboardInterrupt):
        train_decoder(model, lesson, settings=often, folder=tmp_path)  # type: ignore[arg-type]
    assert torch.load(tmp_path / "writing.pt", weights_only=True)["step"] == 6
    lines = [json.loads(line) for line in (tmp_path / "writing.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4]


def test_what_is_not_to_be_trained_is_not(tmp_path: Path) -> None:
    before, after = small_model(7), train(tmp_path)
    moved = {
        name.split(".")[0] if name.startswith("fusion") else name
        for (name, a), b in zip(before.named_parameters(), after.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert not {name for name in moved if name.startswith(("fusion", "language.embed_tokens"))}
    assert {"reader.0.weight", "image_projector.1.weight", "language.norm.weight"} <= moved
    state = torch.load(tmp_path / "writing.pt", weights_only=True)
    assert state["step"] == 13
    assert WritingConfig(**state["settings"]) == SETTINGS
    assert moved <= state["trained"].keys()
    assert after.load_state_dict(state["trained"], strict=False).unexpected_keys == []
    lines = [json.loads(line) for line in (tmp_path / "writing.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 13
    assert 0 <= lines[-1]["right"] <= 1


def test_a_step_is_its_number() -> None:
    model = small_model(7)
    for draw in ("shapes", "images"):
        with torch.no_grad():
            a, b = (getattr(make_lesson(model), draw)(3) for _ in range(2))
            other = getattr(make_lesson(model), draw)(4)
        assert (float(a[0]), a[1]) == (float(b[0]), b[1])
        assert float(other[0]) != float(a[0])


def test_writing_of_shapes_is_learned() -> None:
    """A few steps on the same shapes make the model surer of them."""
    torch.manual_seed(0)
    model = small_model(7)
    lesson = make_lesson(model)
    trained = [*model.reader.parameters(), *model.language.layers.parameters()]
    optimizer = torch.optim.AdamW(trained, 3e-3)
    losses = []
    for _ in range(12):
        loss, _ = lesson.shapes(1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("grid", [(8, 8), (16, 64), (64, 64)])
def test_steps_on_any_grid_read_back_as_their_masks(
    grid: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = replace(SETTINGS, grids=((*grid, 1.0),), wrong_share=0.0)
    lesson, drawn = make_lesson(small_model(7), chosen), []

    def take(samples: list[Sample], *_: object, **__: object) -> tuple[torch.Tensor, float]:
        drawn.extend(samples)
        return torch.zeros(()), 1.0

    monkeypatch.setattr(lesson, "_loss", take)
    for seed in range(6):
        lesson.images(seed)
        lesson.shapes(seed)
    assert len(drawn) == 12 * (1 if grid[1] > 24 else 2)
    whole = [one for one in drawn if one.body.whole]
    assert whole
    for one in whole:
        text = TEXT.tokenizer.decode(one.body.tokens)
        labels = [label for label in ("the hot dog", "the dog", "hot dog", "dog") if label in text]
        read = get_format("rrle").decode(text, GridShape(*grid), tuple(labels[:1]) or ("dog",))
        assert np.array_equal(read.cells > 0, one.truth)


def test_what_is_to_be_written_is_true_or_seen() -> None:
    random = np.random.default_rng(0)
    truth = np.zeros((16, 16), dtype=bool)
    truth[:4] = True
    seen = np.where(np.arange(16)[:, None] < 6, 1.0, -1.0) * np.ones((16, 16))
    wide = np.ones((32, 32))
    lesson = make_lesson(small_model(7), replace(SETTINGS, seen_share=0.5))
    written = {lesson._target(truth, seen, random).sum() for _ in range(40)}
    assert written == {64, 96}
    assert {lesson._target(truth, wide, random).sum() for _ in range(10)} == {1024}
    absent = np.zeros((16, 16), dtype=bool)
    for guess in (seen, wide):
        assert not lesson._target(absent, guess, random).any()
        assert lesson._target(absent, guess, random).shape == guess.shape
