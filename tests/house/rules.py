"""The rules of CONTRIBUTING.md as functions of a source tree; each returns what breaks the rule."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

FORMATS = {"sd", "rle", "rrle", "box"}

# Participles that do not end in -ed, as far as a class might be named by one.
IRREGULAR = {
    "Begun", "Bought", "Bound", "Built", "Cut", "Done", "Drawn", "Fed", "Found", "Given", "Gone",
    "Held", "Hidden", "Kept", "Known", "Left", "Lost", "Made", "Meant", "Met", "Put", "Said",
    "Seen", "Sent", "Shown", "Sought", "Spelt", "Spoken", "Spread", "Taken", "Taught", "Told",
    "Torn", "Worn", "Woven", "Written",
}  # fmt: skip
# Words in -ed and -ing that are nouns of the field.
NOUNS = {
    "Bed", "Embed", "Encoding", "Decoding", "Embedding", "Feed", "Need", "Sampling", "Seed",
    "Setting", "Speed", "String", "Thing", "Training", "Upsampling",
}  # fmt: skip


def modules(source: Path) -> list[Path]:
    """Every module of a package but `__init__` and `__main__`."""
    return sorted(path for path in source.rglob("*.py") if not path.stem.startswith("__"))


def untested(source: Path, tests: Path) -> list[str]:
    """Modules without a test file of their name: a/_b.py is tested by tests/a/test_b.py."""
    return [
        path.relative_to(source).as_posix()
        for path in modules(source)
        if not (
            tests / path.relative_to(source).parent / f"test_{path.stem.lstrip('_')}.py"
        ).exists()
    ]


def shared_names(source: Path) -> dict[str, list[str]]:
    """File names that several modules have; a leading underscore makes no difference."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in modules(source):
        found[path.stem.lstrip("_")].append(path.relative_to(source).as_posix())
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def participles(source: Path) -> list[str]:
    """Classes named by a participle and nothing else."""
    return [
        f"{where}: {node.name}"
        for where, tree in _trees(source)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and is_participle(node.name)
    ]


def is_participle(name: str) -> bool:
    """Whether a class name is one word and that word a participle."""
    word = name.strip("_")
    if not re.fullmatch(r"[A-Z][a-z]+", word) or word in NOUNS:
        return False
    return word in IRREGULAR or word.endswith(("ed", "ing"))


def format_comparisons(source: Path) -> list[str]:
    """Comparisons with the name of a format outside codec/."""
    return [
        f"{where}: {ast.unparse(node)}"
        for where, tree in _trees(source)
        if not where.startswith("codec/")
        for node in ast.walk(tree)
        if _compares_with(node, FORMATS)
    ]


def nano_branches(source: Path) -> list[str]:
    """Comparisons with the name of nano outside its own rooms."""
    return [
        f"{where}: {ast.unparse(node)}"
        for where, tree in _trees(source)
        if not where.startswith(("models/nano/", "training/nano/"))
        for node in ast.walk(tree)
        if _compares_with(node, {"nano", "text4seg_nano"})
    ]


def _compares_with(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.MatchValue):
        return isinstance(node.value, ast.Constant) and node.value.value in names
    if not isinstance(node, ast.Compare):
        return False
    return any(
        isinstance(part, ast.Constant) and part.value in names
        for side in (node.left, *node.comparators)
        for part in (side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side])
    )


def probes(source: Path) -> list[str]:
    """Objects that are asked whether they have an attribute, outside models/hf.

    transformers offers no other way, so models/hf may.
    """
    return [
        f"{where}: {ast.unparse(node)}"
        for where, tree in _trees(source)
        if not where.startswith("models/hf/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and (node.func.id == "hasattr" or (node.func.id == "getattr" and _is_constant(node)))
    ]


def _is_constant(call: ast.Call) -> bool:
    return len(call.args) > 1 and isinstance(call.args[1], ast.Constant)


def type_checks(source: Path, package: str = "text4seg") -> list[str]:
    """`isinstance` with a class of another room; values and errors of core are everyone's."""
    found = []
    for where, tree in _trees(source):
        room = where.split("/")[0]
        foreign = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}.")
            for alias in node.names
            if (node.module or "").split(".")[1] not in ("core", room)
        }
        found += [
            f"{where}: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "isinstance"
            and foreign & {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
        ]
    return found


def import_circles(source: Path, package: str = "text4seg") -> list[list[str]]:
    """Groups of modules that import each other; imports for type checkers count, too.

    The package itself is left out: it loads its public objects when they are used.
    """
    names = {_dotted(source, path, package): path for path in source.rglob("*.py")}
    del names[package]
    graph = {name: set(_imports(path, names)) - {name} for name, path in names.items()}
    return sorted(sorted(group) for group in _components(graph) if len(group) > 1)


def _dotted(source: Path, path: Path, package: str) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join([package, *(part for part in parts if part != "__init__")])


def _imports(path: Path, names: dict[str, Path]) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in names:
                    yield inner
                elif node.module in names:
                    yield node.module


def _components(graph: dict[str, set[str]]) -> Iterator[set[str]]:
    """The strongly connected parts: nodes that reach each other."""
    reach = {name: _reached(graph, name) for name in graph}
    left = set(graph)
    while left:
        name = left.pop()
        group = {name} | {other for other in left if other in reach[name] and name in reach[other]}
        left -= group
        yield group


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - found:
            found.add(name)
            waiting.append(name)
    return found


def lines(source: Path) -> int:
    """Lines of Python in a tree."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in source.rglob("*.py"))


def code_lines(source: Path) -> int:
    """Lines of Python in a tree without its docstrings."""
    prose = sum(_docstring_lines(node) for _, tree in _trees(source) for node in ast.walk(tree))
    return lines(source) - prose


def comments_per_hundred_lines(room: Path) -> float:
    """Comments of a room for 100 lines of its files; those for tools do not count."""
    count = 0
    for path in room.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and not re.match(
                r"# ?(noqa|type:|pragma|fmt:|ruff:|mypy:)", token.string
            ):
                count += 1
    return 100 * count / max(1, lines(room))


def long_functions(source: Path, most: int) -> list[str]:
    """Functions with more than `most` lines, their docstrings left out."""
    return [
        f"{where}: {node.name}"
        for where, tree in _trees(source)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _extent(node) > most
    ]


def long_files(source: Path, most: int) -> list[str]:
    """Files with more than `most` lines, the docstrings left out."""
    found = []
    for where, tree in _trees(source):
        total = len((source / where).read_text(encoding="utf-8").splitlines())
        if total - sum(_docstring_lines(node) for node in ast.walk(tree)) > most:
            found.append(where)
    return found


def _extent(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)


def _docstring_lines(node: ast.AST) -> int:
    if not isinstance(
        node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    ) or not ast.get_docstring(node, clean=False):
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def _trees(source: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(source.rglob("*.py")):
        yield path.relative_to(source).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
