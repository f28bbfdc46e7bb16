"""The embedded model and its pretrained parts, loaded once for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tokenizers import Tokenizer

from text4seg.images import open_image
from text4seg.models.nano.encoders.parts import PretrainedParts, get_parts
from text4seg.models.nano.nano_model import NanoModel

IMAGES = Path(__file__).parents[3] / "examples" / "photos"


@pytest.fixture(scope="session")
def parts(nano_parts: None) -> PretrainedParts:
    return get_parts()


@pytest.fixture(scope="session")
def tokenizer(parts: PretrainedParts) -> Tokenizer:
    return parts.tokenizer()


@pytest.fixture(scope="session")
def chat(nano_parts: None) -> NanoModel:
    return NanoModel.load()


@pytest.fixture(scope="session")
def cat() -> Image.Image:
    return open_image(IMAGES / "cat.jpg")
