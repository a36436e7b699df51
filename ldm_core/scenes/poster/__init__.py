"""The poster look: layered silhouettes in flat tones, lit from one side."""

from ldm_core.scenes.poster.render import render_poster

__all__ = ["render_poster"]
