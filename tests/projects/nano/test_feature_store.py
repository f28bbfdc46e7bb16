"""Features are computed once, also across runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from projects.nano.feature_store import FeatureStore, statistics


class Looks:
    """An encoder that counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, image: Image.Image) -> torch.Tensor:
        self.count += 1
        return torch.full((256, 3), float(image.width)).half()


def image(root: Path, name: str, width: int) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, 4)).save(path)
    return path


def test_an_image_is_encoded_once(tmp_path: Path) -> None:
    root, looks = tmp_path / "data", Looks()
    first, second = image(root, "coco/a.png", 5), image(root, "clothing/a.png", 7)
    store = FeatureStore(tmp_path / "kept", root, looks)
    assert [int(store[path][0, 0]) for path in (first, second, first)] == [5, 7, 5]
    assert looks.count == 2
    again = FeatureStore(tmp_path / "kept", root)
    assert torch.equal(again[second], store[second])
    assert again[second].dtype == torch.float16
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == ["clothing%2Fa.png.pt", "coco%2Fa.png.pt"], "and no halves beside"


def test_images_of_like_names_do_not_share_a_file(tmp_path: Path) -> None:
    root, looks = tmp_path / "data", Looks()
    paths = [image(root, name, 3 + i) for i, name in enumerate(("a_b/c.png", "a/b_c.png"))]
    store = FeatureStore(tmp_path / "kept", root, looks)
    assert [int(store[path][0, 0]) for path in paths] == [3, 4]
    again = FeatureStore(tmp_path / "kept", root)
    assert [int(again[path][0, 0]) for path in paths] == [3, 4]


def test_without_an_encoder_a_missing_image_is_an_error(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "kept", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a\.png\.pt: no features, and no encoder"):
        _ = store[image(tmp_path, "a.png", 5)]


def test_statistics_are_those_of_all_cells_of_all_images() -> None:
    torch.manual_seed(0)
    images = [torch.randn(256, 5).half() * scale for scale in (0.5, 2.0, 1.0)]
    mean, std = statistics(images, 3)
    cells = torch.cat(images)[:, :3].float()
    assert torch.allclose(mean, cells.mean(0), atol=1e-4)
    assert torch.allclose(std, cells.std(0, unbiased=False), atol=1e-3)


def test_a_channel_that_never_changes_does_not_divide_by_nothing() -> None:
    _, std = statistics([torch.full((256, 3), 2.0)], 2)
    assert std.tolist() == pytest.approx([0.01, 0.01])
