"""Images that are in two splits, found by their ids and by what they look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from text4seg.core.errors import InputError, MissingExtraError
from text4seg.data.interface import Sample

NEAR = 2
"""Two images are the same if their 64-bit hashes differ in at most this many bits."""


@dataclass(frozen=True, slots=True)
class HeldOutImages:
    """Images that must not be trained on.

    Attributes:
        ids: Their ids in the data set.
        hashes: Their 64-bit difference hashes.
    """

    ids: frozenset[str] = frozenset()
    hashes: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.ids or self.hashes)

    def contains(self, sample: Sample) -> bool:
        """Find out whether an image is one of them, by its id or by its look.

        Args:
            sample: The image.

        Returns:
            True for an image that must be left out.

        Raises:
            InputError: The image cannot be opened.
            MissingExtraError: There are hashes, and imagehash is not installed.
        """
        if sample.id and sample.id in self.ids:
            return True
        if not self.hashes:
            return False
        own = image_hash(sample)
        return any((own ^ other).bit_count() <= NEAR for other in self.hashes)


def hold_out_images(samples: Iterable[Sample], *, by_look: bool = True) -> HeldOutImages:
    """Collect what is needed to recognise images.

    Args:
        samples: The images. One that cannot be opened is known by its id alone.
        by_look: Whether to open the images and hash them too.

    Returns:
        Their ids and hashes.

    Raises:
        MissingExtraError: `by_look` is set, and imagehash is not installed.
    """
    ids, hashes = set(), set()
    for sample in samples:
        ids.add(sample.id)
        if by_look:
            try:
                hashes.add(image_hash(sample))
            except InputError:
                continue  # the report of the data set counts it
    return HeldOutImages(frozenset(ids - {""}), tuple(sorted(hashes)))


def image_hash(sample: Sample) -> int:
    """Compute the 64-bit difference hash of an image, which scaling and compression hardly change.

    Raises:
        InputError: The image cannot be opened.
        MissingExtraError: imagehash is not installed.
    """
    try:
        import imagehash
    except ImportError:
        raise MissingExtraError("imagehash", "data") from None
    return int(str(imagehash.dhash(sample.open_image())), 16)
