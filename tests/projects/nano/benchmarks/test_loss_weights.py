"""The table of loss weights, and the weights that are trained again."""

from __future__ import annotations

import pytest

from projects.nano.benchmarks import loss_weights


def test_the_table_of_nanos_loss_weights() -> None:
    rows = [
        {"image": image, "seen": seen, "true": 0.5, "passes": 3}
        for image, seen in (("a", 0.8), ("a", 0.6), ("b", 0.7))
    ]
    better = [{**row, "seen": row["seen"] + 0.1} for row in rows]
    plain = loss_weights.AS_IT_IS
    settings = {
        plain: loss_weights.figures(rows, rows),
        "digits twice": loss_weights.figures(better, rows),
    }
    text = loss_weights.table({"steps": 9, "questions": 3, "settings": settings})
    assert f"| {plain} | 1 | 1 | 0.700 |  | 0.500 |  |" in text
    assert "| digits twice | 2 | 1 | 0.800 | +0.100 (+0.100 to +0.100) | 0.500 | +0.000" in text
    assert "9 steps, 3 questions." in text


@pytest.mark.nano
@pytest.mark.usefixtures("nano_parts")
def test_writing_is_unlearned_alone() -> None:
    from text4seg.models.nano.nano_model import NanoModel

    chat = NanoModel.load()
    before = {name: value.clone() for name, value in chat.model.state_dict().items()}
    loss_weights.unlearn(chat)
    changed = {
        name.split(".")[0]
        for name, value in chat.model.state_dict().items()
        if not value.equal(before[name])
    }
    assert changed == {"image_projector", "reader", "run_reader", "language"}
