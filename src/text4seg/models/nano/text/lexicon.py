"""The words that nano was taught, and how another word leads to one of them.

Names of the fusion's own head, of the detector and of the image classifier, each with other words
for it; for the rest of the language a thesaurus made from WordNet (Miller 1995). All of it is text;
`encoders.sentences` makes embeddings of it.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from text4seg.models.nano.encoders.detector import COCO_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IMAGENET = Path(__file__).parent / "data" / "imagenet.tsv"
THESAURUS = Path(__file__).parent / "data" / "thesaurus.tsv.gz"
# Every tenth of ImageNet's classes is kept out of training, to measure words that were not taught.
_HELD_OUT_EVERY, _HELD_OUT_AT = 10, 7

# Known name → a word for it that is kept out of training, for the same purpose.
HELD_OUT = {
    "person": "individual", "bicycle": "cycle", "car": "vehicle", "airplane": "jet",
    "bus": "coach", "train": "locomotive", "truck": "lorry", "boat": "vessel",
    "traffic light": "stoplight", "bird": "fowl", "cat": "feline", "dog": "hound",
    "horse": "pony", "sheep": "lamb", "cow": "cattle", "backpack": "rucksack",
    "umbrella": "parasol", "tie": "necktie", "suitcase": "luggage", "bottle": "flask",
    "wine glass": "goblet", "cup": "mug", "knife": "blade", "bowl": "dish", "chair": "seat",
    "couch": "settee", "potted plant": "houseplant", "bed": "mattress", "dining table": "desk",
    "tv": "telly", "laptop": "notebook computer", "cell phone": "smartphone", "oven": "stove",
    "sink": "washbasin", "refrigerator": "icebox", "book": "paperback", "clock": "timepiece",
    "vase": "urn", "hair": "hairdo", "shoes": "footwear", "pants": "slacks", "jeans": "denims",
    "dress": "gown", "hat": "headgear", "jacket": "windbreaker", "sweater": "pullover",
    "sunglasses": "eyewear", "purse": "clutch", "bag": "tote", "skirt": "miniskirt",
    "t-shirt": "tee", "stockings": "hosiery",
}  # fmt: skip

SYNONYMS = {
    "accessories": ("accessory",),
    "airplane": ("plane", "aircraft", "aeroplane", "airliner"),
    "backpack": ("knapsack", "school bag"),
    "baseball bat": ("bat",),
    "baseball glove": ("mitt", "catcher's mitt"),
    "bear": ("grizzly", "brown bear"),
    "bed": ("double bed",),
    "bench": ("park bench",),
    "bicycle": ("bike", "push bike"),
    "bird": ("birds",),
    "blazer": ("sports jacket",),
    "boat": ("ship", "rowing boat", "sailboat"),
    "book": ("novel", "textbook"),
    "boots": ("boot",),
    "bottle": ("water bottle", "wine bottle"),
    "bowl": ("soup bowl",),
    "bra": ("brassiere",),
    "bracelet": ("bangle",),
    "building": ("tower block", "edifice"),
    "bus": ("autobus", "omnibus", "double-decker"),
    "cabinet": ("cupboard",),
    "cake": ("birthday cake", "pastry"),
    "car": ("automobile", "sedan"),
    "cat": ("kitty", "kitten", "tomcat"),
    "cell phone": ("phone", "mobile phone", "cellphone", "telephone"),
    "chair": ("armchair", "stool"),
    "clock": ("wall clock", "alarm clock"),
    "coat": ("overcoat", "trench coat"),
    "couch": ("sofa", "loveseat"),
    "cow": ("bull", "ox", "calf"),
    "cup": ("teacup", "coffee cup"),
    "curtain": ("drapes", "curtains"),
    "dining table": ("table", "kitchen table"),
    "dirt": ("soil", "earth"),
    "dog": ("puppy", "doggy", "pooch"),
    "donut": ("doughnut",),
    "door": ("doorway",),
    "dress": ("frock", "sundress"),
    "earrings": ("earring",),
    "fire hydrant": ("hydrant", "fireplug"),
    "floor": ("flooring",),
    "flower": ("blossom", "flowers"),
    "frisbee": ("flying disc",),
    "glasses": ("spectacles", "eyeglasses"),
    "gloves": ("mittens", "glove"),
    "grass": ("lawn", "meadow"),
    "gravel": ("pebbles",),
    "hair": ("haircut", "curls"),
    "hair drier": ("hair dryer", "blow dryer"),
    "handbag": ("shoulder bag",),
    "hat": ("cap", "beanie"),
    "heels": ("high heels", "stilettos"),
    "hoodie": ("hooded sweatshirt",),
    "horse": ("mare", "stallion", "foal"),
    "hot dog": ("hotdog", "frankfurter"),
    "house": ("cottage", "home"),
    "jacket": ("leather jacket",),
    "jeans": ("blue jeans", "denim pants"),
    "jumper": ("knitted top",),
    "keyboard": ("computer keyboard",),
    "kite": ("paper kite",),
    "knife": ("table knife",),
    "laptop": ("laptop computer", "macbook", "portable computer"),
    "light": ("lamp", "lantern"),
    "microwave": ("microwave oven",),
    "mirror": ("looking glass",),
    "motorcycle": ("motorbike", "scooter"),
    "mountain": ("hill", "mountains"),
    "mouse": ("computer mouse",),
    "necklace": ("pendant",),
    "orange": ("tangerine", "oranges"),
    "pants": ("trousers", "chinos"),
    "pavement": ("sidewalk", "footpath"),
    "person": ("people", "human", "human being", "somebody", "pedestrian"),
    "pillow": ("cushion",),
    "pizza": ("slice of pizza",),
    "potted plant": ("plant", "plant in a pot"),
    "purse": ("evening bag",),
    "railroad": ("railway", "train tracks"),
    "refrigerator": ("fridge", "freezer"),
    "remote": ("remote control", "tv remote"),
    "river": ("stream",),
    "road": ("street", "asphalt"),
    "rock": ("stone", "boulder"),
    "roof": ("rooftop",),
    "rug": ("carpet", "mat"),
    "sand": ("beach",),
    "sandals": ("flip-flops",),
    "sandwich": ("burger", "sub"),
    "scarf": ("shawl",),
    "scissors": ("shears",),
    "sea": ("ocean",),
    "sheep": ("ram", "ewe"),
    "shelf": ("bookshelf", "shelves"),
    "shirt": ("dress shirt",),
    "shoes": ("shoe",),
    "shorts": ("short pants", "bermudas"),
    "sink": ("basin", "wash basin"),
    "skateboard": ("longboard",),
    "skis": ("ski",),
    "sky": ("clouds", "the heavens"),
    "sneakers": ("trainers", "tennis shoes", "running shoes"),
    "socks": ("sock",),
    "spoon": ("teaspoon",),
    "sports ball": ("ball", "soccer ball", "tennis ball"),
    "stairs": ("staircase", "steps"),
    "stockings": ("pantyhose",),
    "stop sign": ("road sign",),
    "suit": ("business suit",),
    "suitcase": ("travel bag", "trunk"),
    "sunglasses": ("shades", "dark glasses"),
    "surfboard": ("surf board",),
    "sweater": ("knitwear",),
    "swimwear": ("bathing suit", "swimsuit", "bikini"),
    "t-shirt": ("tshirt",),
    "teddy bear": ("teddy", "stuffed animal", "plush toy"),
    "tennis racket": ("racket", "racquet"),
    "tie": ("cravat", "bow tie"),
    "tights": ("leotards",),
    "toilet": ("lavatory", "loo", "toilet bowl"),
    "toothbrush": ("electric toothbrush",),
    "towel": ("bath towel",),
    "traffic light": ("traffic signal", "stop light"),
    "train": ("railway carriage", "tram"),
    "tree": ("trees", "oak"),
    "truck": ("pickup", "van", "pickup truck"),
    "tv": ("television", "screen", "tv set", "monitor"),
    "umbrella": ("brolly", "sunshade"),
    "vase": ("flower vase",),
    "vest": ("waistcoat",),
    "wallet": ("billfold",),
    "watch": ("wristwatch",),
    "window blind": ("blinds", "shutter"),
    "wine glass": ("glass", "champagne glass"),
}
"""Other words for the names of things, as training asks for them."""

HYPERNYMS = {
    "fruit": ("apple", "orange", "banana"),
    "furniture": ("chair", "couch", "bed", "bench", "dining table"),
    "cutlery": ("fork", "knife", "spoon"),
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra",
               "giraffe"),
    "food": ("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza",
             "donut", "cake"),
    "vegetable": ("broccoli", "carrot"),
}  # fmt: skip
"""Words for several names at once, of COCO's."""


@dataclass(frozen=True, slots=True)
class ImagenetClass:
    """A class of the image classifier.

    Attributes:
        wnid: Its WordNet id, as in the names of ImageNet's folders.
        name: Its name.
        others: Other words for it.
        kinds: What it is a kind of.
        held_out: Whether it is kept out of training.
    """

    wnid: str
    name: str
    others: tuple[str, ...]
    kinds: tuple[str, ...]
    held_out: bool

    @property
    def words(self) -> tuple[str, ...]:
        """Name, other words and kinds, each once."""
        return tuple(dict.fromkeys((self.name, *self.others, *self.kinds)))


@cache
def imagenet_classes() -> tuple[ImagenetClass, ...]:
    """The 1,000 classes in the order of the classifier's logits, without words held out."""
    classes = []
    for index, line in enumerate(IMAGENET.read_text(encoding="utf-8").splitlines()):
        wnid, name, others, kinds = line.split("\t")
        classes.append(
            ImagenetClass(
                wnid,
                name,
                _allowed(others.split("|")),
                _allowed(kinds.split("|")),
                index % _HELD_OUT_EVERY == _HELD_OUT_AT or not _allowed([name]),
            )
        )
    return tuple(classes)


def _allowed(words: Iterable[str]) -> tuple[str, ...]:
    """Those words that contain none of `HELD_OUT`."""
    held = [f" {word} " for word in HELD_OUT.values()]
    return tuple(w for w in words if w and not any(h in f" {w} " for h in held))


def words_for(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each name with the other words for it."""
    return [(name, *_allowed(SYNONYMS.get(name, ()))) for name in names]


@cache
def core_words() -> frozenset[str]:
    """Words for things of which training has human masks."""
    return frozenset(word for words in words_for([*COCO_CLASSES, *SYNONYMS]) for word in words)


@cache
def taught_words() -> frozenset[str]:
    """All words that training may ask for."""
    taught = set(core_words())
    taught |= {w for one in imagenet_classes() if not one.held_out for w in one.words}
    return frozenset(taught | HYPERNYMS.keys())


@cache
def thesaurus() -> dict[str, tuple[str, ...]]:
    """Words that were not taught → taught ones that mean the same or are the nearest kind."""
    lines = gzip.decompress(THESAURUS.read_bytes()).decode().splitlines()
    return {word: tuple(names.split("|")) for word, names in (line.split("\t") for line in lines)}
