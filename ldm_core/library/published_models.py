"""Published models that can be fetched by a short name.

Sizes are rounded, to choose by.  Revisions and hashes are asked from the hub when a model is fetched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ldm_core.bundled import ASSETS

_LIST = ASSETS / "published.json"


@dataclass(frozen=True, slots=True)
class Published:
    """A model on the hub.

    Attributes:
        name: what it is called here.
        repository: on the hub.
        file: the one to fetch; empty for a folder in the layout of diffusers.
        gigabytes: about.
    """

    name: str
    title: str
    repository: str
    file: str
    gigabytes: float
    licence: str
    licence_url: str


def published() -> tuple[Published, ...]:
    """The curated list, in the order to show it in."""
    return tuple(Published(**row) for row in json.loads(_LIST.read_text("utf-8")))
