"""What a picture's file says about how it was made, in the field's own words and not yet checked."""

from __future__ import annotations

from dataclasses import dataclass

Value = int | float | str | None  # as it stands there; None where nothing is said


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA.

    Attributes:
        weight: of the UNet, and of the text encoders where `text_weight` does not say theirs.
        digest: a short hash of its file, where the program wrote one.
    """

    name: str
    weight: Value = None
    text_weight: Value = None
    digest: str = ""

    def __str__(self) -> str:
        parts = (self.name, self.weight, self.text_weight, self.digest)
        return " ".join(str(part) for part in parts if part not in (None, ""))


@dataclass(frozen=True, slots=True)
class Control:
    """A ControlNet, or another adapter that is shown a picture."""

    model: str
    weight: Value = None
    module: str = ""  # what makes the hint from the picture

    def __str__(self) -> str:
        return " ".join(
            str(part) for part in (self.module, self.model, self.weight) if part not in (None, "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one program wrote.

    Attributes:
        program: its name, for a person.
        sampler, schedule: as the program spells them.
        model, model_hash: of the checkpoint; the hash in hexadecimal digits, however many there are.
        eta, guidance_rescale, guidance_start, guidance_end: as in a request.
        denoising_strength: of a picture that went on from another, or of a second pass.
        from_picture: whether it went on from a picture, which the file does not hold.
        clip_skip: as A1111 counts, from 1 on.
        prompt_syntax, prompt_weighting: as in a request; "" where the program has one of its own.
        embeddings: name and hash of each that its prompts name, as far as the program says them.
        hires: name and value of what a second, larger pass was told.
        others: name and value of what else has an effect on the picture.
        unread: sentences about what is there and was not understood.
    """

    program: str
    prompt: str = ""
    negative_prompt: str = ""
    steps: Value = None
    sampler: str = ""
    schedule: str = ""
    cfg_scale: Value = None
    eta: Value = None
    guidance_rescale: Value = None
    guidance_start: Value = None
    guidance_end: Value = None
    seed: Value = None
    variation_seed: Value = None
    variation_strength: Value = None
    width: Value = None
    height: Value = None
    model: str = ""
    model_hash: str = ""
    vae: str = ""
    denoising_strength: Value = None
    from_picture: bool = False
    clip_skip: Value = None
    prompt_syntax: str = ""
    prompt_weighting: str = ""
    hires: tuple[tuple[str, Value], ...] = ()
    loras: tuple[Lora, ...] = ()
    embeddings: tuple[tuple[str, str], ...] = ()
    controls: tuple[Control, ...] = ()
    others: tuple[tuple[str, Value], ...] = ()
    unread: tuple[str, ...] = ()
