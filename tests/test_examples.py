"""The pictures with which an empty stage begins."""

from __future__ import annotations

from app.keeping.metadata import read_settings
from app.stage.examples import examples
from ldm_core.library.models import ModelLibrary


def test_every_example_can_be_made_again_with_the_bundled_models() -> None:
    library = ModelLibrary()
    library.scan()
    found = [read_settings(path) for path in examples()]
    assert len(found) >= 6 and len({settings.request.prompt for settings in found}) == len(found)
    for settings in found:
        assert settings.request.model in library.names(settings.request.task)
        assert settings.model_sha256 == library.sha256(settings.request.model), "it was made by other weights"
        assert settings.request.prompt and not settings.notes
