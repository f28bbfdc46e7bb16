"""Images that stand in two splits: by their ids, and by what they look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.data.interface import Sample

NEAR = 2
"""Hashes of 64 bits that differ in so many or fewer are called the same image."""


@dataclass(frozen=True, slots=True)
class HeldOutImages:
    """Images that must not be trained on, known by id and by 64-bit difference hash."""

    ids: frozenset[str] = frozenset()
    hashes: tuple[int, ...] = field(default=())

    def find_leak(self, sample: Sample) -> str:
        """Why this image is one of them, or an empty text; raises `InputError` for a broken one."""
        if sample.id and sample.id in self.ids:
            return f"the image {sample.id} of {sample.image} is held out"
        if self.hashes:
            own = image_hash(sample)
            if any((own ^ other).bit_count() <= NEAR for other in self.hashes):
                return f"{sample.image} looks like an image that is held out"
        return ""


def hold_out_images(samples: Iterable[Sample], *, by_look: bool = True) -> HeldOutImages:
    """What is needed to keep these images out; images that cannot be opened go by id alone."""
    ids, hashes = set(), set()
    for sample in samples:
        ids.add(sample.id)
        if by_look:
            try:
                hashes.add(image_hash(sample))
            except InputError:
                continue  # the split's own report tells of it
    return HeldOutImages(frozenset(ids - {""}), tuple(sorted(hashes)))


def image_hash(sample: Sample) -> int:
    """The 64-bit difference hash of an image, that scaling and compression hardly change."""
    try:
        import imagehash
    except ImportError:
        raise MissingExtraError("imagehash", "data") from None
    return int(str(imagehash.dhash(sample.open_image())), 16)
