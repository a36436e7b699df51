"""Samplers and schedules: what other programs call them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ldm_core.request import SAMPLERS, SPACINGS, SamplerSpec, SpacingSpec

# Further spellings, without what `_key` takes away.
_SAMPLERS = {"dpmpp2msdegpu": "dpmpp_2m_sde", "unipcbh2": "unipc"}
_SPACINGS: Mapping[str, str] = {
    "trailing": "trailing",
    "ddimuniform": "uniform",
    "leading": "uniform",
    "linspace": "linspace",
}
# Words for a schedule that stand behind a sampler's name.
_BEHIND = ("karras", "exponential", "sgm uniform", "trailing", "ays", "simple", "normal", "beta")


def _key(name: str) -> str:
    """A name as its letters and digits: "k_dpmpp_2m", "DPM++ 2M" and "dpmpp-2m" are one."""
    plain = re.sub("^(k_|sample_)", "", name.strip().lower())
    return re.sub("[^a-z0-9]", "", plain.replace("++", "pp"))


def _by_key(table: Mapping[str, SamplerSpec | SpacingSpec], more: Mapping[str, str]) -> dict[str, str]:
    """Our names by the keys of all spellings; A1111's first, which has other words for the same."""
    names = {_key(spec.name): spec.name for spec in table.values()}
    return names | dict(more) | {_key(alias): spec.name for spec in table.values() for alias in spec.a1111}


_SAMPLERS_BY_KEY, _SPACINGS_BY_KEY = _by_key(SAMPLERS, _SAMPLERS), _by_key(SPACINGS, _SPACINGS)


def parted(sampler: str, schedule: str) -> tuple[str, str]:
    """Sampler and schedule where one name says both: "DPM++ 2M Karras", "dpmpp_2m_karras", "dpmpp_2m_k"."""
    name = sampler.strip()
    if _key(name) in _SAMPLERS_BY_KEY:
        return name, schedule
    for word in _BEHIND:
        for end in (f" {word}", f"_{word.replace(' ', '_')}"):
            if name.lower().endswith(end):
                return name[: -len(end)], schedule or word
    behind = re.search("_ka?$", name[-3:].lower())
    return (name[: -len(behind[0])], schedule or "karras") if behind else (name, schedule)


def sampler_of(name: str) -> str | None:
    """Our sampler of that name."""
    return _SAMPLERS_BY_KEY.get(_key(name))


def spacing_of(name: str) -> str | None:
    """Our spacing that puts the steps where that schedule does."""
    return _SPACINGS_BY_KEY.get(_key(name))
