"""Writes docs/cli.md from the command line's own help; --check only compares.

python scripts/cli_docs.py [--check]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cli.md"
VERBS = ("segment", "encode", "decode", "grammar", "evaluate", "weights")
HEAD = """# The command line

Written by `python scripts/cli_docs.py` from the help of each verb.
"""


def help_of(*words: str) -> str:
    environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "text4seg", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def page() -> str:
    parts = [HEAD, f"```\n{help_of()}\n```\n"]
    parts += [f"## text4seg {verb}\n\n```\n{help_of(verb)}\n```\n" for verb in VERBS]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    if "--check" not in arguments:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    print(f"{PAGE} is out of date: run python scripts/cli_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
