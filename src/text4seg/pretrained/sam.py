"""Promptable segmentation models with one interface: image → features, prompt → mask logits.

MobileSAM is embedded; SAM, SAM-HQ, SAM 2 and the tracker of SAM 3 are read by transformers from a
folder or a hub. `SAM_FAMILIES` lists what distinguishes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float32
from PIL.Image import Resampling
from torch import Tensor

from text4seg.core.errors import InputError, WeightsError
from text4seg.core.types import Size
from text4seg.pretrained.frame import Frame, Prompt
from text4seg.pretrained.mobilesam import PATCH, SIDE, load_mobilesam
from text4seg.pretrained.tinyvit import PIXEL_MEAN, PIXEL_STD

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET = (tuple(m / 255 for m in PIXEL_MEAN), tuple(s / 255 for s in PIXEL_STD))
_LOOKED_AT = 32
"""Pixels of padding that MobileSAM encodes."""
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, slots=True)
class SamFamily:
    """What distinguishes one family of models from another.

    Attributes:
        model: The class in transformers.
        types: The `model_type`s of its configurations.
        normalization: Mean and standard deviation of the pixels, 0 to 1.
        stretched: Whether images are stretched over the square instead of padded.
    """

    model: str
    types: tuple[str, ...]
    normalization: tuple[tuple[float, ...], tuple[float, ...]]
    stretched: bool


SAM_FAMILIES = {
    "sam": SamFamily("SamModel", ("sam",), IMAGENET, stretched=False),
    "sam_hq": SamFamily("SamHQModel", ("sam_hq",), IMAGENET, stretched=False),
    "sam2": SamFamily("Sam2Model", ("sam2", "sam2_video"), IMAGENET, stretched=True),
    "sam3": SamFamily("Sam3TrackerModel", ("sam3_tracker", "sam3_video"), HALVES, stretched=True),
}


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """An encoded image.

    Attributes:
        given: Arguments of the model's forward call.
        frame: The image's place in the square.
    """

    given: dict[str, Any]
    frame: Frame


class Sam:
    """One promptable model; made by `embedded` or `from_pretrained`."""

    def __init__(
        self,
        model: Any,
        *,
        encode: Callable[[Tensor, Size], dict[str, Any]],
        side: int,
        mask_side: int,
        stretched: bool,
    ) -> None:
        self.model = model
        self.side = side
        self.mask_side = mask_side
        self.stretched = stretched
        self._encode = encode

    @property
    def device(self) -> torch.device:
        return next(self.model.mask_decoder.parameters()).device

    @classmethod
    def embedded(cls, side: int = SIDE, *, int8: bool = False, device: str | None = None) -> Sam:
        """Build the embedded MobileSAM.

        Args:
            side: The long side of images in pixels, a multiple of 32.
            int8: Quantize the encoder's linear layers to bytes; they then run on the CPU.
            device: A torch device; None for a GPU where there is one.

        Returns:
            The model.

        Raises:
            InputError: The side is not a multiple of 32.
            WeightsError: The part cannot be fetched.
        """
        model = load_mobilesam(side=side)
        if int8:
            model.vision_encoder = _quantized(model.vision_encoder)
        model.to("cpu" if int8 else device or default_device())

        def encode(pixels: Tensor, inner: Size) -> dict[str, Any]:
            return {"image_embeddings": _without_padding(model, pixels, inner)}

        return cls(model, encode=encode, side=side, mask_side=side // 4, stretched=False)

    @classmethod
    def from_pretrained(cls, name: str, *, family: str = "sam", device: str | None = None) -> Sam:
        """Load a model from a folder or a hub; only safetensors are read.

        Args:
            name: The folder or the hub's name.
            family: A name of `SAM_FAMILIES`.
            device: A torch device; None for a GPU where there is one.

        Returns:
            The model.

        Raises:
            InputError: The model is of another family.
            WeightsError: There is no readable model under the name.
        """
        import transformers

        facts = SAM_FAMILIES[family]
        try:
            config = transformers.AutoConfig.from_pretrained(name)
            if config.model_type not in facts.types:
                raise InputError(
                    f"{name} holds a model of type {config.model_type!r}, and {family} "
                    f"needs {' or '.join(facts.types)}"
                )
            made = getattr(transformers, facts.model)
            model = made.from_pretrained(name, use_safetensors=True).eval()
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"no {family} can be read from {name}: {error}") from error
        model.to(device or default_device())
        side = int(model.prompt_encoder.input_image_size)
        mask_side = 4 * int(model.prompt_encoder.image_embedding_size[0])
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in facts.normalization)

        def encode(pixels: Tensor, inner: Size) -> dict[str, Any]:
            del inner
            found = model.get_image_embeddings((pixels - mean.to(pixels)) / std.to(pixels))
            if family == "sam_hq":
                return {"image_embeddings": found[0], "intermediate_embeddings": found[1]}
            return {"image_embeddings": found}

        return cls(model, encode=encode, side=side, mask_side=mask_side, stretched=facts.stretched)

    def frame(self, size: Size) -> Frame:
        """Get the place of an image of this size in the model's square."""
        return Frame.build(size, self.side, self.mask_side, stretched=self.stretched)

    @torch.inference_mode()
    def encode(self, image: Image) -> ImageFeatures:
        """Encode an image; the expensive step, once for all its prompts.

        Args:
            image: Upright RGB of any size.

        Returns:
            Its features.
        """
        frame = self.frame(Size(image.height, image.width))
        square = np.empty((self.side, self.side, 3), dtype=np.float32)
        square[:] = PIXEL_MEAN
        wanted = (frame.inner.width, frame.inner.height)
        scaled = image.resize(wanted, Resampling.BILINEAR)
        square[: frame.inner.height, : frame.inner.width] = np.asarray(scaled)
        pixels = torch.from_numpy(square).permute(2, 0, 1)[None].to(self.device)
        return ImageFeatures(self._encode(pixels, frame.inner), frame)

    @torch.inference_mode()
    def decode(
        self, features: ImageFeatures, prompt: Prompt, *, several: bool
    ) -> tuple[Float32[np.ndarray, "masks side side"], Float32[np.ndarray, " masks"]]:
        """Decode one prompt.

        Args:
            features: Of the image.
            prompt: The prompt, in pixels of the square.
            several: Return three candidates, for an ambiguous prompt, instead of one.

        Returns:
            Mask logits, `mask_side` along both axes, and the model's estimate of each one's IoU.
        """

        def batch(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values)[None, None].to(self.device)

        # SAM's coordinates start at the center of the first pixel; it adds the half itself.
        given: dict[str, Any] = {"input_boxes": batch(prompt.box - 0.5)}
        if len(prompt.points):
            given["input_points"] = batch(prompt.points - 0.5)
            given["input_labels"] = batch(prompt.labels)
        found = self.model(
            **features.given,
            **given,
            input_masks=batch(prompt.mask),
            multimask_output=several,
        )
        masks = found.pred_masks[0, 0].float().cpu().numpy()
        return masks, found.iou_scores[0, 0].float().cpu().numpy()[: len(masks)]


def default_device() -> str:
    """Get "cuda" where torch sees a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _without_padding(model: Any, pixels: Tensor, inner: Size) -> Tensor:
    """Features of the square, with most of its padding not encoded."""
    # Encoding all padding takes 1.9 times as long at 3:2 (docs/refine.md). A little is encoded, and
    # its outermost features stand for the rest.
    side, step = pixels.shape[-1], 2 * PATCH
    height, width = (
        min(side, -(-length // step) * step + _LOOKED_AT) for length in (inner.height, inner.width)
    )
    seen: Tensor = model.get_image_embeddings(pixels[:, :, :height, :width])
    below, right = (side - height) // PATCH, (side - width) // PATCH
    return torch.nn.functional.pad(seen, (0, right, 0, below), mode="replicate")


def _quantized(encoder: torch.nn.Module) -> torch.nn.Module:
    """The encoder with dynamically quantized linear layers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
        made: torch.nn.Module = torch.ao.quantization.quantize_dynamic(
            encoder, {torch.nn.Linear}, dtype=torch.qint8
        )
    return made
