"""Objects by name: built in, registered at run time, or from installed packages (plug-ins).

A plug-in is a package with an entry point in a registry's group, for instance in its pyproject:

    [project.entry-points."text4seg.refiners"]
    median = "my_package.median:median"
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar, cast

from text4seg.core.errors import InputError, PluginError, UnknownNameError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Named objects of one kind, imported on first use and open to plug-ins.

    The metadata of installed packages is read on the first unknown name or the first iteration,
    never at import. Names come in the order: built in, registered, plug-ins by name.

    Attributes:
        kind: What the objects are, for messages.
        group: The entry-point group of plug-ins.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str | T]) -> None:
        """Create a registry.

        Args:
            kind: What the objects are, for messages: "refiner".
            group: The entry-point group of plug-ins: "text4seg.refiners".
            builtin: The package's own objects. A string "module:attribute" is imported on first
                use.
        """
        self.kind = kind
        self.group = group
        self._own: dict[str, str | T] = dict(builtin)
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        """Get the object of this name.

        Raises:
            UnknownNameError: There is none; the message lists the known names.
            PluginError: A plug-in of this name cannot be loaded, or takes a name that is taken.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._plugins

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._own, *self._plugins)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def get_summary(self, name: str) -> str:
        """Get the first line of the object's docstring, for help texts and documentation tables.

        Args:
            name: A name of this registry.

        Returns:
            The line without its final period; what is wrong for a plug-in that cannot be loaded.

        Raises:
            UnknownNameError: There is no such name.
        """
        try:
            text = inspect.getdoc(self[name]) or ""
        except PluginError as error:
            return str(error)
        return text.partition("\n")[0].removesuffix(".")

    def register(self, name: str, obj: T) -> None:
        """Add an object for the rest of the process, as tests and notebooks do.

        Args:
            name: A name that is not taken.
            obj: The object.

        Raises:
            InputError: The name is taken.
        """
        if name in self:
            raise InputError(f"the {self.kind} {name!r} exists already; choose another name")
        self._own[name] = obj

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        """The entry points of the group by name."""
        from importlib.metadata import entry_points

        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group), key=lambda p: (p.name, p.value)):
            if point.name in self._own or point.name in found:
                other = _package_of(found[point.name]) if point.name in found else "text4seg"
                raise PluginError(
                    f"the package {_package_of(point)} offers the {self.kind} {point.name!r}, "
                    f"which {other} has already; rename it or uninstall one of the two"
                )
            found[point.name] = point
        return found

    def _load(self, name: str) -> T:
        if name in self._own:
            own = self._own[name]
            return cast("T", _import_object(own)) if isinstance(own, str) else own
        if name not in self._plugins:
            raise UnknownNameError(self.kind, name, self)
        point = self._plugins[name]
        try:
            return cast("T", point.load())
        except Exception as error:  # importing a foreign module can raise anything
            raise PluginError(
                f"the {self.kind} {point.name!r} of the package {_package_of(point)} "
                f"({point.value}) cannot be loaded: {type(error).__name__}: {error}"
            ) from error


def _import_object(path: str) -> object:
    module, _, attribute = path.partition(":")
    return attrgetter(attribute)(import_module(module))


def _package_of(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
