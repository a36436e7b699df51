"""Balanced draws of plausible scenes."""

from __future__ import annotations

import numpy as np

from .attributes import Attributes


def _pick(rng: np.random.Generator, **weights: float) -> str:
    names = list(weights)
    share = np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=share / share.sum()))]


def sample_attributes(rng: np.random.Generator, look: str = "painting") -> Attributes:
    """Draw a plausible combination: palms want warmth, winter mostly snow, a boat needs water."""
    return _painting(rng) if look == "painting" else _poster(rng)


def _painting(rng: np.random.Generator) -> Attributes:
    time = _pick(rng, dawn=1, day=1, sunset=1, night=1)
    weather = _pick(rng, clear=0.38, cloudy=0.32, foggy=0.17, stormy=0.04 if time == "night" else 0.13)
    season = _pick(rng, spring=1, summer=1, autumn=1, winter=1)
    water = _pick(rng, none=0.52, lake=0.24, river=0.11, sea=0.13)
    mountains = _pick(rng, none=0.35, rocky=0.29, snowy=0.36)
    if season == "winter":
        ground = _pick(rng, snow=0.9, rocks=0.1)
        trees = _pick(rng, none=0.24, pine=0.38, broadleaf=0.22, birch=0.16)
    else:
        dry = 0.55 if water == "sea" else 0.14
        ground = _pick(rng, meadow=0.85 - dry, sand=dry, rocks=0.15)
        palm = 0.0 if season == "autumn" else (0.5 if ground == "sand" else 0.06)
        trees = _pick(rng, none=0.26, pine=0.22, broadleaf=0.3, birch=0.14, palm=palm)
    house = _pick(rng, none=0.82, house=0.18)
    boat = "none"
    if water != "none":
        boat = _pick(rng, none=0.81, rowboat=0.1, sailboat=0.09)
        if boat == "sailboat" and water == "river":
            boat = "rowboat"
    return Attributes(time, weather, season, mountains, water, trees, ground, house, boat)


def _poster(rng: np.random.Generator) -> Attributes:
    """Fewer things a picture, each of them often: a motif of the ground, one of the water, or none."""
    time = _pick(rng, dawn=0.24, day=0.3, sunset=0.26, night=0.2)
    weather = _pick(rng, clear=0.46, cloudy=0.32, foggy=0.14, stormy=0.08)
    season = _pick(rng, spring=0.24, summer=0.3, autumn=0.23, winter=0.23)
    water = _pick(rng, none=0.32, lake=0.28, river=0.18, sea=0.22)
    mountains = _pick(rng, none=0.36, rocky=0.32, snowy=0.32)
    if season == "winter":
        ground = _pick(rng, snow=0.88, rocks=0.12)
        trees = _pick(rng, none=0.2, pine=0.42, broadleaf=0.2, birch=0.18)
    else:
        dry = 0.5 if water == "sea" else 0.14
        ground = _pick(rng, meadow=0.86 - dry, sand=dry, rocks=0.14)
        palm = 0.0 if season == "autumn" else (0.75 if ground == "sand" else 0.04)
        trees = _pick(rng, none=0.2, pine=0.24, broadleaf=0.26, birch=0.16, palm=palm)
    tree_count = "none" if trees == "none" else _pick(rng, one=0.3, few=0.36, many=0.34)
    building = _pick(
        rng,
        none=0.42,
        house=0.22,
        barn=0.08,
        chapel=0.08,
        windmill=0.09,
        lighthouse=0.3 if water == "sea" else 0.03 if water == "lake" else 0.0,
    )
    bridge = _pick(rng, none=0.55, bridge=0.45) if water == "river" else "none"
    if water == "lake":
        bridge = _pick(rng, none=0.9, bridge=0.1)
    boat, boat_count = "none", "none"
    if water != "none" and bridge == "none":
        sail = {"sea": 0.34, "lake": 0.2, "river": 0.0}[water]
        boat = _pick(rng, none=0.48, rowboat=0.2, sailboat=sail)
        many = 0.0 if water == "river" else 1.0
        boat_count = "none" if boat == "none" else _pick(rng, one=0.66, two=0.2 * many, three=0.14 * many)
    disc = "none"
    if weather != "stormy":
        seen = {"clear": 0.78, "cloudy": 0.55, "foggy": 0.45}[weather]
        if rng.random() < seen:
            disc = _pick(rng, moon=0.5, crescent=0.5) if time == "night" else "sun"
    birds = _pick(rng, none=0.78, birds=0.22) if time != "night" and weather != "stormy" else "none"
    return Attributes(
        time,
        weather,
        season,
        mountains,
        water,
        trees,
        ground,
        "house" if building == "house" else "none",
        boat,
        "poster",
        building,
        tree_count,
        boat_count,
        bridge,
        disc,
        birds,
    )
