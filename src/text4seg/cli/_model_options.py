"""Getting a model ready, with a word to the user where that takes a while."""

from __future__ import annotations

from pathlib import Path

from text4seg.cli._console import log, progress
from text4seg.core.types import GridShape
from text4seg.models import is_nano
from text4seg.pretrained.weights import PARTS, fetch, part_path, weights_folder
from text4seg.segmenter import Choices, Segmenter

REFINER_HELP = "none, smooth, crf, sam, sam@768, sam-int8, auto, or sam2:FOLDER and its like."


def load_segmenter(
    model: str,
    *,
    refiner: str = "none",
    grid: str | GridShape = "16x16",
    format_name: str | None = None,
    draft: str = "auto",
    choices: Choices | None = None,
) -> Segmenter:
    """Load a model; on the first use of nano its pretrained parts are fetched."""
    if is_nano(model):
        fetch_parts(weights_folder())
    with progress(f"loading {model}"):
        return Segmenter.from_pretrained(
            model,
            refiner=refiner,
            grid=grid,
            format=format_name,
            draft=draft,
            choices=choices,
        )


def fetch_parts(root: Path) -> None:
    """Fetch the parts that are missing or damaged into a folder."""
    missing = [part for name, part in PARTS.items() if not part_path(name, root).exists()]
    if missing:
        size = sum(part.size for part in missing) / 1e6
        log(f"fetching pretrained parts, {size:.0f} MB in all, into {root}")
    with progress("weights", len(PARTS)) as bar:
        for name in PARTS:
            fetch(name, root, progress=bar.describe)
            bar.advance()
