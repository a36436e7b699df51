"""What other programs write into their pictures: one file for each, and one row in `READERS`.

carried_by(file)     what texts a file carries                                  carried.py
said_by(carried)     what they say, in neutral words                            one file a program
translated(said)     our request, and a sentence about everything that is lost  translate.py
"""

from __future__ import annotations

from collections.abc import Callable

from app.keeping.readers import a1111, comfyui, draw_things, fooocus, invokeai, novelai, swarmui
from app.keeping.readers.carried import Carried, carried_by
from app.keeping.readers.said import Said
from app.keeping.readers.translate import Settings, translated

__all__ = ["READERS", "Carried", "Said", "Settings", "carried_by", "said_by", "translated"]

# Each tells what a file says, or None where it is not its program's.  The first that does counts: many savers
# of ComfyUI write A1111's text as well, and then it says more plainly what the graph says.
READERS: tuple[Callable[[Carried], Said | None], ...] = (
    swarmui.read,
    fooocus.read,
    novelai.read,
    draw_things.read,
    invokeai.read,
    a1111.read,
    comfyui.read,
)


def said_by(carried: Carried) -> Said | None:
    """What a file says of how it was made; None where it says nothing."""
    said = _first(carried)
    return said if said is not None or carried.hidden is None else _first(carried.hidden)


def _first(carried: Carried) -> Said | None:
    found = (read(carried) for read in READERS)
    return next((said for said in found if said is not None), None)
