"""Every kind of condition is learnt, and what was learnt draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ldm_core.conditioners import Inputs
from ldm_core.engine.sample import sample
from ldm_core.formats import load_model
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.training import data
from tests.training_kinds import KINDS, config, task

pytest_plugins = ["tests.training_kinds"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_its_export_draws(
    kind: str, first_stage: Path, tmp_path: Path, cache: Path
) -> None:
    training = task(config(kind, first_stage), tmp_path, cache)
    losses = [training.update(step, 2e-3)["loss"] for step in range(60)]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])
    training.export(tmp_path / "out")
    model = load_model(tmp_path / "out")
    assert isinstance(model, LatentDiffusion)
    scene = data.render("unseen", 1, 64)
    given = Inputs(
        prompt="a lake",
        class_id=3,
        label_map=torch.from_numpy(scene.labels),
        image=data.to_tensor(scene.image[None])[0],
        mask=torch.zeros(1, 64, 64),
        low_res=torch.zeros(3, 8, 8),
    )
    z = sample(model, [given], height=64, width=64, steps=2, guidance=2.0, seeds=[0])
    assert model.decode(z).isfinite().all()
