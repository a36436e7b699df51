"""Loads models in a thread of its own, so that running jobs go on stepping meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from weakref import WeakKeyDictionary

import torch

from ldm_core.engine.run import Measured
from ldm_core.library.models import ModelLibrary
from ldm_core.library.tokens import Report
from ldm_core.network.device import Device
from ldm_core.network.latent_diffusion import LatentDiffusion
from ldm_core.network.preview import PreviewMap
from ldm_core.request.extensions import NO_EXTENSIONS, Extensions

Loaded = tuple[LatentDiffusion, Measured]
_Wanted = tuple[str, Extensions, torch.dtype, Future[Loaded], Report]


class Loader:
    """One thread that loads one model after the other.

    Args:
        library: where models come from.
        device: where they go.
        on_loaded: called in the loader's thread whenever a model is there or failed.
    """

    def __init__(self, library: ModelLibrary, device: Device, on_loaded: Callable[[], None]) -> None:
        self._library = library
        self._device = device
        self._on_loaded = on_loaded
        self._measured: WeakKeyDictionary[LatentDiffusion, Measured] = WeakKeyDictionary()
        self._requests: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="loader", daemon=True).start()

    def request(
        self,
        name: str,
        extensions: Extensions = NO_EXTENSIONS,
        report: Report = lambda _: None,
        *,
        in_float32: bool = False,
    ) -> Future[Loaded]:
        """The model with extensions, at once where it is in memory; the future raises where it cannot load.

        `report` takes what is being fetched for it, in the loader's thread.
        """
        future: Future[Loaded] = Future()
        device, dtype = self._device.name, torch.float32 if in_float32 else self._device.dtype
        model = self._library.loaded(name, device=device, dtype=dtype, extensions=extensions)
        measured = self._measured.get(model) if model is not None else None
        if model is not None and measured is not None:
            future.set_result((model, measured))
        else:
            self._requests.put((name, extensions, dtype, future, report))
        return future

    def close(self) -> None:
        """Ends the thread after what it is loading now."""
        self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            name, extensions, dtype, future, report = request
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._load(name, extensions, dtype, report))
                except Exception as error:  # for the job that asked
                    future.set_exception(error)
            del request, future, report  # the thread holds no model while it waits
            self._on_loaded()

    def _load(self, name: str, extensions: Extensions, dtype: torch.dtype, report: Report) -> Loaded:
        device = self._device.name
        model = self._library.load(name, device=device, dtype=dtype, report=report)
        measured = self._measured.get(model)
        if measured is None:
            measured = Measured(PreviewMap.fit(model.decode, model.spec.latent_channels))
            self._measured[model] = measured
        if extensions:  # which leave the first stage as it is
            model = self._library.load(name, device=device, dtype=dtype, extensions=extensions, report=report)
            self._measured[model] = measured
        return model, measured
