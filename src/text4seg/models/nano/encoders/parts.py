"""Nano's pretrained parts, converted once: vision encoder, SmolLM2's embedding and tokenizer."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from text4seg.core.errors import OutputError, WeightsError
from text4seg.models.nano.encoders.sentences import Sentences, unpack
from text4seg.models.nano.encoders.smollm2 import read_language_model, read_tokenizer
from text4seg.models.nano.encoders.vision import VisionEncoder
from text4seg.pretrained import weight_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer
    from torch import Tensor

# Their hashes name the folder, so that another version of a part is converted anew.
_CONVERTED = ("smollm2", "efficientnet-lite0", "mobilesam", "minilm")
_LITE, _VIT, _LANGUAGE, _TOKENIZER, _SENTENCES, _SENTENCES_TOKENIZER = _FILES = (
    "efficientnet.safetensors",
    "tinyvit.safetensors",
    "embedding.safetensors",
    "tokenizer.json",
    "sentences.safetensors",
    "sentences-tokenizer.json",
)
_ENCODER = "image_encoder."
_UNUSED = ("image_encoder.norm_head.", "image_encoder.head.")


@dataclass(frozen=True, slots=True)
class PretrainedParts:
    """The pretrained parts on disk.

    Every method raises `WeightsError` where a converted file is damaged.

    Attributes:
        folder: The converted parts.
        graph: The detector's TensorFlow graph, as it was downloaded.
        layout: OpenCV's description of that graph.
    """

    folder: Path
    graph: Path
    layout: Path

    def vision_encoder(self) -> VisionEncoder:
        """The frozen vision encoder, loaded."""
        with self._readable():
            return VisionEncoder(
                efficientnet_weights=self.folder / _LITE,
                tinyvit_weights=self.folder / _VIT,
                graph=self.graph,
                layout=self.layout,
            )

    def embedding(self) -> Tensor:
        """SmolLM2's token embedding, bfloat16 `49152 576`."""
        from safetensors.torch import load_file

        with self._readable():
            return load_file(self.folder / _LANGUAGE)["embed_tokens.weight"]

    def classifier(self) -> tuple[Tensor, Tensor]:
        """EfficientNet's last layer: weights `1000 1280` and biases of ImageNet's logits."""
        from safetensors import safe_open

        with self._readable(), safe_open(self.folder / _LITE, "pt") as file:
            return file.get_tensor("_fc.weight"), file.get_tensor("_fc.bias")

    def sentences(self) -> Sentences:
        """The sentence encoder, loaded."""
        from safetensors.torch import load_file

        with self._readable():
            weights = load_file(self.folder / _SENTENCES)
        return Sentences(weights, self._read_tokenizer(_SENTENCES_TOKENIZER))

    def tokenizer(self) -> Tokenizer:
        """SmolLM2's tokenizer; a new one each time, since it can be configured."""
        return self._read_tokenizer(_TOKENIZER)

    def _read_tokenizer(self, name: str) -> Tokenizer:
        """A tokenizer of the folder."""
        from tokenizers import Tokenizer

        with self._readable():
            # Read here: the tokenizers library raises nothing more precise than Exception.
            text = (self.folder / name).read_text(encoding="utf-8")
            json.loads(text)
            return Tokenizer.from_str(text)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn errors of reading into one that says what to do: converting again mends damage."""
        from safetensors import SafetensorError

        try:
            yield
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise WeightsError(
                f"{self.folder} is damaged ({error}); remove this folder, it will be made again"
            ) from error


def get_parts(
    root: Path | None = None, progress: weight_files.Progress | None = None
) -> PretrainedParts:
    """Find the pretrained parts; download and convert them where that has not been done.

    Args:
        root: The cache of weights; by default the user's.
        progress: Called with what is being done.

    Returns:
        The parts, all there.

    Raises:
        WeightsError, OutputError: See `text4seg.pretrained.weight_files.fetch`.
    """
    root = root or weight_files.weights_folder()
    weight_files.fetch_all(root, progress)
    folder = root / f"nano-{_version()}"
    # Whole or not at all: a folder that lacks a file is made again.
    if not all((folder / name).is_file() for name in _FILES):
        if progress:
            progress("converting")
        shutil.rmtree(folder, ignore_errors=True)
        _convert(root, folder)
    return PretrainedParts(
        folder,
        weight_files.locate("ssd-mobilenet-v2", root),
        weight_files.locate("ssd-mobilenet-v2-layout", root),
    )


def _version() -> str:
    """The version of the converted parts: it changes with any of their sources."""
    hashes = "".join(weight_files.get_part(name).sha256 for name in _CONVERTED)
    return hashlib.sha256(hashes.encode()).hexdigest()[:12]


def _convert(root: Path, folder: Path) -> None:
    """Convert into a temporary folder and rename it, so that half a folder is never read."""
    from safetensors import SafetensorError

    try:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as work:
            beside = Path(work) / folder.name
            beside.mkdir()
            _write_converted(root, beside)
            beside.replace(folder)
    except OSError as error:
        if folder.is_dir():  # another process was first
            return
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    except SafetensorError as error:  # which is what a full disk becomes there
        raise OutputError(f"cannot write {folder}: {error}") from error


def _write_converted(root: Path, folder: Path) -> None:
    """Write what nano reads of each part as safetensors and JSON."""
    from safetensors.torch import save_file

    lite = torch.load(
        weight_files.locate("efficientnet-lite0", root), weights_only=True, map_location="cpu"
    )
    save_file({name: value.contiguous() for name, value in lite.items()}, folder / _LITE)
    sam = torch.load(weight_files.locate("mobilesam", root), weights_only=True, map_location="cpu")
    # Only MobileSAM's image encoder, without its classifier, is of use here.
    encoder = {
        name.removeprefix(_ENCODER): value.contiguous()
        for name, value in sam.items()
        if name.startswith(_ENCODER) and not name.startswith(_UNUSED)
    }
    save_file(encoder, folder / _VIT)
    gguf = weight_files.locate("smollm2", root)
    embedding = read_language_model(gguf, layers=0)["embed_tokens.weight"].bfloat16()
    save_file({"embed_tokens.weight": embedding}, folder / _LANGUAGE)
    (folder / _TOKENIZER).write_text(read_tokenizer(gguf).to_str(), encoding="utf-8")
    sentences, words = unpack(weight_files.locate("minilm", root))
    save_file(sentences, folder / _SENTENCES)
    (folder / _SENTENCES_TOKENIZER).write_text(words, encoding="utf-8")
