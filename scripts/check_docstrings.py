"""Checks that every object of the API reference has a complete docstring.

python scripts/check_docstrings.py

The reference is what the pages in docs/reference name with `::: text4seg.some.object`. A complete
docstring has a line of purpose, an entry in `Args` for every parameter, `Returns` or `Yields` for
a value, and `Raises` for every error that the body raises. Public fields of a class are documented
below their definition or under `Attributes` or `Args`. The source is read and not imported.
"""

from __future__ import annotations

import ast
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
IMPLICIT = {"self", "cls"}
CALLS = "__call__"


def reference(root: Path) -> list[str]:
    """The dotted names that the pages of the reference document, in their order."""
    pages = sorted((root / "docs" / "reference").glob("*.md"))
    return [
        name
        for page in pages
        for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def load(root: Path, package: str = "text4seg") -> griffe.Module:
    """The package as griffe reads it from `root`/src."""
    logging.getLogger("griffe").setLevel(logging.ERROR)
    loader = griffe.GriffeLoader(search_paths=[root / "src"], docstring_parser=griffe.Parser.google)
    module = loader.load(package)
    loader.resolve_aliases(implicit=False, external=False)
    if not isinstance(module, griffe.Module):
        raise TypeError(f"{package} is not a module")
    return module


def missing(package: griffe.Module, names: list[str]) -> list[str]:
    """One line for everything that is missing: `path: what`."""
    found: list[str] = []
    for name in names:
        try:
            target = package[name.removeprefix(f"{package.path}.")]
            target = target.final_target if isinstance(target, griffe.Alias) else target
        except (KeyError, griffe.AliasResolutionError) as error:
            found.append(f"{name}: no such object ({error})")
            continue
        found += [f"{target.path}: {fault}" for fault in _faults(target)]
        if isinstance(target, griffe.Class):
            for member in _public(target):
                found += [f"{member.path}: {fault}" for fault in _faults(member)]
    return list(dict.fromkeys(found))


def _public(owner: griffe.Class) -> Iterator[griffe.Object]:
    for name, member in owner.members.items():
        if (name == CALLS or not name.startswith("_")) and not isinstance(member, griffe.Alias):
            yield member


def _faults(target: griffe.Object) -> Iterator[str]:
    if isinstance(target, griffe.Function):
        yield from _function_faults(target)
    elif isinstance(target, griffe.Attribute):
        if not _has_text(target) and target.name not in _documented_fields(target.parent):
            yield "no docstring"
    elif not _has_text(target):
        yield "no docstring"


def _function_faults(function: griffe.Function) -> Iterator[str]:
    if not _has_text(function):
        yield "no docstring"
        return
    sections = _sections(function)
    documented = _names(sections, griffe.DocstringSectionParameters)
    for parameter in function.parameters:
        if parameter.name not in IMPLICIT and parameter.name not in documented:
            yield f"Args lacks {parameter.name}"
    value = str(function.returns or "None")
    if value not in ("None", "NoReturn", "Never") and not any(
        isinstance(
            section,
            (griffe.DocstringSectionReturns, griffe.DocstringSectionYields),
        )
        for section in sections
    ):
        yield "no Returns"
    told = {
        str(entry.annotation).rsplit(".", 1)[-1]
        for section in sections
        if isinstance(section, griffe.DocstringSectionRaises)
        for entry in section.value
    }
    for error in sorted(_raised(function) - told):
        yield f"Raises lacks {error}"


def _has_text(target: griffe.Object) -> bool:
    return target.docstring is not None and bool(target.docstring.value.strip())


def _sections(target: griffe.Object) -> list[griffe.DocstringSection]:
    return target.docstring.parse("google") if target.docstring else []


def _names(sections: list[griffe.DocstringSection], kind: type) -> set[str]:
    return {
        str(entry.name).lstrip("*")
        for section in sections
        if isinstance(section, kind)
        for entry in section.value
        if entry.description.strip()
    }


def _documented_fields(owner: griffe.Object | None) -> set[str]:
    if owner is None:
        return set()
    sections = _sections(owner)
    kinds = (griffe.DocstringSectionAttributes, griffe.DocstringSectionParameters)
    return set().union(*(_names(sections, kind) for kind in kinds))


def _raised(function: griffe.Function) -> set[str]:
    """The errors that the body itself raises by name, without those of nested functions."""
    if not isinstance(function.filepath, Path) or function.lineno is None:
        return set()
    tree = ast.parse(function.filepath.read_text(encoding="utf-8"))
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == function.name
        and function.lineno <= node.lineno <= (function.endlineno or node.lineno)
    ]
    return {error for node in nodes[:1] for error in _raises(node.body)}


def _raises(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Raise) and inner.exc is not None:
                raised = inner.exc.func if isinstance(inner.exc, ast.Call) else inner.exc
                name = raised.attr if isinstance(raised, ast.Attribute) else None
                name = raised.id if isinstance(raised, ast.Name) else name
                if name and name[0].isupper() and name != "NotImplementedError":
                    yield name


def main(root: Path = ROOT) -> int:
    """Print what is missing.

    Returns:
        1 if something is missing, else 0.
    """
    names = reference(root)
    found = missing(load(root), names)
    for fault in found:
        print(fault, file=sys.stderr)
    print(f"{len(names)} objects in the reference, {len(found)} gaps in their docstrings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
