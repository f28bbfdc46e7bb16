"""What was read, skipped and changed, and why: nothing is dropped in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from text4seg.core.errors import InputError

EXAMPLES = 5
"""The number of messages that are kept of each kind; all are counted."""


class RecordError(InputError):
    """A record that cannot be used.

    Attributes:
        kind: What it is counted under in a report.
    """

    kind: str

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
        """Count a wrong record, which is left out.

        Args:
            kind: The kind of fault.
            message: Where and what it is.

        Raises:
            RecordError: Reading is strict.
        """
        if self.strict:
            raise RecordError(kind, message)
        self.skipped[kind] += 1
        self._keep(kind, message)

    def filter(self, reason: str, count: int = 1) -> None:
        """Count records that were not selected.

        Args:
            reason: Why not.
            count: How many.
        """
        self.filtered[reason] += count

    def mend(self, what: str, message: str) -> None:
        """Count a record that was used after a change.

        Args:
            what: The kind of change.
            message: Where and what it was.
        """
        self.mended[what] += 1
        self._keep(what, message)

    def add(self, other: ReadReport) -> None:
        """Add the counts of another report.

        Args:
            other: For instance that of another process.
        """
        self.images += other.images
        self.expressions += other.expressions
        self.skipped += other.skipped
        self.filtered += other.filtered
        self.mended += other.mended
        for kind, messages in other.messages.items():
            for message in messages:
                self._keep(kind, message)

    def to_json(self) -> dict[str, Any]:
        """Get the report as plain values.

        Returns:
            The attributes but `strict`, in a fixed order.
        """
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
        """Read a report back.

        Args:
            record: What `to_json` returned.

        Returns:
            The report.
        """
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
