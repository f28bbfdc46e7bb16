r"""Make nano's word lists, which are shipped with it, from WordNet 3.0.

    python -m projects.nano.wordnet --wordnet DIR --images DIR

`--wordnet` holds `data.noun` and `index.noun` (Debian's package `wordnet-base` has them under
`usr/share/wordnet`); `--images` one image a class of ImageNet, named `WNID_NAME.jpg`. Written are

- `imagenet.tsv`: a line a class in the order of ImageNet's 1,000 logits: its id in WordNet, its
  name, other words for it, kinds that it is of ("beagle": "hound", "dog", "animal");
- `thesaurus.tsv.gz`: a line a word for a thing that can be seen: the word, and the names that nano
  was taught which are its synonyms or its kind ("settee": "couch"), nearest first.

Words that the evaluation keeps from nano (`HELD_OUT`) are in no list of what it was taught.
"""

from __future__ import annotations

import argparse
import gzip
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from text4seg.core.files import write_atomically
from text4seg.models.nano.text.lexicon import IMAGENET, THESAURUS, core_words, taught_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# WordNet's files of nouns: animals, artifacts, body, food, objects, persons, plants.
_SEEN = frozenset((5, 6, 8, 13, 17, 18, 20))
# Kinds so wide that nobody asks for one to be segmented.
_WIDE = frozenset((Path(__file__).parent / "wide_kinds.txt").read_text().splitlines())
_HIGHEST = 4
_SENSES = 6
_MOST_NAMES = 6
_PERSONS = 18


@dataclass(frozen=True, slots=True)
class Synset:
    """A synset of WordNet.

    Attributes:
        file: Number of the lexicographer's file, such as 5 for animals.
        words: In lower case, with spaces.
        kinds: Offsets of the hypernyms.
    """

    file: int
    words: tuple[str, ...]
    kinds: tuple[int, ...]


def read_synsets(folder: Path) -> dict[int, Synset]:
    """Read the synsets of all nouns, by offset."""
    found = {}
    for line in (folder / "data.noun").read_text().splitlines():
        if line.startswith(" "):
            continue
        fields = line.partition(" | ")[0].split(" ")
        count = int(fields[3], 16)
        words = tuple(fields[4 + 2 * i].replace("_", " ").lower() for i in range(count))
        pointers = fields[5 + 2 * count :]
        kinds = tuple(
            int(pointers[i + 1])
            for i in range(0, len(pointers) - 3, 4)
            if pointers[i].startswith("@")
        )
        found[int(fields[0])] = Synset(int(fields[1]), words, kinds)
    return found


def read_senses(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Read every noun with the offsets of its senses, the commonest first."""
    for line in (folder / "index.noun").read_text().splitlines():
        if not line.startswith(" "):
            fields = line.split()
            yield fields[0].replace("_", " "), [int(o) for o in fields[-int(fields[2]) :]]


def kinds_of(synsets: Mapping[int, Synset], offset: int, *, highest: int) -> list[list[int]]:
    """Find the hypernyms level by level; the synset itself is level 0."""
    levels, seen = [[offset]], {offset}
    for _ in range(highest):
        above = [k for o in levels[-1] for k in synsets[o].kinds if k not in seen]
        if not above:
            break
        seen.update(above)
        levels.append(list(dict.fromkeys(above)))
    return levels


def imagenet_lines(images: Path, synsets: Mapping[int, Synset]) -> Iterator[str]:
    """Make the lines of `imagenet.tsv`."""
    for image in sorted(images.glob("n*.jpg")):
        wnid, _, name = image.stem.partition("_")
        name = name.replace("_", " ").strip().lower()
        levels = kinds_of(synsets, int(wnid[1:]), highest=9)
        others = [w for w in synsets[levels[0][0]].words if w != name]
        wide = [w for level in levels[1:] for o in level for w in synsets[o].words[:2]]
        kinds = [w for w in dict.fromkeys(wide) if w not in _WIDE and w not in (name, *others)]
        yield "\t".join((wnid, name, "|".join(others), "|".join(kinds)))


def thesaurus_lines(
    synsets: Mapping[int, Synset],
    senses: Iterable[tuple[str, list[int]]],
    core: frozenset[str],
    taught: frozenset[str],
) -> Iterator[str]:
    """Make the lines of the thesaurus: an unknown word and the nearest known ones.

    Args:
        synsets: All synsets, by offset.
        senses: Nouns with their senses.
        core: Known words of things with true masks; they come first.
        taught: All known words.

    Yields:
        A line for each unknown word with a visible sense. If a word can mean a thing, senses that
        are persons do not count.
    """
    for word, offsets in senses:
        if word in taught or not word[:1].isalpha():
            continue
        seen = [o for o in offsets[:_SENSES] if synsets[o].file in _SEEN]
        things = [o for o in seen if synsets[o].file != _PERSONS]
        found = [n for wanted in (core, taught) for n in _nearest(synsets, things or seen, wanted)]
        if found:
            yield f"{word}\t{'|'.join(list(dict.fromkeys(found))[:_MOST_NAMES])}"


def _nearest(synsets: Mapping[int, Synset], senses: list[int], wanted: frozenset[str]) -> list[str]:
    ranked: dict[int, list[str]] = defaultdict(list)
    for offset in senses:
        for height, level in enumerate(kinds_of(synsets, offset, highest=_HIGHEST)):
            near = [w for o in level for w in synsets[o].words if w in wanted]
            if near:
                ranked[height] += near[: _MOST_NAMES // 2]
                break
    return [w for height in sorted(ranked) for w in ranked[height]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make nano's lists of words from WordNet.")
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    arguments = parser.parse_args()
    synsets = read_synsets(arguments.wordnet)
    classes = "".join(f"{line}\n" for line in imagenet_lines(arguments.images, synsets))
    write_atomically(IMAGENET, classes.encode())
    lines = thesaurus_lines(synsets, read_senses(arguments.wordnet), core_words(), taught_words())
    packed = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    write_atomically(THESAURUS, packed)


if __name__ == "__main__":
    main()
