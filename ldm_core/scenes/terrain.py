"""Land: mountain ranges, layered hills with forest fringes, and the ground in front."""

from __future__ import annotations

import numpy as np

from .landscape import Landscape
from .light import Colour, mix, rgb
from .noise import F32, lookup, profile, smoothstep

_HILLS: dict[str, tuple[Colour, Colour]] = {
    # season: (lit, shaded) patches
    "spring": ((158, 196, 96), (98, 158, 92)),
    "summer": ((112, 158, 72), (62, 118, 72)),
    "autumn": ((216, 150, 66), (176, 96, 58)),
    "winter": ((232, 238, 246), (188, 204, 226)),
}
_MEADOW: dict[str, tuple[Colour, Colour]] = {
    "spring": ((176, 214, 92), (108, 176, 84)),
    "summer": ((138, 182, 70), (74, 136, 62)),
    "autumn": ((226, 176, 82), (178, 126, 60)),
    "winter": ((206, 206, 190), (160, 166, 150)),
}
_GROUND: dict[str, tuple[Colour, Colour]] = {
    "sand": ((244, 220, 168), (222, 188, 132)),
    "rocks": ((174, 164, 152), (128, 122, 122)),
    "snow": ((250, 252, 255), (204, 220, 246)),
}
GROUND_LABEL: dict[str, str] = {"meadow": "meadow", "sand": "sand", "rocks": "rock", "snow": "snow"}


def forest_colour(trees: str, season: str, rng: np.random.Generator) -> F32:
    """The colour of distant woods of one kind."""
    if trees == "pine":
        base: Colour = {
            "spring": (62, 118, 84),
            "summer": (44, 98, 70),
            "autumn": (60, 100, 70),
            "winter": (78, 110, 112),
        }[season]
    elif season == "autumn":
        base = ((206, 98, 40), (224, 148, 48), (184, 74, 44))[int(rng.integers(3))]
    else:
        base = {"spring": (122, 176, 84), "summer": (62, 124, 62), "winter": (146, 134, 140)}[season]
    return rgb(base)


def paint_mountains(c: Landscape, rng: np.random.Generator) -> None:
    """A far range in haze and a near one, each of several peaks painted back to front."""
    snowy = c.attributes.mountains == "snowy"
    sky = c.layout.horizon
    # Away from the sun or moon, which would otherwise be hidden.
    main = 0.5 - c.light.side * float(rng.uniform(-0.04, 0.26))
    far = sky * float(rng.uniform(0.4, 0.55))
    for k in range(3):
        _peak(
            c,
            rng,
            (0.05 + 0.4 * k + float(rng.uniform(0, 0.2))) * c.aspect,
            far + float(rng.uniform(0, 0.06)),
            0.85,
            0.62,
            far + 0.09,
            snowy,
        )
    top = sky * float(rng.uniform(0.2, 0.34))
    # The lesser peaks stand behind; the leading peak is painted last.
    spread = rng.uniform(0.2, 0.36, 3) * np.array([-1, 1, -1.9 * np.sign(main - 0.5)])
    drop = sky * rng.uniform(0.14, 0.34, 3)
    line = top + float(rng.uniform(0.42, 0.6)) * (sky - top)
    for off, low in sorted(zip(spread, drop, strict=True), key=lambda p: -p[1]):
        _peak(c, rng, (main + float(off)) * c.aspect, top + float(low), 0.9, 0.4, line, snowy)
    _peak(c, rng, main * c.aspect, top, 0.82, 0.3, line, snowy)


def _peak(
    c: Landscape,
    rng: np.random.Generator,
    apex_x: float,
    apex_y: float,
    slope: float,
    depth: float,
    line: float,
    snowy: bool,
) -> None:
    """One peak: a ragged tent whose ridge parts a lit from a shaded flank, with ribs fanning from the apex.

    `slope` in heights per height, `depth` of haze in 0..1, `line` the height y of the snow line.
    """
    base = c.layout.horizon + 0.02
    left, right = slope * float(rng.uniform(0.8, 1.3)), slope * float(rng.uniform(0.8, 1.3))
    lean, ou, ov = float(rng.uniform(-0.25, 0.25)), float(rng.uniform(0, 512)), float(rng.uniform(0, 512))
    du = c.x[0] - apex_x
    away = np.abs(du)
    outline = apex_y + np.where(du < 0, left, right) * away ** np.float32(0.92)
    rough = profile(2.6, rng, c.x[0]) * 0.02 + np.abs(profile(3.2, rng, c.x[0], 0.8)) * 0.045 - 0.03
    outline = outline + rough * np.clip(away / 0.07, 0.1, 1)
    wiggle = profile(3.0, rng, c.y[:, 0])
    columns = np.flatnonzero(outline < base)
    if columns.size == 0:
        return
    cols, rows = (
        slice(int(columns[0]), int(columns[-1]) + 1),
        slice(c.row(float(outline.min()) - 0.01), min(c.height, c.row(base) + 1)),
    )
    du, outline = du[cols], outline[cols].astype(np.float32)
    dep = np.maximum(c.y[rows] - apex_y, 0)
    ridge = dep * lean + wiggle[rows, None] * np.minimum(0.022, 0.25 * dep)
    fan = (du[None] - ridge) / (dep + 0.05)
    down = np.broadcast_to(dep * 210 + ov, fan.shape).astype(np.float32)
    ribs = lookup("rough", (fan * 52 + ou).astype(np.float32), down)
    crease = np.abs(lookup("smooth", (fan * 78 + ov).astype(np.float32), down * np.float32(0.7)))
    lit = (
        smoothstep(0.5 + c.light.side * fan * 2.6 + 0.5 * ribs + 0.3 * (0.8 - crease)) * 0.86
        + 0.07 * ribs
        + 0.06
    )
    light = c.light
    rock = mix(rgb((132, 118, 122)), rgb((164, 128, 100)), float(rng.uniform(0, 1)) if not snowy else 0.2)
    albedo = rock * (1 + 0.08 * ribs[..., None])
    if snowy:
        cover = smoothstep((line + 0.035 * ribs + 0.012 * wiggle[rows, None] - c.y[rows]) / 0.022 + 0.5)
        albedo = albedo + (rgb((250, 251, 255)) - albedo) * cover[..., None]
    colour = light.shade(albedo.astype(np.float32), np.clip(lit, 0, 1).astype(np.float32))
    if snowy and light.low:
        colour = light.cool(colour, 0.45 * cover[..., None])
    fade = np.float32(0.55 * depth) + np.float32(0.5) * np.clip(
        dep / (base - apex_y), 0, 1
    ) ** 2 * np.float32(0.8)
    fade = np.clip(fade * np.float32(light.haze_amount), 0, 0.8 if not snowy else 0.72)
    colour += (light.haze - colour) * fade[..., None]
    edge = np.clip((c.y[rows] - outline[None]) * c.height + 0.5, 0, 1)
    c.blend(colour.astype(np.float32), edge, rows, cols, label="mountain")


def paint_hills(c: Landscape, rng: np.random.Generator) -> None:
    """Two or three rolling layers up to the horizon, the nearer the richer; a sea keeps one headland."""
    sea = c.attributes.water == "sea"
    count = 1 if sea else int(rng.integers(2, 4))
    tall = float(rng.uniform(0.05, 0.11))
    lit_c, dark_c = (rgb(k) for k in _HILLS[c.attributes.season])
    for i in range(count):
        near = (i + 1) / count
        line = c.layout.horizon - tall * (1.25 - near) - 0.012 + 0.024 * profile(3.4, rng, c.x[0], 0.8)
        if sea:
            # A headland that slopes into the water on the side away from the sun.
            reach = np.float32(float(rng.uniform(0.3, 0.5)))
            u = c.x[0] / c.aspect if c.light.side > 0 else 1 - c.x[0] / c.aspect
            line = (
                c.layout.horizon
                + 0.01
                - (0.06 + 0.01 * profile(3.0, rng, c.x[0])) * smoothstep((reach - u) / 0.3)
            )
        elif i == count - 1:
            line = np.minimum(line, c.layout.horizon - 0.004)
        depth = 0.62 - 0.42 * near
        _hill(c, rng, line.astype(np.float32), mix(lit_c, dark_c, 0.5 * near), dark_c, depth)
        if c.attributes.trees not in ("none", "palm") and (i == count - 1 or rng.random() < 0.4):
            _fringe(c, rng, line.astype(np.float32), depth, 0.024 + 0.022 * near)


def _hill(c: Landscape, rng: np.random.Generator, line: F32, lit_c: F32, dark_c: F32, depth: float) -> None:
    rows = slice(c.row(float(line.min()) - 0.01), min(c.height, c.row(c.layout.horizon + 0.03) + 1))
    ou, ov = (float(v) for v in rng.uniform(0, 512, 2))
    under = c.y[rows] - line[None]
    u = np.broadcast_to(c.x * 256 + np.float32(ou), under.shape)
    patches = lookup("smooth", np.ascontiguousarray(u, np.float32), (under * 900 + ov).astype(np.float32))
    slope = np.gradient(line) * c.height
    lit = np.clip(0.66 + c.light.side * 0.55 * slope[None] + 0.16 * patches, 0.12, 1).astype(np.float32)
    t = smoothstep(0.5 + 0.45 * patches)[..., None]
    colour = c.light.shade(lit_c + (dark_c - lit_c) * t, lit)
    if c.attributes.season == "winter" and c.light.low:
        colour = c.light.cool(colour, 0.45)
    colour = c.light.veil(colour, depth)
    mist = np.clip(under / 0.12, 0, 1) * np.float32(0.3 * c.light.haze_amount * (0.4 + depth))
    colour += (c.light.haze - colour) * np.clip(mist, 0, 0.8)[..., None]
    c.blend(colour, c.below(line, rows), rows, label="hill")


def _fringe(c: Landscape, rng: np.random.Generator, line: F32, depth: float, tall: float) -> None:
    """Woods along the top of a hill, in stretches with gaps."""
    pines = c.attributes.trees == "pine"
    stretch = smoothstep(0.6 + 0.9 * profile(3.6, rng, c.x[0]))
    if pines:
        comb = np.abs(((c.x[0] / (tall * 0.42) + 0.35 * profile(2.6, rng, c.x[0])) % 1) - 0.5) * 2
        crown = 0.5 + 0.5 * (1 - comb) + 0.16 * profile(2.2, rng, c.x[0])
    else:
        bump = np.abs(np.sin(c.x[0] / (tall * 0.36) + 0.8 * profile(3.0, rng, c.x[0])))
        crown = 0.62 + 0.3 * bump + 0.12 * profile(2.6, rng, c.x[0])
    top = line - tall * np.maximum(crown, 0.1) * stretch
    rows = slice(c.row(float(top.min()) - 0.01), min(c.height, c.row(float(line.max()) + 0.04) + 1))
    foot = np.clip((line[None] + tall * 0.3 * stretch - c.y[rows]) * c.height + 0.5, 0, 1)
    mask = c.below(top.astype(np.float32), rows) * foot * (stretch > 0.06)
    lit = np.clip(0.75 - (c.y[rows] - top[None]) / tall * 0.55, 0.1, 1).astype(np.float32)
    base = forest_colour(c.attributes.trees, c.attributes.season, rng)
    colour = c.light.veil(c.light.shade(base, lit), depth * 0.85)
    c.blend(colour, mask.astype(np.float32), rows, label="tree")


def ground_line(c: Landscape, rng: np.random.Generator) -> F32:
    """The upper edge of the foreground, (w,) in picture heights."""
    wave = profile(3.6, rng, c.x[0], 0.7)
    if c.layout.shore <= c.layout.horizon:
        return np.asarray(c.layout.horizon + 0.006 * wave, dtype=np.float32)
    # The shore rises towards the trees' side, so that they frame the water.
    across = (c.x[0] / c.aspect - 0.5) * c.layout.focus
    line = c.layout.shore + 0.016 * wave - 0.12 * across
    return np.asarray(np.clip(line, c.layout.horizon + 0.1, 0.93), dtype=np.float32)


def ground_noise(c: Landscape, rng: np.random.Generator, rows: slice, kind: str = "smooth") -> F32:
    """Noise lying on the ground plane: stretched to the horizon, broad at the viewer's feet."""
    away = np.float32(1) / (np.maximum(c.y[rows] - c.layout.horizon, 0) + np.float32(0.09))
    ou, ov = (float(v) for v in rng.uniform(0, 512, 2))
    u = (c.x - 0.5 * c.aspect) * away * np.float32(60) + np.float32(ou)
    v = np.broadcast_to(away * np.float32(70) + np.float32(ov), u.shape)
    return lookup(kind, u, np.ascontiguousarray(v))


def _cooling(c: Landscape) -> float:
    """How much of the light's colour the ground refuses, so that snow stays white and stone grey."""
    if c.light.low:
        return {"snow": 0.5, "rocks": 0.4}.get(c.attributes.ground, 0.0)
    return 0.3 if c.attributes.time == "night" and c.attributes.ground == "snow" else 0.0


def paint_ground(c: Landscape, rng: np.random.Generator, line: F32) -> None:
    """The foreground below `line`: sunny and shaded patches of the ground's own two colours."""
    a, light = c.attributes, c.light
    rows = slice(c.row(float(line.min()) - 0.01), c.height)
    lit_c, dark_c = (rgb(k) for k in (_MEADOW[a.season] if a.ground == "meadow" else _GROUND[a.ground]))
    shift = rng.normal(0, 0.018, 3).astype(np.float32)
    n = ground_noise(c, rng, rows)
    fine = ground_noise(c, rng, rows, "rough")
    dep = np.clip((c.y[rows] - line[None]) / (1.0 - line[None]), 0, 1)
    t = smoothstep(0.42 + 0.42 * n + 0.25 * dep)
    albedo = lit_c + (dark_c - lit_c) * t[..., None] + shift
    if a.ground in ("sand", "rocks"):
        # Grass that creeps in from the far side tells the season where no tree does.
        grass_lit, grass_dark = (
            rgb(k) for k in (_GROUND["snow"] if a.season == "winter" else _MEADOW[a.season])
        )
        grown = smoothstep(
            (0.9 * ground_noise(c, rng, rows, "smooth") - 0.5 + 0.7 * (1 - 2.2 * dep)) * np.float32(1.6)
        )
        albedo = (
            albedo
            + (grass_lit + (grass_dark - grass_lit) * t[..., None] - albedo)
            * (grown * np.float32(0.85))[..., None]
        )
    strength = {"meadow": 0.16, "sand": 0.1, "rocks": 0.3, "snow": 0.1}[a.ground]
    lit = np.clip(0.7 + strength * fine - 0.14 * dep**2, 0.1, 1).astype(np.float32)
    colour = light.cool(light.shade(albedo, lit), _cooling(c))
    far = (1 - dep) ** 2 * (c.y[rows] < 1) * np.float32(0.34 if c.layout.shore <= c.layout.horizon else 0.16)
    colour += (light.haze - colour) * np.clip(far * light.haze_amount, 0, 0.8)[..., None]
    if c.layout.shore > c.layout.horizon:
        rim = np.exp(-(((c.y[rows] - line[None]) / 0.012) ** 2)) * 0.3
        colour += (
            mix(light.horizon, rgb((255, 255, 255)), 0.3) * (light.ambient + light.direct) - colour
        ) * rim[..., None]
    c.blend(colour.astype(np.float32), c.below(line, rows), rows, label=GROUND_LABEL[a.ground])
