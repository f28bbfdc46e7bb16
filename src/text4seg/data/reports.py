"""What reading left out, and why: nothing is dropped in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from text4seg.core.errors import InputError

EXAMPLES = 5
"""So many messages are kept of each kind; all are counted."""


class RecordError(InputError):
    """A record that cannot be used. `kind` is what it is counted under."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.kind, str(self))


@dataclass(slots=True)
class ReadReport:
    """Counts of what was read, skipped, filtered and mended, with the first few messages each.

    Attributes:
        strict: Whether the first wrong record is an error rather than skipped.
        images: Images that were handed out.
        expressions: Expressions that were handed out.
        skipped: Wrong records by kind.
        filtered: Records that the selection left out, by reason.
        mended: Records that were used after a change, by what was changed.
        messages: The first messages of each kind.
    """

    strict: bool = False
    images: int = 0
    expressions: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    messages: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, kind: str, message: str) -> None:
        """A record is wrong and left out; raises `RecordError` where reading is strict."""
        if self.strict:
            raise RecordError(kind, message)
        self.skipped[kind] += 1
        self._keep(kind, message)

    def filter(self, reason: str, count: int = 1) -> None:
        """Records were not selected."""
        self.filtered[reason] += count

    def mend(self, what: str, message: str) -> None:
        """A record was used after a change."""
        self.mended[what] += 1
        self._keep(what, message)

    def add(self, other: ReadReport) -> None:
        """Count what another report counted."""
        self.images += other.images
        self.expressions += other.expressions
        self.skipped += other.skipped
        self.filtered += other.filtered
        self.mended += other.mended
        for kind, messages in other.messages.items():
            for message in messages:
                self._keep(kind, message)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values, in a fixed order."""
        return {
            "images": self.images,
            "expressions": self.expressions,
            "skipped": dict(sorted(self.skipped.items())),
            "filtered": dict(sorted(self.filtered.items())),
            "mended": dict(sorted(self.mended.items())),
            "messages": dict(sorted(self.messages.items())),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ReadReport:
        """The report that `to_json` wrote."""
        return cls(
            images=record["images"],
            expressions=record["expressions"],
            skipped=Counter(record["skipped"]),
            filtered=Counter(record["filtered"]),
            mended=Counter(record["mended"]),
            messages={kind: list(kept) for kind, kept in record["messages"].items()},
        )

    def _keep(self, kind: str, message: str) -> None:
        kept = self.messages.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            kept.append(message)
