"""Registries: built-in names on first use, plug-ins by entry points, clear errors for bad ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from text4seg.core.errors import InputError, PluginError, UnknownNameError
from text4seg.core.registry import Registry

GROUP = "text4seg.tests"


def upper(text: str) -> str:
    """Write in capitals.

    More about it.
    """
    return text.upper()


def make(builtin: dict[str, object] | None = None) -> Registry[object]:
    return Registry("case", GROUP, {"upper": upper} if builtin is None else builtin)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(site: Path, package: str, points: str, code: str = "") -> None:
    """Lay out a package as pip would: a module and its dist-info with entry points."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    (site / f"{package}.py").write_text(code)


def test_a_built_in_object_is_found_by_its_name() -> None:
    assert make()["upper"] is upper


def test_a_string_is_imported_on_first_use() -> None:
    registry = make({"dumps": "json:dumps", "missing": "no_such_module:thing"})
    assert registry["dumps"] is __import__("json").dumps
    assert list(registry) == ["dumps", "missing"]  # names need no import


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown case 'uper'; known: upper; did you mean"):
        make()["uper"]


def test_it_is_a_mapping() -> None:
    registry = make()
    assert registry.get("none") is None
    assert "none" not in registry
    assert dict(registry) == {"upper": upper}
    assert len(registry) == 1


def test_a_plug_in_is_found_and_listed(site: Path) -> None:
    install(site, "t4s_lower", "lower = t4s_lower:lower", "def lower(t):\n    'Small.'\n")
    registry = make()
    assert list(registry) == ["upper", "lower"]
    assert registry["lower"] is __import__("t4s_lower").lower
    assert registry.get_summary("lower") == "Small"
    assert list(registry) == ["upper", "lower"]


def test_metadata_is_not_read_for_a_built_in_name(site: Path) -> None:
    install(site, "t4s_shadow", "upper = t4s_shadow:upper")
    assert make()["upper"] is upper  # the conflict below is found when names are listed


def test_a_plug_in_that_shadows_a_built_in_name_is_an_error(site: Path) -> None:
    install(site, "t4s_shadow2", "upper = t4s_shadow2:upper")
    with pytest.raises(PluginError, match="t4s_shadow2 offers the case 'upper', which text4seg"):
        list(make())


def test_two_plug_ins_of_one_name_are_an_error_that_names_both(site: Path) -> None:
    install(site, "t4s_one", "twice = t4s_one:x")
    install(site, "t4s_two", "twice = t4s_two:x")
    with pytest.raises(PluginError, match=r"t4s_two offers .* which t4s_one has"):
        make()["twice"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no display')", "RuntimeError: no display"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("y = 1", "AttributeError"),
    ],
)
def test_a_broken_plug_in_names_its_package_and_spares_the_others(
    site: Path, code: str, reason: str
) -> None:
    package = f"t4s_broken_{reason.split(':', maxsplit=1)[0].lower()}"
    install(site, package, f"bad = {package}:x\ngood = json:dumps", code)
    registry = make()
    with pytest.raises(PluginError, match=f"'bad' of the package {package} .*{reason}"):
        registry["bad"]
    assert reason in registry.get_summary("bad")
    assert registry["good"] is __import__("json").dumps
    assert list(registry) == ["upper", "bad", "good"]


def test_the_summary_is_the_first_line_of_the_docstring() -> None:
    assert make().get_summary("upper") == "Write in capitals"


def test_an_object_without_docstring_of_its_own_has_its_class_summary() -> None:
    class Case:
        """One case."""

    assert make({"case": Case()}).get_summary("case") == "One case"


def test_an_object_can_be_registered_once() -> None:
    registry = make()
    registry.register("other", str.lower)
    assert registry["other"] is str.lower
    with pytest.raises(InputError, match="the case 'upper' exists already"):
        registry.register("upper", str.lower)


def test_importing_it_reads_no_metadata() -> None:
    code = (
        "import sys; from text4seg.core.registry import Registry;"
        "r = Registry('case', 'g', {'dumps': 'json:dumps'}); r['dumps'];"
        "sys.exit('importlib.metadata' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
