"""The benchmarks of training: what they ask, and the tables of what they recorded."""

from __future__ import annotations

from benchmarks import loss_weights, train_speed


def test_the_table_of_speed() -> None:
    def rounds(tokens: float) -> list[dict[str, float]]:
        row = {"tokens_a_second": tokens, "seconds_a_step": 1.5, "peak_bytes": 8e8}
        return [row, row, {**row, "tokens_a_second": 1.0}]

    report = {"rounds": {"ours": rounds(990), "plain": rounds(1000)}, "speed_ratio": 0.99,
              "memory_ratio": 1.0, "model": "toy", "batch": 4}  # fmt: skip
    text = train_speed.table(report)
    assert "| plain TRL | 1000 | 1.50 | 0.80 |" in text
    assert "| ratio | **0.990** | | **1.000** |" in text


def test_the_table_of_loss_weights() -> None:
    rows = [
        {"setting": "as it is", "ious": [1.0, 0.5]},
        {"setting": "as it is", "ious": [1.0, 0.9]},
    ]
    text = loss_weights.table({"rows": rows, "steps": 9})
    assert "| as it is | 1 | 1 | 0.850 | 0.700 |" in text
    assert "digits" not in text.splitlines()[2].removeprefix("| as it is")
