r"""Make nano on a CPU, all stages or one at a time.

    python -m projects.nano all       --data DIR --work DIR --out DIR

    python -m projects.nano label     --data DIR --work DIR --images photos/coco_people
    python -m projects.nano grounding --data DIR --work DIR --steps 1000
    python -m projects.nano writing   --data DIR --work DIR --steps 350
    python -m projects.nano vqa       --data DIR --work DIR --steps 300
    python -m projects.nano pack      --data DIR --work DIR --out DIR

`--data` has the images (its layout is in the README); `--work` keeps features, logs and
checkpoints. A stage that was stopped goes on from its last checkpoint. `--start DIR` goes on from
packed weights instead of from nothing; `vqa --start DIR --out DIR` trains the answers in words of
packed weights alone and packs them again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from rich.progress import track

from projects.nano.batches import Batches
from projects.nano.class_images import outline_images, read_classes
from projects.nano.composed_images import compose_images, cut_classes, cut_coco, read_composed
from projects.nano.feature_store import FeatureStore
from projects.nano.pseudo_labels import label_images, read_pseudo
from projects.nano.scenes import Scene, known_names, read_coco, read_collection
from projects.nano.stage1_grounding import (
    GroundingConfig,
    QuestionEncoder,
    fill_constants,
    fill_open_matching,
    list_sizes,
    train_grounding,
    validate_grounding,
)
from projects.nano.stage2_writing import BatchSampler, train_decoder
from projects.nano.stage3_vqa import ANSWER, VqaConfig, train_vqa
from projects.nano.vqa_evidence import count_shards, fingerprint, iterate_evidence
from projects.nano.writing_samples import WritingConfig
from text4seg.models.nano.checkpoint import has_vqa_head, load_model, save_model
from text4seg.models.nano.config import NanoConfig
from text4seg.models.nano.encoders.detector import COCO_CLASSES
from text4seg.models.nano.encoders.parts import PretrainedParts, get_parts
from text4seg.models.nano.encoders.sentences import WIDTH as SENTENCE_WIDTH
from text4seg.models.nano.encoders.smollm2 import WIDTH, language_settings, read_language_model
from text4seg.models.nano.encoders.vision import SIDE, VisionEncoder
from text4seg.models.nano.fusion import Fusion
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.nano_model import NanoModel
from text4seg.models.nano.text.lexicon import imagenet_classes, words_for
from text4seg.models.nano.text.phrases import PhraseReader
from text4seg.models.nano.text.tokens import PromptTokenizer
from text4seg.pretrained.mobilesam import load_mobilesam
from text4seg.pretrained.weight_files import fetch, locate

LAYERS = 4
SEED = 0
COMPOSED, COMPOSED_IMAGES = "composed", 450
_SHAPE_STEPS = 80


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    arguments.work.mkdir(parents=True, exist_ok=True)
    parts = get_parts(progress=lambda what: print(what, file=sys.stderr))
    run = {"label": _label, "grounding": _ground, "writing": _write, "vqa": _vqa, "pack": _pack}
    for stage in run if arguments.stage == "all" else (arguments.stage,):
        run[stage](arguments, parts)


def _images(arguments: argparse.Namespace) -> tuple[NanoConfig, list[Scene]]:
    """Read all training images, and configure nano with their names."""
    scenes = list(read_collection(arguments.data, "train"))
    scenes += read_pseudo(arguments.work / "pseudo.jsonl", arguments.data)
    names = known_names(scenes)
    scenes += read_classes(arguments.data / arguments.classes, arguments.work / "outlines")
    scenes += read_composed(arguments.work / COMPOSED)
    config = NanoConfig(
        names=names,
        sentence_width=SENTENCE_WIDTH,
        word_lists=list_sizes(_word_lists(names)),
        words=list(dict.fromkeys(w for words in words_for(names) for w in words)),
        attributes=True,
        runs=True,
        answers=_answers(arguments),
        language=language_settings(LAYERS),
        presence_threshold=arguments.presence_threshold,
        position_threshold=arguments.position_threshold,
        look_alike_threshold=arguments.look_alike_threshold,
        look_alikes=_look_alikes(scenes),
        others_bias=arguments.others_bias,
        cell_bias=arguments.cell_bias,
    )
    return config, scenes


def _answers(arguments: argparse.Namespace) -> bool:
    """Whether there is a trained head of answers in words to be packed."""
    if (arguments.work / ANSWER).exists():
        return True
    return arguments.start is not None and has_vqa_head(arguments.start)


def _look_alikes(scenes: list[Scene]) -> list[str]:
    """List the words for garments and what is worn with them: they are mistaken for each other."""
    worn = {name for scene in scenes if scene.source == "clothing" for name in scene.annotated}
    worn -= {*COCO_CLASSES, "hair", "skin"}
    return sorted({word for words in words_for(sorted(worn)) for word in words})


def _word_lists(names: list[str]) -> list[list[tuple[str, ...]]]:
    """List the words of each name of the name head, the detector and the classifier."""
    return [words_for(names), words_for(COCO_CLASSES), [one.words for one in imagenet_classes()]]


def _label(arguments: argparse.Namespace, parts: PretrainedParts) -> None:
    classes = arguments.data / arguments.classes
    outlines = outline_images(classes, arguments.work / "outlines", fetch("u2netp"))
    count = len(list(classes.glob("n*.jpg")))
    outlined = sum(1 for _ in track(outlines, "outlining", total=count))
    coco = (arguments.data / "coco" / "instances_train.json", arguments.data / "coco" / "images")
    cut_outs = cut_coco(*coco) + cut_classes(classes, arguments.work / "outlines")
    made = compose_images(
        cut_outs, read_coco(*coco), arguments.work / COMPOSED, count=COMPOSED_IMAGES, seed=SEED
    )
    composed = sum(1 for _ in track(made, "composing", total=COMPOSED_IMAGES))
    images = sorted((arguments.data / arguments.images).glob("*.jpg"))
    if not images:
        sys.exit(f"{arguments.data / arguments.images} holds no .jpg to label; see --images")
    vision_encoder = parts.vision_encoder()
    found = label_images(
        images,
        arguments.data,
        arguments.work / "pseudo.jsonl",
        vision_encoder=vision_encoder,
        sam=load_mobilesam(side=SIDE),
        store=_store(arguments, vision_encoder),
    )
    things = sum(len(line["things"]) for line in track(found, "labelling", total=len(images)))
    counts = {"images": len(images), "new things": things, "outlined": outlined}
    print(json.dumps(counts | {"composed": composed}))


def _pack(arguments: argparse.Namespace, parts: PretrainedParts) -> None:
    config, _ = _images(arguments)
    model = _assemble(config, parts, arguments)
    save_model(model, arguments.out)
    print(json.dumps({"out": str(arguments.out), "parameters": model.num_parameters()}))


def _store(arguments: argparse.Namespace, vision_encoder: VisionEncoder) -> FeatureStore:
    return FeatureStore(arguments.work / "features", arguments.data, vision_encoder.encode)


def _ground(arguments: argparse.Namespace, parts: PretrainedParts) -> None:
    config, scenes = _images(arguments)
    store = _store(arguments, parts.vision_encoder())
    held_out = list(read_collection(arguments.data, "val"))
    sentences = parts.sentences()
    words = QuestionEncoder(
        parts.tokenizer(), parts.embedding().float(), sentences, attributes=config.attributes
    )
    fusion = Fusion(config, WIDTH)
    if arguments.start is None:
        # Every fifth image is enough for a mean and a deviation a channel.
        seen = [store[scene.image] for scene in scenes[::5]]
        fill_constants(fusion, words, names=config.names, detected=COCO_CLASSES, seen=seen)
    else:
        _go_on_from(_start(arguments.start, config, parts).fusion, fusion)
    fill_open_matching(fusion, sentences, parts.classifier(), _word_lists(config.names))
    train_grounding(
        fusion,
        words,
        Batches(scenes, store, config.names, images=8, questions=6),
        settings=GroundingConfig(
            steps=arguments.steps or 1000, learning_rate=arguments.rate or 6e-4
        ),
        folder=arguments.work,
        check=lambda averaged: validate_grounding(averaged, words, held_out, store),
    )


def _go_on_from(start: torch.nn.Module, new: torch.nn.Module) -> None:
    """Load the weights of a start; modules that are younger than it keep their initial values."""
    missing, unknown = new.load_state_dict(start.state_dict(), strict=False)
    wrong = [*unknown, *(name for name in missing if not _is_young(name))]
    if wrong:
        sys.exit(f"--start holds another model: {', '.join(wrong[:3])}")


def _is_young(name: str) -> bool:
    return any(part in name for part in ("matching.", "spatial.", "run_reader.", "vqa_head."))


def _write(arguments: argparse.Namespace, parts: PretrainedParts) -> None:
    config, scenes = _images(arguments)
    store = _store(arguments, parts.vision_encoder())
    model = _assemble(config, parts, arguments)
    model.vqa_head = None  # trained by the next stage
    text = PromptTokenizer(
        parts.tokenizer(), image_token=config.image_token, image_tokens=config.image_tokens
    )
    model.set_cell_tracker(text.cell_tracker)
    if model.fusion.matching is not None:
        reader = PhraseReader(parts.sentences(), model.fusion.matching, config)
        model.set_question_reader(partial(reader.read_tokens, parts.tokenizer()))
    steps = arguments.steps or 350
    settings = WritingConfig(shape_steps=min(_SHAPE_STEPS, steps), image_steps=steps)
    if arguments.rate:
        times = arguments.rate / settings.learning_rate
        rates = ("learning_rate", "reader_rate", "run_rate")
        settings = replace(settings, **{rate: times * getattr(settings, rate) for rate in rates})
    batches = Batches(scenes, store, config.names, images=2, questions=4)
    sampler = BatchSampler(model, text, batches, config.names, settings)
    train_decoder(model, sampler, settings=settings, folder=arguments.work)


def _vqa(arguments: argparse.Namespace, parts: PretrainedParts) -> None:
    """Train the answers in words of `--start`, if this stage runs alone, or of the work so far."""
    if arguments.stage == "vqa" and arguments.start is not None:
        model = load_model(arguments.start, parts)
    else:
        config, _ = _images(arguments)
        model = _assemble(config, parts, arguments)
    if not model.config.attributes:
        sys.exit("only a model with attributes can answer in words: train its grounding again")
    store = _store(arguments, parts.vision_encoder())
    chosen = {"steps": arguments.steps, "learning_rate": arguments.rate}
    settings = VqaConfig(images=arguments.answer_images, **{k: v for k, v in chosen.items() if v})
    chat = NanoModel(model, parts)
    shards = iterate_evidence(
        chat,
        lambda: list(read_collection(arguments.data, "train")),
        store,
        arguments.work,
        settings.images,
    )
    count = count_shards(settings.images)
    found = [one for shard in track(shards, "looking", total=count) for one in shard]
    if model.vqa_head is None:
        model.add_vqa_head()
    train_vqa(model, chat.text, found, settings=settings, folder=arguments.work)
    if arguments.stage == "vqa" and arguments.out is not None:
        save_model(model, arguments.out)
        print(json.dumps({"out": str(arguments.out), "parameters": model.num_parameters()}))


def _start(
    folder: Path, config: NanoConfig, parts: PretrainedParts
) -> NanoForConditionalGeneration:
    """Load the packed model to go on from; its name head must have the same names."""
    model = load_model(folder, parts)
    if model.config.names != config.names:
        sys.exit(f"{folder} knows {len(model.config.names)} names, the images {len(config.names)}")
    return model


def _assemble(
    config: NanoConfig, parts: PretrainedParts, arguments: argparse.Namespace
) -> NanoForConditionalGeneration:
    """Assemble the model as far as it is trained.

    The language model is SmolLM2's first layers and embedding or, with `--start`, the packed one's.
    The weights of the stages replace it, where they were trained.
    """
    if arguments.start is None:
        model = NanoForConditionalGeneration(config)
        language = read_language_model(locate("smollm2"), layers=LAYERS)
        language["embed_tokens.weight"] = parts.embedding()
        # The file holds 4-bit weights: bfloat16 is as much as they are worth.
        model.language.load_state_dict({k: v.bfloat16().float() for k, v in language.items()})
    else:
        model = NanoForConditionalGeneration(config)
        _go_on_from(_start(arguments.start, config, parts), model)
    seen, written = arguments.work / "grounding.pt", arguments.work / "writing.pt"
    if seen.exists():
        averaged = torch.load(seen, weights_only=True)["averaged"]
        prefix = "module."
        model.fusion.load_state_dict(
            {k.removeprefix(prefix): v for k, v in averaged.items() if k.startswith(prefix)}
        )
    if written.exists():
        trained = torch.load(written, weights_only=True)["trained"]
        unknown = model.load_state_dict(trained, strict=False).unexpected_keys
        if unknown:
            sys.exit(f"{written} is of another model: {', '.join(unknown[:3])}")
    elif arguments.start is None and arguments.stage == "pack":
        sys.exit(f"{written} is missing: train the stage writing first, or give --start")
    answered = arguments.work / ANSWER
    if model.vqa_head is not None and answered.exists():
        state = torch.load(answered, weights_only=True)
        model.vqa_head.load_state_dict(state["reader"])
        if arguments.stage == "pack" and state["language"] != fingerprint(model.language):
            sys.exit(f"{answered} is of another language model: run the stage vqa again")
    return model


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m projects.nano")
    parser.add_argument("stage", choices=("all", "label", "grounding", "writing", "vqa", "pack"))
    parser.add_argument("--data", type=Path, required=True, help="folder of images with masks")
    parser.add_argument("--work", type=Path, required=True, help="features, logs, checkpoints")
    parser.add_argument("--out", type=Path, help="pack, vqa: folder of the packed weights")
    parser.add_argument("--steps", type=int, help="grounding: 1000, writing: 350, vqa: 300")
    parser.add_argument("--start", type=Path, help="packed weights to go on from")
    parser.add_argument("--rate", type=float, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--answer-images",
        type=int,
        default=VqaConfig().images,
        help="vqa: images that evidence is collected from",
    )
    parser.add_argument("--images", default="photos/coco_people", help="label: folder in --data")
    parser.add_argument(
        "--classes", default="photos/imagenet", help="folder in --data of images named by class"
    )
    thresholds = {"presence": 1.5, "look-alike": 2.0, "position": 0.5}
    settings = {f"{name}-threshold": chosen for name, chosen in thresholds.items()}
    settings |= {"others-bias": -0.7, "cell-bias": 0.5}
    for name, chosen in settings.items():
        parser.add_argument(f"--{name}", type=float, default=chosen, help="see NanoConfig")
    arguments = parser.parse_args()
    if arguments.stage in ("pack", "all") and arguments.out is None:
        parser.error(f"{arguments.stage} needs --out")
    return arguments


if __name__ == "__main__":
    main()
