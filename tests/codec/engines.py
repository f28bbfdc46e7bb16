"""A grammar in the hands of the engine that it is exported for, one byte at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from text4seg.core.errors import GrammarError

BYTES = [bytes([value]) for value in range(256)]
END = 256


class XGrammar:
    """xgrammar, the engine of vLLM and SGLang."""

    def __init__(self, ebnf: str) -> None:
        self._compiled = _xgrammar_compiler().compile_grammar(ebnf)

    def accepts(self, text: str) -> bool:
        import xgrammar

        matcher = xgrammar.GrammarMatcher(self._compiled)
        fits = all(matcher.accept_token(value) for value in text.encode())
        return fits and bool(matcher.accept_token(END))


@cache
def _xgrammar_compiler() -> Any:
    import xgrammar

    tokens = [*BYTES, b"</s>"]
    raw = xgrammar.VocabType.RAW
    info = xgrammar.TokenizerInfo(tokens, vocab_type=raw, stop_token_ids=[END])
    return xgrammar.GrammarCompiler(info)


_ADDON = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/llama-addon.node"
_RUN = """
const {AddonGrammar} = require(process.argv[1]);
const {grammar, texts} = JSON.parse(require("fs").readFileSync(0, "utf8"));
let read;
try { read = new AddonGrammar(grammar); } catch { console.log("null"); process.exit(0); }
console.log(JSON.stringify(texts.map((text) => read.isTextCompatible(text))));
"""


class LlamaCpp:
    """llama.cpp's own grammar code, in the shape that node-llama-cpp gives it.

    Its Python package has to be built, or brings a newer C library; the npm package
    `@node-llama-cpp/linux-x64` loads wherever node does. `scripts/setup.sh` puts it into the
    virtual environment if there is npm; `TEXT4SEG_NODE` names another folder that holds
    `node_modules`.
    """

    def __init__(self, gbnf: str) -> None:
        self._gbnf = gbnf

    @staticmethod
    def is_installed() -> bool:
        return shutil.which("node") is not None and _addon().exists()

    def accept(self, texts: Sequence[str]) -> list[bool]:
        """Which of the texts the grammar takes, whole; all in one process."""
        job = json.dumps({"grammar": self._gbnf, "texts": list(texts)})
        command = ["node", "-e", _RUN, str(_addon())]
        done = subprocess.run(command, input=job, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])  # what llama.cpp says stands before
        if found is None:
            raise GrammarError(f"llama.cpp does not read the grammar: {done.stderr.strip()}")
        return list(found)


def _addon() -> Path:
    return Path(os.environ.get("TEXT4SEG_NODE", sys.prefix)) / _ADDON
