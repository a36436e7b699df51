"""Trainings of diffusion models with every kind of condition, on networks small enough to learn in seconds.

A test file says `pytest_plugins = ["tests.training_kinds"]` for the cache and the first stage.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ldm_core.training import cli
from tests.test_training import DIFFUSION, LOOP, first_stage_config, train

TEXT = DIFFUSION["params"]["cond_stage_config"]  # type: ignore[index]
BERT = "ldm.modules.encoders.modules.BERTEmbedder"
CLASSES = ["sky", "cloud", "sun", "moon", "mountain", "hill", "water", "tree", "meadow", "sand", "rock",
           "snow", "house", "boat", "pine", "birch", "palm"]  # fmt: skip
BOXES = ["sun", "moon", "tree", "house", "boat"]

# Kind -> changes to the model's parameters, channels beside the latent's 4, dropout.
KINDS: dict[str, tuple[dict[str, Any], int, dict[str, float]]] = {
    "text": ({"cond_stage_config": TEXT, "conditioning_key": "crossattn"}, 0, {"prompt": 0.1}),
    "unconditional": ({"cond_stage_config": "__is_unconditional__", "conditioning_key": None}, 0, {}),
    "class": (
        {
            "cond_stage_config": {
                "target": "ldm.modules.encoders.modules.ClassEmbedder",
                "params": {"embed_dim": 32, "n_classes": 1001},
            },
            "conditioning_key": "crossattn",
        },
        0,
        {"class": 0.1},
    ),
    "layout": (
        {
            "cond_stage_config": {
                "target": BERT,
                "params": {"n_embed": 32, "n_layer": 1, "max_seq_len": 38, "vocab_size": 1024,
                           "use_tokenizer": False},
            },
            "conditioning_key": "crossattn",
        },
        0,
        {"boxes": 0.1},
    ),
    "label map": (
        {
            "cond_stage_config": {
                "target": "ldm.modules.encoders.modules.SpatialRescaler",
                "params": {"n_stages": 3, "in_channels": len(CLASSES), "out_channels": 3},
            },
            "conditioning_key": "concat",
        },
        3,
        {},
    ),
    "masked image": ({"cond_stage_config": "__is_first_stage__", "conditioning_key": "concat"}, 5, {}),
    "low resolution": (
        {"cond_stage_config": {"target": "torch.nn.Identity"}, "conditioning_key": "concat"}, 3, {},
    ),
    "several": (
        {
            "cond_stage_config": TEXT,
            "conditioning_key": "hybrid",
            "concat_conditions": ["known_region", {"label_map": CLASSES}, {"box_map": BOXES}],
        },
        10 + len(CLASSES),
        {"prompt": 0.2, "known_region": 0.5, "label_map": 0.5, "boxes": 0.5},
    ),
    "drawn label map": (
        {
            "cond_stage_config": TEXT,
            "conditioning_key": "crossattn",
            "label_bits": {"classes": CLASSES, "scale": 1.5},
        },
        5,
        {"prompt": 0.2, "label_map": 0.5},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    return train(first_stage_config(60), tmp_path_factory.mktemp("first-stage"), cache, "out")


def config(kind: str, first_stage: Path, **settings: object) -> dict[str, Any]:
    changes, beside, dropout = KINDS[kind]
    model = copy.deepcopy(DIFFUSION)
    params: Any = model["params"]
    params |= changes
    params["unet_config"]["params"]["in_channels"] = 4 + beside
    params["unet_config"]["params"]["out_channels"] = 9 if "label_bits" in changes else 4
    if changes["conditioning_key"] in (None, "concat"):
        params["unet_config"]["params"].pop("context_dim")
        params["unet_config"]["params"]["use_spatial_transformer"] = False
    training = {
        "data": [[64, 16, 1.0]],
        "first_stage": str(first_stage / "model.safetensors"),
        "batch_size": 8,
        "ema_decay": 0.9,
        "dropout": dropout,
    }
    return {
        "kind": "diffusion",
        "model": model,
        "training": training | settings,
        "loop": LOOP | {"steps": 60},
    }


def task(described: dict[str, Any], folder: Path, cache: Path) -> cli.Trainable:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(described), "utf-8")
    return cli.make_task(path, described, cache, folder / "out", torch.device("cpu"))
