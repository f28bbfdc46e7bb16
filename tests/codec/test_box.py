"""Box-wise descriptors keep the contracts of every format."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codec.matcher import Matcher, bnf_to_lark
from tests.codec.strategies import damaged, grids
from text4seg.codec.box import BOX
from text4seg.core.errors import GrammarError, InputError, LabelError, MaskSyntaxError
from text4seg.core.geometry import mask_to_grid
from text4seg.core.regions import LatticeBox, Region, Regions, mask_to_region, masks_to_regions
from text4seg.core.types import OTHERS, DescriptorGrid, GridShape, Size
from text4seg.metrics import iou

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SHAPE = GridShape(2, 4)
LABELS = ["dog 1", "dog 2"]
ENDS = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(sorted)
BOXES = st.builds(lambda x, y: LatticeBox(x[0], x[1], y[0], y[1]), ENDS, ENDS)
REGION = st.builds(Region, BOXES, grids(st.just(SHAPE), LABELS))
REGIONS = st.lists(REGION, max_size=3).map(lambda found: Regions(tuple(found)))
TEXT = "[12-30, 04-61]\n others *2| dog 1 *2\n others *4\n[00-99, 00-99]\n dog 2 *4\n others *4\n"


@given(REGIONS)
def test_decode_inverts_encode_and_salvage_changes_nothing(regions: Regions) -> None:
    text = BOX.encode(regions)
    for labels in (None, LABELS):
        assert BOX.decode(text, SHAPE, labels) == regions
        salvage = BOX.salvage(text, SHAPE, labels)
        assert (salvage.value, salvage.repairs) == (regions, ())


@given(REGIONS, st.data())
def test_what_is_accepted_is_canonical_and_all_is_salvaged(
    regions: Regions, data: st.DataObject
) -> None:
    edit = damaged(BOX.encode(regions), ["[", "]", "-", ", ", "100", *LABELS])
    text = data.draw(edit | st.text(max_size=40))
    for labels in (None, LABELS):
        try:
            read = BOX.decode(text, SHAPE, labels)
        except MaskSyntaxError:
            read = None
        if read is not None:
            assert BOX.encode(read) == text
        salvage = BOX.salvage(text, SHAPE, labels)
        assert (salvage.repairs == ()) == (read is not None)
        assert labels is None or set(salvage.value.labels) <= {OTHERS, *LABELS}


def accepted(text: str) -> bool:
    try:
        BOX.decode(text, SHAPE, LABELS)
    except MaskSyntaxError:
        return False
    return True


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(BOX.grammar(SHAPE, LABELS))


@settings(max_examples=40)
@given(regions=REGIONS, data=st.data())
def test_the_grammar_accepts_what_decode_accepts(
    matcher: Matcher, regions: Regions, data: st.DataObject
) -> None:
    text = BOX.encode(regions)
    assert matcher.accepts(text)
    text = data.draw(damaged(text, ["[", "]", "-", "99", *LABELS]))
    if "\x00" not in text:
        assert matcher.accepts(text) == accepted(text)


def test_the_grammar_knows_every_pair_of_ends(matcher: Matcher) -> None:
    rest = ", 00-99]\n dog 1 *4\n dog 1 *4\n"
    for low, high in itertools.product(range(0, 100, 7), range(0, 100, 3)):
        text = f"[{low:02}-{high:02}{rest}"
        assert matcher.accepts(text) == accepted(text) == (low <= high)


def test_grammars_in_other_notations() -> None:
    for notation in ("gbnf", "ebnf"):
        other = Matcher(bnf_to_lark(BOX.grammar(SHAPE, LABELS, notation, tail="</seg>")))  # type: ignore[arg-type]
        assert other.accepts(TEXT + "</seg>")
        assert not other.accepts(TEXT)
    with pytest.raises(GrammarError, match="regular"):
        BOX.grammar(SHAPE, LABELS, "regex")
    start = time.process_time()
    assert Matcher(BOX.grammar(GridShape(16, 16), ["dog"])).accepts("others\n")
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("[12-30", "[12-11", "an end from 12 to 99"),
        ("[12-30", "[12-3", "a box like"),
        ("[12-30", "[12 - 30", "a box like"),
        ("others *4\n[", "others *4\n [", "a box like"),
        (" others *4\n[", "[", "a line break and a space before row 2"),
        ("dog 1", "cat", "one of 'others', 'dog 1'"),
    ],
)
def test_errors_say_what_was_expected(old: str, new: str, what: str) -> None:
    with pytest.raises(MaskSyntaxError, match=what):
        BOX.decode(TEXT.replace(old, new, 1), SHAPE, LABELS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[12-30, 04-61]", "[12-30,04-61]"),
        ("[12-30, 04-61]", "[ 12 - 30, 4 - 61 ]"),
        ("[12-30", "[30-12"),
        ("dog 1 *2", "dog 1 *3"),
        ("\n", "\r\n"),
        ("[12-30", "Here it is:\n<seg>[12-30"),
        ("]\n", "]"),
        (" others *4\n[", "[", ),
    ],
)  # fmt: skip
def test_damage_is_repaired(old: str, new: str) -> None:
    salvage = BOX.salvage(TEXT.replace(old, new), SHAPE, LABELS)
    assert salvage.value == BOX.decode(TEXT, SHAPE)
    assert salvage.repairs


def test_a_damaged_region_harms_no_other() -> None:
    whole = BOX.decode(TEXT, SHAPE)
    salvage = BOX.salvage(TEXT[: TEXT.index("dog 2")], SHAPE, LABELS)
    assert salvage.value.regions[0] == whole.regions[0]
    lost = BOX.salvage(TEXT.replace("[12-30, 04-61]", "[]"), SHAPE, LABELS)
    assert lost.value.regions == whole.regions[1:]


@pytest.mark.parametrize(
    "piece", ["[", "[12-30, 04-61]", "[1-1", "9" * 50, "[12-30, 04-61]\n x *4\n"]
)
def test_garbage_takes_linear_time(piece: str) -> None:
    def seconds(length: int) -> float:
        start = time.process_time()
        BOX.salvage(piece * (length // len(piece)), SHAPE, LABELS)
        return time.process_time() - start

    assert seconds(800_000) < 12 * seconds(200_000) + 0.5


def test_bad_values() -> None:
    for ends in ((3, 2, 0, 0), (0, 100, 0, 0), (-1, 0, 0, 0)):
        with pytest.raises(InputError, match="from 0 to 99"):
            LatticeBox(*ends)
    grids_of = [DescriptorGrid.empty(GridShape(1, 2)), DescriptorGrid.empty(GridShape(2, 1))]
    with pytest.raises(InputError, match="one shape"):
        Regions(tuple(Region(LatticeBox(0, 1, 0, 1), grid) for grid in grids_of))
    with pytest.raises(LabelError):
        BOX.decode("", SHAPE, ["a|b"])


@given(st.integers(0, 90), st.integers(0, 110), st.integers(1, 40), st.integers(1, 40))
def test_a_box_holds_all_of_its_object(top: int, left: int, height: int, width: int) -> None:
    mask = np.zeros((97, 131), dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    region = mask_to_region(mask, "dog", GridShape(16, 16))
    assert region is not None
    box, rows, cols = region.box, np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert box.y0 * 97 <= rows[0] * 100 < (box.y0 + 1) * 97
    assert box.y1 * 97 < (rows[-1] + 1) * 100 <= (box.y1 + 1) * 97
    assert box.x0 * 131 <= cols[0] * 100 < (box.x0 + 1) * 131
    assert not region.grid.is_empty


def test_the_whole_image_is_an_ordinary_grid() -> None:
    random = np.random.default_rng(3)
    mask = random.random((40, 60)) < 0.5
    mask[[0, -1], :] = True
    mask[:, [0, -1]] = True
    region = mask_to_region(mask, "dog", GridShape(5, 7))
    assert region is not None
    assert region.box == LatticeBox(0, 99, 0, 99)
    assert region.grid == mask_to_grid(mask, "dog", GridShape(5, 7))


def test_small_things_keep_their_shape_and_instances_stay_apart() -> None:
    y, x = np.ogrid[:480, :640]
    first = (y - 100) ** 2 + (x - 200) ** 2 < 18**2
    second = (y - 100) ** 2 + (x - 230) ** 2 < 15**2
    regions = masks_to_regions(
        [("dog 1", first), ("dog 2", second & ~first), ("cat", np.zeros_like(first))],
        GridShape(16, 16),
    )
    assert regions.labels == (OTHERS, *LABELS)
    again = BOX.decode(BOX.encode(regions), GridShape(16, 16), LABELS)
    assert iou(again.mask("dog 1", Size(480, 640)), first) > 0.85
    assert iou(again.mask("dog 2", Size(480, 640)), second & ~first) > 0.8
    assert [record["labels"][1] for record in again.to_record()] == LABELS
