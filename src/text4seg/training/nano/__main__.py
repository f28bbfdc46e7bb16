r"""Train nano on a CPU: seeing, then writing, then packing what was trained.

    python -m text4seg.training.nano see   --data DIR --work DIR --steps 1000
    python -m text4seg.training.nano write --data DIR --work DIR --steps 350
    python -m text4seg.training.nano pack  --data DIR --work DIR --out DIR \
        --presence-gate 1.5 --others-bias -0.7

`--data` holds the photos (see `scenes.py` for the layout); `--work` keeps features, logs and
checkpoints. A stage that was stopped goes on from its last checkpoint. Use one thread a process on
a busy machine: small tensors on two contended cores wait for one another longer than they compute.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from text4seg.models.nano.configuration import NanoConfig
from text4seg.models.nano.detector import COCO_CLASSES
from text4seg.models.nano.fusion import Fusion
from text4seg.models.nano.language import WIDTH, language_settings, read_language_model
from text4seg.models.nano.modeling import NanoForConditionalGeneration
from text4seg.models.nano.parts import Parts, get_parts
from text4seg.models.nano.storage import save_model
from text4seg.models.nano.text import NanoText
from text4seg.pretrained.weights import locate
from text4seg.training.nano.batches import Batches
from text4seg.training.nano.features import FeatureStore
from text4seg.training.nano.names import known_names
from text4seg.training.nano.scenes import Scene, read_collection
from text4seg.training.nano.see import SeeSettings, Words, check_seeing, prepare, train_to_see
from text4seg.training.nano.write import Lesson, WriteSettings, train_to_write

LAYERS = 4
SEED = 0
_SHAPE_STEPS = 80


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    arguments.work.mkdir(parents=True, exist_ok=True)
    parts = get_parts(progress=lambda what: print(what, file=sys.stderr))
    scenes = list(read_collection(arguments.data, "train"))
    config = NanoConfig(
        names=known_names(scenes),
        language=language_settings(LAYERS),
        presence_gate=arguments.presence_gate,
        others_bias=arguments.others_bias,
    )
    if arguments.stage == "pack":
        model = _assemble(config, parts, arguments.work)
        _load_written(model, arguments.work)
        save_model(model, arguments.out)
        print(json.dumps({"out": str(arguments.out), "parameters": model.num_parameters()}))
        return
    eyes = parts.eyes()
    store = FeatureStore(arguments.work / "features", arguments.data, eyes.look)
    if arguments.stage == "see":
        _see(arguments, config, parts, scenes, store)
    else:
        _write(arguments, config, parts, scenes, store)


def _see(
    arguments: argparse.Namespace,
    config: NanoConfig,
    parts: Parts,
    scenes: list[Scene],
    store: FeatureStore,
) -> None:
    held_out = list(read_collection(arguments.data, "val"))
    words = Words(parts.tokenizer(), parts.embedding().float())
    fusion = Fusion(config, WIDTH)
    seen = [store[scene.photo] for scene in scenes]
    # Every fifth photo is enough for a mean and a deviation a channel.
    prepare(fusion, words, names=config.names, detected=COCO_CLASSES, seen=seen[::5])
    train_to_see(
        fusion,
        words,
        Batches(scenes, store, config.names, photos=8, questions=6),
        settings=SeeSettings(steps=arguments.steps),
        folder=arguments.work,
        check=lambda averaged: check_seeing(averaged, words, held_out, store),
    )


def _write(
    arguments: argparse.Namespace,
    config: NanoConfig,
    parts: Parts,
    scenes: list[Scene],
    store: FeatureStore,
) -> None:
    model = _assemble(config, parts, arguments.work)
    text = NanoText(
        parts.tokenizer(), image_token=config.image_token, image_tokens=config.image_tokens
    )
    model.set_walker(text.walker)
    settings = WriteSettings(shape_steps=_SHAPE_STEPS, photo_steps=arguments.steps)
    batches = Batches(scenes, store, config.names, photos=2, questions=4)
    lesson = Lesson(model, text, batches, config.names, settings)
    train_to_write(model, lesson, settings=settings, folder=arguments.work)


def _assemble(config: NanoConfig, parts: Parts, work: Path) -> NanoForConditionalGeneration:
    """SmolLM2's first layers and embedding; the fusion's averaged weights where it was trained."""
    model = NanoForConditionalGeneration(config)
    language = read_language_model(locate("smollm2"), layers=LAYERS)
    language["embed_tokens.weight"] = parts.embedding()
    # The file holds 4-bit weights: bfloat16 is as much as they are worth.
    model.language.load_state_dict({k: v.bfloat16().float() for k, v in language.items()})
    seen = work / "see.pt"
    if seen.exists():
        averaged = torch.load(seen, weights_only=True)["averaged"]
        prefix = "module."
        model.fusion.load_state_dict(
            {k.removeprefix(prefix): v for k, v in averaged.items() if k.startswith(prefix)}
        )
    return model


def _load_written(model: NanoForConditionalGeneration, work: Path) -> None:
    trained = torch.load(work / "write.pt", weights_only=True)["trained"]
    unknown = model.load_state_dict(trained, strict=False).unexpected_keys
    if unknown:
        sys.exit(f"{work / 'write.pt'} is of another model: {', '.join(unknown[:3])}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m text4seg.training.nano")
    parser.add_argument("stage", choices=("see", "write", "pack"))
    parser.add_argument("--data", type=Path, required=True, help="folder of photos with masks")
    parser.add_argument("--work", type=Path, required=True, help="features, logs, checkpoints")
    parser.add_argument("--out", type=Path, help="pack: folder of the packed weights")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--presence-gate", type=float, help="pack: see NanoConfig")
    parser.add_argument("--others-bias", type=float, default=0.0, help="pack: see NanoConfig")
    arguments = parser.parse_args()
    if arguments.stage == "pack" and arguments.out is None:
        parser.error("pack needs --out")
    return arguments


if __name__ == "__main__":
    main()
