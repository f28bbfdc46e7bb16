"""MobileSAM's parameter names, and bad input; the model itself is tested in test_sam.py."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from text4seg.core.errors import InputError, WeightsError  # noqa: E402
from text4seg.pretrained.mobilesam import load_mobilesam, mobilesam_name  # noqa: E402

NAMES = [
    pytest.param("image_encoder.neck.0.weight", "vision_encoder.network.neck.0.weight", id="image"),
    pytest.param(
        "mask_decoder.transformer.layers.0.norm1.weight",
        "mask_decoder.transformer.layers.0.layer_norm1.weight",
        id="a norm of the decoder",
    ),
    pytest.param(
        "mask_decoder.iou_prediction_head.layers.1.bias",
        "mask_decoder.iou_prediction_head.layers.0.bias",
        id="a hidden layer of a head",
    ),
    pytest.param(
        "prompt_encoder.point_embeddings.0.weight",
        "prompt_encoder.point_embed.0.weight",
        id="a point",
    ),
]


@pytest.mark.parametrize(("theirs", "ours"), NAMES)
def test_a_parameter_is_renamed(theirs: str, ours: str) -> None:
    assert mobilesam_name(theirs) == ours


@pytest.mark.parametrize("side", [0, 32 - 1, 1000])
def test_a_side_is_a_multiple_of_32(side: int) -> None:
    with pytest.raises(InputError, match="multiple of 32"):
        load_mobilesam(side=side)


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    # The shared embedding is copied before anything is loaded.
    name = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    torch.save({name: torch.zeros(2, 128)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="is not MobileSAM"):
        load_mobilesam(tmp_path / "other.pt")
