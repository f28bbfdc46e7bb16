"""Every family of the table in miniature: the real architecture at toy size, with random weights.

A folder as a hub would hand it out: configuration, weights, tokenizer, image processor, template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer

from text4seg.models.families import get_family
from text4seg.models.hf.loading import image_reader

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


_STRENGTH = 10.0


@dataclass(frozen=True)
class Size:
    """How small: the language model's width and layers, the encoder's, patches on a side."""

    hidden: int = 32
    layers: int = 2
    vision: int = 16
    vision_layers: int = 2
    patches: int = 4
    patch: int = 8


@dataclass(frozen=True)
class Recipe:
    """How one family is built at toy size; `mark` is what stands for the image in a prompt."""

    special: Mapping[str, str]  # names that a processor asks its tokenizer for → tokens
    mark: str
    config: Callable[[Size, Mapping[str, int]], dict[str, Any]]
    image: Callable[[Size], dict[str, Any]]
    processor: Callable[[Size], dict[str, Any]]


def text(size: Size, kind: str, ids: Mapping[str, int], **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": ids["vocabulary"],
        "hidden_size": size.hidden,
        "intermediate_size": 2 * size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": size.hidden // 4,
        "max_position_embeddings": 4096,
        "bos_token_id": ids["bos"],
        "eos_token_id": ids["eos"],
        "pad_token_id": ids["pad"],
        **more,
    }


def vision(size: Size, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": size.vision,
        "intermediate_size": 2 * size.vision,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": 2,
        "image_size": size.patch * size.patches,
        "patch_size": size.patch,
        **more,
    }


def square(size: Size) -> dict[str, int]:
    side = size.patch * size.patches
    return {"height": side, "width": side}


def merged(size: Size) -> int:
    """Tokens of an image whose patches are joined two by two on each side."""
    return (size.patches // 2) ** 2


def qwen(kind: str, **vision_part: Any) -> Callable[..., dict[str, Any]]:
    def config(size: Size, ids: Mapping[str, int]) -> dict[str, Any]:
        own = {
            "model_type": f"{kind}",
            "depth": size.vision_layers,
            "num_heads": 2,
            "patch_size": size.patch,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        }
        half = size.hidden // 8  # of a head: time, height and width share it
        sections = [half // 4, half // 4, half // 2]
        rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections}
        return {
            "text_config": text(size, f"{kind}_text", ids, rope_parameters=rope),
            "vision_config": {**own, **{k: v(size) for k, v in vision_part.items()}},
            "image_token_id": ids["image_token"],
            "video_token_id": ids["video_token"],
            "vision_start_token_id": ids["vision_bos_token"],
            "vision_end_token_id": ids["vision_eos_token"],
        }

    return config


def qwen_image(size: Size) -> dict[str, Any]:
    return {"patch_size": size.patch, "merge_size": 2, "temporal_patch_size": 2,
            "min_pixels": 64, "max_pixels": 4_000_000}  # fmt: skip


QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}
QWEN_MARK = "<|vision_start|><|image_pad|><|vision_end|>"
IDEFICS_TOKENS = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}


def idefics(kind: str, vision_kind: str) -> Recipe:
    return Recipe(
        special=IDEFICS_TOKENS,
        mark="<image>",
        config=lambda size, ids: {
            # As published: the name by which converters know the language model.
            "text_config": text(size, "llama", ids, architectures=["VLlama3ForCausalLM"]),
            "vision_config": vision(size, vision_kind),
            "image_token_id": ids["image_token"],
            "pad_token_id": ids["pad"],
            "scale_factor": 2,
        },
        image=lambda size: {
            "size": {"longest_edge": size.patch * size.patches},
            "max_image_size": {"longest_edge": size.patch * size.patches},
        },
        processor=lambda size: {"image_seq_len": merged(size)},
    )


RECIPES: Mapping[str, Recipe] = {
    "llava": Recipe(
        special={"image_token": "<image>"},
        mark="<image>",
        config=lambda size, ids: {
            "text_config": text(size, "llama", ids),
            "vision_config": vision(size, "clip_vision_model"),
            "image_token_id": ids["image_token"],
            "vision_feature_layer": -2,
        },
        image=lambda size: {
            "size": {"shortest_edge": size.patch * size.patches},
            "crop_size": square(size),
        },
        processor=lambda size: {
            "patch_size": size.patch,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
    ),
    "llava_onevision": Recipe(
        special={"image_token": "<image>", "video_token": "<video>"},
        mark="<image>",
        config=lambda size, ids: {
            "text_config": text(size, "qwen2", ids),
            "vision_config": vision(size, "siglip_vision_model", vision_use_head=False),
            "image_token_id": ids["image_token"],
            "video_token_id": ids["video_token"],
            "image_grid_pinpoints": [
                [rows * size.patch * size.patches, cols * size.patch * size.patches]
                for rows in (1, 2) for cols in (1, 2)
            ],
        },
        image=lambda size: {
            "size": square(size),
            "image_grid_pinpoints": [
                [rows * size.patch * size.patches, cols * size.patch * size.patches]
                for rows in (1, 2) for cols in (1, 2)
            ],
        },
        processor=lambda size: {
            "num_image_tokens": size.patches**2,
            "vision_feature_select_strategy": "full",
        },
    ),
    "qwen2_vl": Recipe(
        special=QWEN_TOKENS,
        mark=QWEN_MARK,
        config=qwen("qwen2_vl", embed_dim=lambda s: s.vision,
                    hidden_size=lambda s: s.hidden),
        image=qwen_image,
        processor=lambda size: {},
    ),
    "qwen2_5_vl": Recipe(
        special=QWEN_TOKENS,
        mark=QWEN_MARK,
        config=qwen("qwen2_5_vl", hidden_size=lambda s: s.vision,
                    intermediate_size=lambda s: 2 * s.vision,
                    out_hidden_size=lambda s: s.hidden,
                    window_size=lambda s: 4 * s.patch,
                    fullatt_block_indexes=lambda s: [1]),
        image=qwen_image,
        processor=lambda size: {},
    ),
    "qwen3_vl": Recipe(
        special=QWEN_TOKENS,
        mark=QWEN_MARK,
        config=qwen("qwen3_vl", hidden_size=lambda s: s.vision,
                    intermediate_size=lambda s: 2 * s.vision,
                    out_hidden_size=lambda s: s.hidden,
                    num_position_embeddings=lambda s: 16,
                    deepstack_visual_indexes=lambda s: [0]),
        image=qwen_image,
        processor=lambda size: {},
    ),
    "internvl": Recipe(
        special={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        mark="<IMG_CONTEXT>",
        config=lambda size, ids: {
            "text_config": text(size, "qwen2", ids),
            "vision_config": vision(
                size, "internvl_vision",
                image_size=[size.patch * size.patches] * 2, patch_size=[size.patch] * 2,
            ),
            "image_token_id": ids["context_image_token"],
            "image_seq_length": merged(size),
        },
        image=lambda size: {"size": square(size), "crop_to_patches": True},
        processor=lambda size: {"image_seq_length": merged(size)},
    ),
    "deepseek_vl": Recipe(
        special={"image_token": "<image_placeholder>"},
        mark="<image_placeholder>",
        config=lambda size, ids: {
            "text_config": text(size, "llama", ids),
            "vision_config": vision(size, "siglip_vision_model", vision_use_head=False),
            "image_token_id": ids["image_token"],
        },
        image=lambda size: {"size": square(size)},
        processor=lambda size: {"num_image_tokens": size.patches**2},
    ),
    "deepseek_vl_hybrid": Recipe(
        special={"image_token": "<image_placeholder>"},
        mark="<image_placeholder>",
        config=lambda size, ids: {
            "text_config": text(size, "llama", ids),
            "vision_config": vision(size, "siglip_vision_model", vision_use_head=False),
            "high_res_vision_config": vision(
                size, "sam_vision_model", image_size=2 * size.patch * size.patches,
                output_channels=size.vision, window_size=4, global_attn_indexes=[1],
                initializer_range=0.02,
            ),
            "image_token_id": ids["image_token"],
        },
        image=lambda size: {
            "size": square(size),
            "high_res_size": {k: 2 * v for k, v in square(size).items()},
        },
        processor=lambda size: {"num_image_tokens": size.patches**2},
    ),
    "smolvlm": idefics("smolvlm", "smolvlm_vision"),
    "idefics3": idefics("idefics3", "idefics3_vision"),
    "paligemma": Recipe(
        special={"image_token": "<image>"},
        mark="<image>",
        config=lambda size, ids: {
            "text_config": text(size, "gemma", ids),
            "vision_config": vision(
                size, "siglip_vision_model", vision_use_head=False, projection_dim=size.hidden,
                num_image_tokens=size.patches**2,
            ),
            "image_token_id": ids["image_token"],
            "projection_dim": size.hidden,
            "hidden_size": size.hidden,
        },
        image=lambda size: {"size": square(size), "image_seq_length": size.patches**2},
        processor=lambda size: {},
    ),
    "gemma3": Recipe(
        special={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        mark="<start_of_image>",
        config=lambda size, ids: {
            "text_config": text(
                size, "gemma3_text", ids,
                layer_types=["sliding_attention", "full_attention"] * (size.layers // 2),
                sliding_window=24, query_pre_attn_scalar=8,
            ),
            "vision_config": vision(size, "siglip_vision_model", vision_use_head=False),
            "boi_token_index": ids["boi_token"],
            "eoi_token_index": ids["eoi_token"],
            "image_token_id": ids["image_token"],
            "mm_tokens_per_image": merged(size),
        },
        image=lambda size: {"size": square(size), "image_seq_length": merged(size)},
        processor=lambda size: {"image_seq_length": merged(size)},
    ),
    "lfm2_vl": Recipe(
        special={
            "image_token": "<image>",
            "image_start_token": "<|image_start|>",
            "image_end_token": "<|image_end|>",
            "image_thumbnail_token": "<|img_thumbnail|>",
        },
        mark="<image>",
        config=lambda size, ids: {
            "text_config": text(
                size, "lfm2", ids,
                layer_types=["conv", "full_attention"] * (size.layers // 2),
                block_auto_adjust_ff_dim=False,
                architectures=["Lfm2ForCausalLM"],
            ),
            "vision_config": {
                **vision(size, "siglip2_vision_model", num_patches=size.patches**2,
                         vision_use_head=False),
            },
            "image_token_id": ids["image_token"],
            "projector_hidden_size": size.hidden,
            "downsample_factor": 2,
        },
        image=lambda size: {
            "patch_size": size.patch, "encoder_patch_size": size.patch,
            "max_num_patches": size.patches**2,
        },
        processor=lambda size: {},
    ),
}  # fmt: skip


def add_special(tokenizer: Tokenizer, recipe: Recipe) -> Tokenizer:
    """The tokenizer with the family's image tokens after its own."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    wanted = ["<|im_start|>", "<|im_end|>", "<|pad|>", *recipe.special.values()]
    copy.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in wanted])
    return copy


def numbered(model_type: str, tokenizer: Tokenizer) -> tuple[Tokenizer, dict[str, int]]:
    """The tokenizer with the family's tokens, and the numbers that its configuration names."""
    recipe = RECIPES[model_type]
    joined = add_special(tokenizer, recipe)
    own = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|pad|>"}
    ids = {name: joined.token_to_id(token) for name, token in {**recipe.special, **own}.items()}
    return joined, {**ids, "vocabulary": joined.get_vocab_size()}


def save_reading(model_type: str, folder: Path, joined: Tokenizer, size: Size) -> None:
    """Write what reads text and images: tokenizer, image processor, template."""
    recipe, family = RECIPES[model_type], get_family(model_type)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=joined,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        extra_special_tokens=dict(recipe.special),
    )
    fast.save_pretrained(folder)
    image_reader(family).from_dict(recipe.image(size)).save_pretrained(folder)
    options = {"processor_class": family.processor, **recipe.processor(size)}
    (folder / "processor_config.json").write_text(json.dumps(options))
    if family.template is None:
        template = CHATML.replace("IMAGE", recipe.mark)
        (folder / "chat_template.jinja").write_text(template)
    if len(family.side) > 1:  # the encoder takes any size
        side = size.patch * size.patches
        (folder / "text4seg.json").write_text(json.dumps({"square": side}))


def build(
    model_type: str, folder: Path, tokenizer: Tokenizer, *, size: Size = Size(), seed: int = 0
) -> Path:
    """Write the folder of a toy model of this family."""
    family = get_family(model_type)
    joined, ids = numbered(model_type, tokenizer)
    config_class = transformers.AutoConfig.for_model(model_type).__class__
    config = config_class(**RECIPES[model_type].config(size, ids))
    torch.manual_seed(seed)
    model = transformers.AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.1)  # Gemma 3 begins blind: its projector is zero
        # Opinions as strong as a trained model's; an adapter leaves the output layer as it is.
        words = model.get_output_embeddings().weight
        if words.data_ptr() != model.get_input_embeddings().weight.data_ptr():
            words.mul_(_STRENGTH)
        else:
            # Tied: what is read would become stronger, too, and all else would drown in it.
            language = model.get_submodule(family.language)
            norm = getattr(language, "norm", None) or language.embedding_norm
            # Gemma's weights are beside one.
            norm.weight.mul_(_STRENGTH) if norm.weight.any() else norm.weight.add_(_STRENGTH - 1)
    model.save_pretrained(folder)
    save_reading(model_type, folder, joined, size)
    return folder
