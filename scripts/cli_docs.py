"""Writes docs/cli.md from the command line's own help; --check only compares.

python scripts/cli_docs.py [--check]
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from text4seg import cli

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cli.md"
VERBS = (
    "segment",
    "encode",
    "decode",
    "convert",
    "grammar",
    "evaluate",
    "evaluate compare",
    "score",
    "train",
    "export",
    "weights",
    "build data",
    "build inspect",
    "build readers",
)
HEAD = """# The command line

Written by `python scripts/cli_docs.py` from the help of each verb.
"""


def help_of(*words: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if cli.main([*words, "--help"]) != 0:
            raise RuntimeError(f"text4seg {' '.join(words)} --help failed")
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def page() -> str:
    parts = [HEAD, f"```\n{help_of()}\n```\n"]
    parts += [f"## text4seg {verb}\n\n```\n{help_of(*verb.split())}\n```\n" for verb in VERBS]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    os.environ["COLUMNS"] = "100"
    if "--check" not in arguments:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    print(f"{PAGE} is out of date: run python scripts/cli_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
