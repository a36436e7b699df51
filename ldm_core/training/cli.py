"""`python launch.py train CONFIG --out DIR [--minutes M] [--resume]`, and `export`."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import torch
import yaml

from ldm_core import formats
from ldm_core.errors import ConfigError, FileError
from ldm_core.formats.config import read_config
from ldm_core.model_spec import ModelSpec
from ldm_core.network.memory import keep_freed_blocks
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.spec import AutoencoderSpec
from ldm_core.training.card import card, read_figures
from ldm_core.training.diffusion import DiffusionSettings, DiffusionTraining
from ldm_core.training.first_stage import FirstStageSettings, FirstStageTraining
from ldm_core.training.loop import LoopSettings, Trainable, run
from ldm_core.training.parallel import ALONE, Processes, join
from ldm_core.training.scene_trainer import SceneNetworkSettings, SceneNetworkTraining

T = TypeVar("T")


def settings_from(kind: type[T], section: object, where: str) -> T:
    """A settings dataclass from a section of the file; lists become tuples.

    Raises:
        ConfigError: an entry is missing or unknown.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"The section {where} is missing; see the files in assets/configs.")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(section) - known)
    if unknown:
        raise ConfigError(f"{where} has no setting {unknown[0]!r}; it knows {', '.join(sorted(known))}.")
    try:
        return kind(**{name: _tuples(value) for name, value in section.items()})
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).split('__init__() ')[-1]}.") from error


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def make_task(
    path: Path,
    config: Mapping[str, object],
    cache: Path,
    out: Path,
    device: torch.device,
    processes: Processes = ALONE,
) -> Trainable:
    """The training that a file describes.

    Raises:
        ConfigError: the file does not say which training, or a part is missing.
    """
    kind, section = config.get("kind"), config.get("training")
    exported = {name: config[name] for name in ("model", "atelier") if name in config}
    if kind == "scene-network":
        return SceneNetworkTraining(settings_from(SceneNetworkSettings, section, "training"), cache, device)
    if kind == "first-stage":
        spec = read_config(path).spec
        settings = settings_from(FirstStageSettings, section, "training")
        if not isinstance(spec, AutoencoderSpec):
            raise ConfigError(f"{path.name} describes a whole model, but kind is first-stage.")
        return FirstStageTraining(spec, settings, exported, cache, device)
    if kind == "diffusion":
        described = read_config(path)
        whole, shares = described.spec, bool(described.defaults.first_stage)
        options = settings_from(DiffusionSettings, section, "training")
        first_stage = formats.load_model(Path(options.first_stage), device=str(device))
        if not isinstance(whole, ModelSpec) or not isinstance(first_stage, FirstStage):
            raise ConfigError(
                f"{path.name}: a diffusion training needs a whole model and a first stage's file."
            )
        return DiffusionTraining(whole, options, exported, first_stage, shares, cache, out, device, processes)
    raise ConfigError(f"{path.name}: kind is {kind!r}; it has to be scene-network, first-stage or diffusion.")


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="launch.py train", description="Trains a model.")
    parser.add_argument("config", type=Path, help="a file such as those in assets/configs")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, logs and the result")
    parser.add_argument("--minutes", type=float, help="stop after this time; --resume goes on later")
    parser.add_argument("--steps", type=int, help="number of steps, instead of the file's")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder for rendered scenes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads")
    args = parser.parse_args(argv)
    keep_freed_blocks()
    if args.threads:
        torch.set_num_threads(args.threads)

    config = _read(args.config)
    loop = config.get("loop")
    if args.steps and isinstance(loop, Mapping):
        loop = {**loop, "steps": args.steps}
    processes, device = join(args.device)
    task = make_task(args.config, config, args.cache, args.out, device, processes)
    run(task, settings_from(LoopSettings, loop, "loop"), args.out, args.minutes, args.resume, processes)


def export(argv: Sequence[str]) -> None:
    """Writes the model of a training, as far as it is, into a folder that the program loads, with a card."""
    parser = argparse.ArgumentParser(prog="launch.py export", description=export.__doc__)
    parser.add_argument("config", type=Path, help="the training's file")
    parser.add_argument("run", type=Path, help="the training's folder, with its checkpoint")
    parser.add_argument("to", type=Path, help="the model's folder, such as models/NAME")
    parser.add_argument("--figures", type=Path, help="JSON that launch.py evaluate has written, for the card")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder for rendered scenes")
    args = parser.parse_args(argv)

    config, checkpoint = _read(args.config), args.run / "checkpoint.pt"
    if not checkpoint.is_file():
        raise FileError(f"{args.run} holds no checkpoint; train there first.")
    task = make_task(args.config, config, args.cache, args.run, torch.device("cpu"))
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    task.load_state_dict(state["task"])
    args.to.mkdir(parents=True, exist_ok=True)
    figures = read_figures(args.figures) if args.figures else {}
    readme = args.to / "README.md"
    if not readme.exists():  # one that a person has written stays
        readme.write_text(card(config, state["step"], figures), "utf-8")
    task.export(args.to)
    vocabulary = args.run / "vocab.txt"
    if vocabulary.is_file():
        shutil.copyfile(vocabulary, args.to / "vocab.txt")


def _read(path: Path) -> Mapping[str, object]:
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as a training file: {error}.") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path.name} is no training file; see those in assets/configs.")
    return config
