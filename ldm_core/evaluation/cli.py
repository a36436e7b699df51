"""`python launch.py evaluate MODEL`: a JSON of figures and a contact sheet for each of its tasks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import torch
from PIL import Image

from ldm_core import bundled
from ldm_core.errors import ModelNotFound, RequestError
from ldm_core.evaluation.compare import Judges
from ldm_core.evaluation.evaluate import EVALUATIONS, Report, as_json, evaluate_first_stage
from ldm_core.evaluation.inception import read_inception
from ldm_core.evaluation.unseen import Settings
from ldm_core.formats import load_model
from ldm_core.formats.config import config_beside, read_config, usual_defaults
from ldm_core.model_spec import ModelSpec
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.spec import AutoencoderSpec
from ldm_core.training import data
from ldm_core.training.lpips import LPIPS
from ldm_core.training.scene_trainer import load_scene_network
from ldm_core.training.sources import read_arrays

JUDGE = bundled.ASSETS / "judge" / "model.safetensors"


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="launch.py evaluate", description="Measures a model on unseen scenes."
    )
    parser.add_argument("model", type=Path, help="a model's folder or file, or the name of a bundled one")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"))
    parser.add_argument(
        "--task", choices=sorted(EVALUATIONS), help="one of the model's tasks, instead of all"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=128,
        help="number of pictures; a Frechet distance has 256 features, and is rough where there are fewer",
    )
    parser.add_argument(
        "--seeds", type=_range, metavar="A:B", help="numbers of the unseen scenes, instead of --count from 0"
    )
    parser.add_argument("--look", choices=get_args(data.Look), default="painting", help="of the scenes")
    parser.add_argument("--size", type=int, default=256, help="in pixels")
    parser.add_argument("--steps", type=int, help="instead of the model's own number")
    parser.add_argument("--guidance-scale", type=float, help="instead of the model's own")
    parser.add_argument("--guidance-end", type=float, help="instead of the model's own")
    parser.add_argument("--judge", type=Path, default=JUDGE)
    parser.add_argument("--lpips", type=Path, help="file with the weights of VGG-16 and LPIPS")
    parser.add_argument(
        "--inception", type=Path, help="file with torch-fidelity's weights of Inception-v3, for the FID"
    )
    parser.add_argument(
        "--neighbours", type=Path, help="folder of cached training scenes, to look for copies"
    )
    args = parser.parse_args(argv)

    path = args.model if args.model.exists() else bundled.BUNDLED_MODELS / args.model.name
    if not path.exists():
        raise ModelNotFound(
            f"There is no model {args.model}; give a folder or file, or a bundled model's name."
        )
    model = load_model(path, device="cuda" if torch.cuda.is_available() else "cpu")
    settings = _settings(args, path, model.spec)
    lpips = LPIPS.read(args.lpips) if args.lpips else None
    if isinstance(model, FirstStage):
        reports = {"first-stage": evaluate_first_stage(model, settings, lpips)}
    else:
        neighbours = read_arrays(args.neighbours) if args.neighbours else None
        inception = read_inception(args.inception) if args.inception else None
        judges = Judges(load_scene_network(args.judge), lpips, neighbours, inception)
        wanted = _tasks(model.spec, args.task)
        reports = {name: EVALUATIONS[name](model, judges, settings) for name in wanted}
    write(reports, settings, args.out / path.name)


def _settings(args: argparse.Namespace, path: Path, spec: ModelSpec | AutoencoderSpec) -> Settings:
    """What is not said is as the model's description suggests it to a page."""
    beside = config_beside(path / "model.safetensors" if path.is_dir() else path)
    usual = usual_defaults(spec) if beside is None else read_config(beside).defaults

    def chosen(name: str) -> float:
        said: float | None = getattr(args, name)
        return getattr(usual, name) if said is None else said

    steps, scale, end = (chosen(name) for name in ("steps", "guidance_scale", "guidance_end"))
    first, count = (args.seeds.start, len(args.seeds)) if args.seeds else (0, args.count)
    return Settings(count, args.size, int(steps), scale, end, usual.spacing, first, args.look)


def _range(text: str) -> range:
    """A:B, without B."""
    first, _, end = text.partition(":")
    if not (first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range A:B of numbers, such as 1000:1128")
    return range(int(first), int(end))


def _tasks(spec: ModelSpec, wanted: str | None) -> list[str]:
    """Those that are measured: the wanted one, or all that the model has been made for.

    Raises:
        RequestError: the model does not have the wanted one.
    """
    # Not what comes of prompts: classes that are names for them, and regions.
    own = {task for conditioner in spec.conditioners for task in conditioner.tasks}
    by_prompts = {"class", "semantic", "layout"} - own if spec.takes_prompts else set()
    tasks = [name for name in EVALUATIONS if name in spec.tasks - by_prompts]
    if wanted is not None:
        if wanted not in tasks:
            raise RequestError("task", wanted, f"one that this model is measured at: {', '.join(tasks)}")
        return [wanted]
    by_the_way = {"unconditional"} if spec.conditioners else set()
    by_the_way |= set() if spec.fills_holes else {"inpaint"}
    return [name for name in tasks if name not in by_the_way]


def write(reports: Mapping[str, Report], settings: Settings, stem: Path) -> None:
    """STEM.json, and STEM-TASK.png for each task; prints the figures."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: as_json(report, settings) for name, report in reports.items()}, indent=2)
    stem.with_suffix(".json").write_text(text + "\n", "utf-8")
    for name, report in reports.items():
        Image.fromarray(report.sheet).save(stem.with_name(f"{stem.name}-{name}.png"))
    print(text)
