"""Every error that the engine raises on purpose.

    AtelierError
    ├── RequestError         a field of a request is wrong
    │   ├── PictureError     a picture in it cannot be used
    │   └── PromptError      words cannot become its prompt
    ├── ModelError
    │   ├── ModelNotFound    no model of that name
    │   ├── ModelFileError   a file is not a checkpoint, is incomplete or is unsafe to read
    │   ├── ConfigError      a model's description is missing a fact or contradicts itself
    │   └── WeightsError     tensors are missing, unexpected or of another shape
    ├── EngineError
    │   ├── OutOfMemory      the picture does not fit into memory
    │   ├── NotFinite        the network produced NaN or infinity
    │   └── QueueFull        too many pictures are waiting
    ├── FileError            a picture or folder cannot be read or written
    └── FetchError           a model cannot be fetched from the hub
        └── FetchStopped     the person stopped it

A message is one or two sentences for a person: what was got, what is expected, what to do.
"""

from __future__ import annotations


class AtelierError(Exception):
    """Base of all errors that a person should read; `str(error)` is that sentence."""


class RequestError(AtelierError):
    """A wrong field of a request.

    Args:
        field: name of the field as it stands in the JSON.
        got: the value received; long values are shortened in the message.
        allowed: what is allowed, as the end of a sentence ("a whole number from 1 to 250").
    """

    def __init__(self, field: str, got: object, allowed: str) -> None:
        self.field = field
        shown = repr(got)
        if len(shown) > 60:
            shown = f"{shown[:57]}..."
        super().__init__(f"{field} is {shown}; it has to be {allowed}.")


class PictureError(RequestError):
    """A field's picture that cannot be used.

    Args:
        field: as in `RequestError`.
        reason: the sentence that says why.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        AtelierError.__init__(self, f"{field}: {reason}")


class PromptError(RequestError):
    """Words that cannot become a prompt.

    Args:
        field: as in `RequestError`.
        reason: the sentence that says why.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        AtelierError.__init__(self, reason)


class ModelError(AtelierError):
    """Something is wrong with a model or its files."""


class ModelNotFound(ModelError):
    """No model of that name."""


class ModelFileError(ModelError):
    """A file is not a checkpoint, is incomplete or is unsafe to read."""


class ConfigError(ModelError):
    """A model's description is missing a fact or contradicts itself."""


class WeightsError(ModelError):
    """Tensors are missing, unexpected or of another shape than the description says."""


class EngineError(AtelierError):
    """The engine could not finish a picture."""


class OutOfMemory(EngineError):
    """The picture does not fit into memory."""


class NotFinite(EngineError):
    """The network produced NaN or infinity."""


class QueueFull(EngineError):
    """Too many pictures are waiting."""


class FileError(AtelierError):
    """A picture or folder cannot be read or written."""


class FetchError(AtelierError):
    """A model cannot be fetched from the hub."""


class FetchStopped(FetchError):
    """The person stopped it."""
