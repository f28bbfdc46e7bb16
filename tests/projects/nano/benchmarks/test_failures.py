"""The figure of failures shows answers that were asked for."""

from __future__ import annotations

import pytest

from projects.nano.benchmarks import failures


def test_failures_are_among_what_was_tried() -> None:
    tried = {(name, e) for name, expressions in failures.QUESTIONS.items() for e in expressions}
    assert set(failures.SHOWN) <= tried
    assert failures.find_image("cat.jpg").is_file()
    with pytest.raises(LookupError, match="pip install"):
        failures.find_image("no_such_package/a.jpg")
