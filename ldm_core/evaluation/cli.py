"""`python launch.py evaluate MODEL`: a JSON of figures and a contact sheet."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from ldm_core.errors import ModelNotFound
from ldm_core.evaluation.evaluate import Report, as_json, evaluate_first_stage, evaluate_text_to_image
from ldm_core.formats import load_model
from ldm_core.nn.autoencoder import FirstStage
from ldm_core.training.scene_trainer import load_scene_network

ASSETS = Path(__file__).resolve().parents[2] / "assets"
BUNDLED, JUDGE = ASSETS / "models", ASSETS / "judge" / "model.safetensors"


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="launch.py evaluate", description="Measures a model on unseen scenes."
    )
    parser.add_argument("model", type=Path, help="a model's folder or file, or the name of a bundled one")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"))
    parser.add_argument("--count", type=int, default=128, help="number of pictures")
    parser.add_argument("--size", type=int, default=256, help="in pixels")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance-scale", type=float, default=2.5)
    parser.add_argument("--judge", type=Path, default=JUDGE)
    args = parser.parse_args(argv)

    path = args.model if args.model.exists() else BUNDLED / args.model.name
    if not path.exists():
        raise ModelNotFound(
            f"There is no model {args.model}; give a folder or file, or a bundled model's name."
        )
    model = load_model(path, device="cuda" if torch.cuda.is_available() else "cpu")
    if isinstance(model, FirstStage):
        report = evaluate_first_stage(model, args.count, args.size)
    else:
        report = evaluate_text_to_image(
            model,
            load_scene_network(args.judge),
            count=args.count,
            size=args.size,
            steps=args.steps,
            guidance_scale=args.guidance_scale,
        )
    write(report, args.out / path.name)


def write(report: Report, stem: Path) -> None:
    """STEM.json and STEM.png; prints the figures."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(report), indent=2)
    stem.with_suffix(".json").write_text(text + "\n", "utf-8")
    Image.fromarray(report.sheet).save(stem.with_suffix(".png"))
    print(text)
