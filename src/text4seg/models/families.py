"""Families of vision-language models as one table of facts.

No code asks which family a model is of; it reads the model's row. The facts:

- **image**: an image is stretched to one square that the vision encoder takes as it is, with no
  crop, no pad and no tiles, so that a cell of the text grid is where the text says it is;
- **prompt**: the chat template comes with the model; the row has one for models without;
- **training**: which modules LoRA adapts (all linear layers of the language model and of the
  projector; the vision encoder stays frozen);
- **stepping**: what a cache that holds the image can be reused for, and how positions count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from text4seg.core.registry import Registry

# User and assistant turns for a model without a template; such models know no turns.
_BARE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% if message['role'] == 'user' %}{{ separator }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table.

    Attributes:
        name: As people call it.
        model_type: What `config.json` calls it.
        processor: The class of transformers that joins text and image. Videos are never read, so
            it is made without a video processor, which would need torchvision.
        image_processor: The class that reads images without torchvision.
        side: The square's side in pixels: the product of numbers and attributes of the
            configuration. Where the encoder takes any size, it is 16 image tokens wide.
        image_options: What switches off crop, pad and tiles.
        language: The module that LoRA adapts in full.
        projector: The module between the vision encoder and the language model, adapted too.
        template: A chat template (Jinja) for a folder that has none.
        question_seen_by_image: Whether the image's tokens attend to the question (a prefix
            language model). Then only the encoder's output can be shared by questions, and the
            prompt is prefilled for each.
        answer_type: The token type of an answer's tokens; a prompt's come from the processor.
        first_position: The position of a prompt's first token.
        rope_axes: Axes of a position: three for multimodal rotary positions, whose image counts
            as fewer positions than it has tokens.
        stretches: Whether the image processor stretches where its size has height and width, so
            that a server does what is done here.
        nested_encoder: Whether servers look for the encoder one level deeper, as
            `vision_tower.vision_model`, where transformers 4 had it.
        gguf: Whether llama.cpp's converter takes encoder and language model as they are exported.
        ms_swift: What ms-swift calls the model and its template; empty where it does not know the
            family in transformers' layout.
        llama_factory: What LLaMA-Factory calls the template; empty where it has none, or would
            train the vision encoder, too.
        projector_layers: The projector's linear layers as LLaMA-Factory is to find them: it adapts
            only those that are named.
        note: What is peculiar, for the docs.
        processor_options: Further arguments of the processor.
    """

    name: str
    model_type: str
    processor: str
    image_processor: str
    side: tuple[str | int, ...]
    image_options: Mapping[str, Any]
    language: str = "model.language_model"
    projector: str = "model.multi_modal_projector"
    template: str | None = None
    question_seen_by_image: bool = False
    answer_type: int = 0
    first_position: int = 0
    rope_axes: int = 1
    stretches: bool = False
    nested_encoder: bool = False
    gguf: bool = False
    ms_swift: tuple[str, ...] = ()
    llama_factory: str = ""
    projector_layers: tuple[str, ...] = ()
    note: str = ""
    processor_options: Mapping[str, Any] = field(default_factory=dict)


# The square is made here, with the same interpolation in training and inference.
_UNTOUCHED: Mapping[str, Any] = {"do_resize": False}
# LLaMA-Factory adapts only projector layers that are named; the names differ by family.
_PAIR = ("multi_modal_projector.linear_1", "multi_modal_projector.linear_2")
_MLP = ("visual.merger.mlp.0", "visual.merger.mlp.2")
# Encoders of a fixed size: the square is just that.
_IMAGE_SIZE = ("vision_config.image_size",)
# Encoders of any size: 16 image tokens wide, so that a token is a cell of the default grid.
_QWEN_SIDE = (16, "vision_config.patch_size", "vision_config.spatial_merge_size")
_QWEN_NOTE = "448 pixels and 28 a token (Qwen3-VL: 512 and 32): one image token a cell at 16x16"

_ROWS: tuple[Family, ...] = (
    Family(
        name="LLaVA-1.5",
        model_type="llava",
        processor="LlavaProcessor",
        image_processor="CLIPImageProcessorPil",
        side=_IMAGE_SIZE,
        # Cells outside the crop would never be seen.
        image_options={**_UNTOUCHED, "do_center_crop": False},
        stretches=True,
        nested_encoder=True,
        ms_swift=("llava1_5_hf", "llava1_5_hf"),
        llama_factory="llava",
        projector_layers=_PAIR,
        note="CLIP's processor would crop the middle square",
    ),
    Family(
        name="LLaVA-OneVision",
        model_type="llava_onevision",
        processor="LlavaOnevisionProcessor",
        image_processor="LlavaOnevisionImageProcessorPil",
        side=_IMAGE_SIZE,
        # The processor resizes by itself; a square needs no padding.
        image_options={"do_pad": False},
        nested_encoder=True,
        ms_swift=("llava_onevision_hf", "llava_onevision_hf"),
        note="the square is its overview and its only tile, so it is seen twice",
    ),
    Family(
        name="Qwen2-VL",
        model_type="qwen2_vl",
        processor="Qwen2VLProcessor",
        image_processor="Qwen2VLImageProcessorPil",
        side=_QWEN_SIDE,
        image_options=_UNTOUCHED,
        # The merger of patches is the projector of this architecture.
        projector="model.visual.merger",
        # Multimodal rotary positions: time, height, width.
        rope_axes=3,
        gguf=True,
        ms_swift=("qwen2_vl", "qwen2_vl"),
        llama_factory="qwen2_vl",
        projector_layers=_MLP,
        note=_QWEN_NOTE,
    ),
    Family(
        name="Qwen2.5-VL",
        model_type="qwen2_5_vl",
        processor="Qwen2_5_VLProcessor",
        image_processor="Qwen2VLImageProcessorPil",
        side=_QWEN_SIDE,
        image_options=_UNTOUCHED,
        projector="model.visual.merger",
        rope_axes=3,
        gguf=True,
        ms_swift=("qwen2_5_vl", "qwen2_5_vl"),
        llama_factory="qwen2_vl",
        projector_layers=_MLP,
        note=_QWEN_NOTE,
    ),
    Family(
        name="Qwen3-VL",
        model_type="qwen3_vl",
        processor="Qwen3VLProcessor",
        image_processor="Qwen2VLImageProcessorPil",
        side=_QWEN_SIDE,
        image_options=_UNTOUCHED,
        projector="model.visual.merger",
        rope_axes=3,
        gguf=True,
        ms_swift=("qwen3_vl", "qwen3_vl"),
        # The thinking template would put reasoning before the mask.
        llama_factory="qwen3_vl_nothink",
        projector_layers=("visual.merger.linear_fc1", "visual.merger.linear_fc2"),
        note=_QWEN_NOTE,
    ),
    Family(
        name="InternVL",
        model_type="internvl",
        processor="InternVLProcessor",
        image_processor="GotOcr2ImageProcessorPil",
        side=_IMAGE_SIZE,
        # One tile: with several, a cell would belong to more than one of them.
        image_options={**_UNTOUCHED, "crop_to_patches": False},
        stretches=True,
        ms_swift=("internvl", "internvl_hf"),
        llama_factory="intern_vl",
        projector_layers=_PAIR,
        note="the -hf checkpoints; its processor would cut up to 12 tiles",
    ),
    Family(
        name="DeepSeek-VL 1.3B",
        model_type="deepseek_vl",
        processor="DeepseekVLProcessor",
        image_processor="DeepseekVLImageProcessorPil",
        side=_IMAGE_SIZE,
        image_options={**_UNTOUCHED, "do_pad": False},
        projector="model.aligner",
        note="the 1.3B architecture; its processor would pad to a square",
    ),
    Family(
        name="DeepSeek-VL 7B",
        model_type="deepseek_vl_hybrid",
        processor="DeepseekVLHybridProcessor",
        image_processor="DeepseekVLHybridImageProcessorPil",
        # The larger of two encoders decides.
        side=("high_res_vision_config.image_size",),
        image_options={"do_pad": False},
        projector="model.aligner",
        note="two encoders: SAM's sees the square, SigLIP a smaller copy; it would pad to a square",
    ),
    Family(
        name="SmolVLM",
        model_type="smolvlm",
        processor="Idefics3Processor",
        image_processor="SmolVLMImageProcessorPil",
        side=_IMAGE_SIZE,
        image_options={**_UNTOUCHED, "do_image_splitting": False},
        # Idefics architectures name their parts in their own way.
        language="model.text_model",
        projector="model.connector",
        gguf=True,
        note="its own processor needs num2words, for videos alone; Idefics3's writes the same",
    ),
    Family(
        name="Idefics3",
        model_type="idefics3",
        processor="Idefics3Processor",
        image_processor="Idefics3ImageProcessorPil",
        side=_IMAGE_SIZE,
        image_options={**_UNTOUCHED, "do_image_splitting": False},
        language="model.text_model",
        projector="model.connector",
        gguf=True,
        ms_swift=("idefics3", "idefics3"),
        note="its processor would cut tiles",
    ),
    Family(
        name="PaliGemma",
        model_type="paligemma",
        processor="PaliGemmaProcessor",
        image_processor="SiglipImageProcessorPil",
        side=_IMAGE_SIZE,
        image_options=_UNTOUCHED,
        # No turns: the question stands right after the image, the answer after a line break.
        template=_BARE.replace("{{ separator }}", ""),
        question_seen_by_image=True,
        # Token type 1 is causal; positions of this architecture start at 1.
        answer_type=1,
        first_position=1,
        stretches=True,
        nested_encoder=True,
        ms_swift=("paligemma", "paligemma"),
        llama_factory="paligemma",
        projector_layers=("multi_modal_projector.linear",),
        note="a prefix language model: each question prefills the whole prompt",
    ),
    Family(
        name="Gemma 3",
        model_type="gemma3",
        processor="Gemma3Processor",
        image_processor="Gemma3ImageProcessorPil",
        side=_IMAGE_SIZE,
        # Pan and scan would add crops beside the whole image.
        image_options={**_UNTOUCHED, "do_pan_and_scan": False},
        stretches=True,
        nested_encoder=True,
        gguf=True,
        ms_swift=("gemma3_vision", "gemma3_vision"),
        llama_factory="gemma3",
        note="sliding-window layers: their cache keeps what a pass may have to take back",
    ),
    Family(
        name="LFM2-VL",
        model_type="lfm2_vl",
        processor="Lfm2VlProcessor",
        image_processor="text4seg.models.hf.lfm2_image.Lfm2VlImageProcessorPil",
        # 16 tokens wide, after patches are merged by the downsampling factor.
        side=(16, "vision_config.patch_size", "downsample_factor"),
        image_options=_UNTOUCHED,
        nested_encoder=True,
        gguf=True,
        note="a cache of convolutions and attention; its own image processor needs torchvision",
    ),
)

FAMILIES: Registry[Family] = Registry(
    "family of models", "text4seg.families", {family.model_type: family for family in _ROWS}
)
"""Every family by its `model_type`; packages add theirs as entry points `text4seg.families`."""


def get_family(model_type: str) -> Family:
    """The family of a `model_type`.

    Args:
        model_type: As in a model's `config.json`.

    Returns:
        The row of the table.

    Raises:
        UnknownNameError: There is none; the message lists those there are.
    """
    return FAMILIES[model_type]


def square_side(family: Family, config: Any) -> int:
    """The side in pixels of the square that a model of this configuration sees."""
    # A product, because encoders of any size multiply tokens, patches and merging.
    side = 1
    for factor in family.side:
        side *= factor if isinstance(factor, int) else _number(config, factor)
    return side


def _number(config: Any, path: str) -> int:
    # A path such as `vision_config.image_size`; some configurations hold (height, width).
    value = config
    for name in path.split("."):
        value = getattr(value, name)
    return int(value[0] if isinstance(value, list | tuple) else value)
