"""Promptable models of every family, tiny and with random weights, from a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from text4seg.core.errors import InputError, WeightsError
from text4seg.core.types import Size
from text4seg.pretrained.sam import SAM_FAMILIES, Prompt, Sam
from text4seg.refine import get_refiner

IMAGE = Image.new("RGB", (80, 60), (90, 120, 30))
SMALL_DECODER = {
    "hidden_size": 32,
    "mlp_dim": 32,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 32,
}
SMALL_PROMPTS = {"hidden_size": 32, "image_size": 64, "patch_size": 16}


def tiny_sam(kind: str) -> transformers.PreTrainedModel:
    """SAM or SAM-HQ with 64 x 64 pixels."""
    prefix = {"sam": "Sam", "sam_hq": "SamHQ"}[kind]
    vision = getattr(transformers, f"{prefix}VisionConfig")(
        hidden_size=32, output_channels=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=64, patch_size=16, mlp_dim=32, window_size=2, num_pos_feats=16,
        global_attn_indexes=[1],
    )  # fmt: skip
    more = {"vit_dim": 32} if kind == "sam_hq" else {}
    config = getattr(transformers, f"{prefix}Config")(
        vision_config=vision,
        prompt_encoder_config={**SMALL_PROMPTS, "image_embedding_size": 4},
        mask_decoder_config={**SMALL_DECODER, **more},
    )
    return getattr(transformers, f"{prefix}Model")(config)


def tiny_sam2() -> transformers.PreTrainedModel:
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[64, 64], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[4, 4, 4, 4], global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip
    config = transformers.Sam2Config(
        vision_config=vision,
        prompt_encoder_config=SMALL_PROMPTS,
        mask_decoder_config=SMALL_DECODER,
    )
    return transformers.Sam2Model(config)


def tiny_sam3() -> transformers.PreTrainedModel:
    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14,
        "pretrain_image_size": 28, "window_size": 2, "global_attn_indexes": [1],
    }  # fmt: skip
    vision = transformers.Sam3VisionConfig(
        backbone_config=backbone, fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]], scale_factors=[4.0, 2.0, 1.0],
    )  # fmt: skip
    config = transformers.Sam3TrackerConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 56, "patch_size": 14},
        mask_decoder_config=SMALL_DECODER,
    )
    return transformers.Sam3TrackerModel(config)


MAKERS = {
    "sam": lambda: tiny_sam("sam"),
    "sam_hq": lambda: tiny_sam("sam_hq"),
    "sam2": tiny_sam2,
    "sam3": tiny_sam3,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for family, make in MAKERS.items():
        torch.manual_seed(0)
        made[family] = tmp_path_factory.mktemp(family)
        make().save_pretrained(made[family])
    return made


@pytest.mark.parametrize("family", sorted(SAM_FAMILIES))
def test_a_family_is_read_and_answers_a_prompt(folders: dict[str, Path], family: str) -> None:
    sam = Sam.from_pretrained(str(folders[family]), family=family)
    features = sam.encode(IMAGE)
    assert features.frame == sam.frame(Size(60, 80))
    assert sam.stretched is (family in ("sam2", "sam3"))
    prompt = Prompt(
        box=np.array([4, 4, 30, 30], dtype=np.float32),
        points=np.array([[10, 10], [40, 40]], dtype=np.float32),
        labels=np.array([1, 0]),
        mask=np.zeros((sam.mask_side, sam.mask_side), dtype=np.float32),
    )
    for several in (True, False):
        masks, scores = sam.decode(features, prompt, several=several)
        assert masks.shape[1:] == (sam.mask_side, sam.mask_side)
        assert 1 <= len(masks) <= 3
        assert len(scores) <= len(masks)
    moved = Prompt(prompt.box, prompt.points, prompt.labels, prompt.mask + 3)
    again, _ = sam.decode(features, moved, several=False)
    assert not np.allclose(again, masks), "the mask prompt is looked at"


@pytest.mark.parametrize("family", sorted(SAM_FAMILIES))
def test_a_family_refines_by_name(folders: dict[str, Path], family: str) -> None:
    probability = np.zeros((4, 4), dtype=np.float32)
    probability[1:3, 1:3] = 1
    refined = get_refiner(f"{family}:{folders[family]}").prepare(IMAGE)(probability)
    assert refined.mask.shape == (60, 80)
    assert refined.mask.any(), "random weights at worst fall back"


def test_a_model_of_another_family_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="type 'sam2', and sam needs sam"):
        Sam.from_pretrained(str(folders["sam2"]), family="sam")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no sam can be read"):
        Sam.from_pretrained(str(tmp_path), family="sam")
