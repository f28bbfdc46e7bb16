"""An image with a dog, and a model that finds it."""

from __future__ import annotations

from PIL import Image

from tests.fakes import FakeChat, block

DOG = block("the dog", slice(4, 8), slice(2, 10))
IMAGE = Image.new("RGB", (160, 96), (30, 60, 90))


def chat(form: str = "sd", **options: object) -> FakeChat:
    return FakeChat({"the dog": DOG}, form=form, **options)
