"""The engine computes what the paper's reference implementation computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import golden

FIRST_STAGES = [
    f"first_stage_small/{name}"
    for name in "kl-f4 kl-f8 kl-f16 kl-f32 vq-f4 vq-f4-noattn vq-f8 vq-f8-n256 vq-f16".split()
]
MODELS = [
    f"small/{name}"
    for name in "bsr_sr celeba256 cin256 cin256_v2 inpainting_big layout2img lsun_churches256 semantic256 "
    "txt2img_1p4B".split()
]
CASES = [*MODELS, *FIRST_STAGES]


@pytest.mark.parametrize("case", CASES)
def test_reference(case: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert golden.main([case]) == 0, capsys.readouterr().out


QUICK = ("small/lsun_churches256", "first_stage_small/vq-f4")  # with moving averages; with a codebook


@pytest.mark.parametrize("file_format", ["ckpt", "lightning"])
@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_reference_in_other_formats(case: str, file_format: str, shared: Path) -> None:
    assert golden.main([case, "--format", file_format]) == 0


PUBLISHED = ["bsr_sr", "celeba256", "inpainting_big", "semantic256", "txt2img_1p4B"]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--no-config"]])
@pytest.mark.parametrize("case", PUBLISHED)
def test_published_models(
    case: str, flags: list[str], shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert golden.main([f"published/{case}", *flags]) == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("case", ["kl-f8", "vq-f4"])
def test_published_first_stages(case: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert golden.main([f"first_stage_published/{case}"]) == 0, capsys.readouterr().out


def test_first_stages_are_recognised_by_their_tensors(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert golden.main([*FIRST_STAGES, "--no-config"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("case", "name"), [("kl-f4", "decode"), ("kl-f4", "encode.logvar"), ("vq-f4", "decode.indices")]
)
def test_corruption_is_seen(case: str, name: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert golden.main([f"first_stage_small/{case}", "--corrupt", name]) == 1
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if line.endswith("FAIL")] == [name]
    assert out.splitlines()[-1].endswith(" passed, 1 failed")


def test_every_expected_tensor_is_sensitive_to_corruption(shared: Path) -> None:
    """One per cent of noise is a hundred times what any tensor is allowed to be off."""
    lines = golden.Golden(shared / "golden/first_stage_small/kl-f8/golden.safetensors", "decode")
    clean = golden.Golden(shared / "golden/first_stage_small/kl-f8/golden.safetensors", None)
    (line,) = lines.check("decode", clean.use("decode"))
    assert not line.passed and 0.009 < line.error < 0.011


def test_an_unused_tensor_fails(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(golden, "check_first_stage", lambda model, tensors: iter(()))
    assert golden.main(["first_stage_small/kl-f4"]) == 1
    assert "neither used nor checked" in capsys.readouterr().out


def test_without_heads_it_says_what_is_missing(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert golden.main(["small/txt2img_1p4B", "--no-config"]) == 1
    assert "attention heads cannot be told" in capsys.readouterr().out
