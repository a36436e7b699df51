"""The models there are, and the ones that are loaded.  Imports no torch before a model is loaded.

Names are looked up in the index of the folders and never joined to a path.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ldm_core.bundled import BUNDLED_MODELS
from ldm_core.conditioners import ClipSpec, Conditioner, TextSpec
from ldm_core.conditioners.embeddings import named_in
from ldm_core.conditioners.syntax import syntax_notes, syntax_of
from ldm_core.errors import AtelierError, ConfigError, ModelFileError, ModelNotFound, RequestError
from ldm_core.library.collection import Stamp, stamp_of
from ldm_core.library.embeddings import LibraryEmbeddings
from ldm_core.library.extensions import ExtensionLoader, File, Files
from ldm_core.library.index import Entry, Index
from ldm_core.library.regions import region_notes
from ldm_core.library.residents import Residents
from ldm_core.model_spec import ModelSpec
from ldm_core.prompts import AUTO, Syntax
from ldm_core.request import Request, TextToImage, lineage
from ldm_core.request.extensions import ADAPTER, CONTROL, NO_EXTENSIONS, Extensions

if TYPE_CHECKING:
    import torch

    from ldm_core.conditioners.base import Tokenize
    from ldm_core.conditioners.prompt_length import PromptLength
    from ldm_core.library.tokens import Report
    from ldm_core.network.latent_diffusion import LatentDiffusion

FRESH = 5.0  # seconds for which a scan counts as new when an unknown name is asked for


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a person may know of a model before it is loaded.

    `path` is the file, or the model's folder.  `defaults` is the request that suits the model best, with an
    empty prompt, and `reason` why, where that is unusual.
    """

    name: str
    title: str
    description: str
    licence: str
    path: Path
    spec: ModelSpec
    defaults: TextToImage
    reason: str = ""

    @property
    def size_multiple(self) -> int:
        """A picture's width and height have to be multiples of this, in pixels."""
        return self.spec.size_multiple


class ModelLibrary:
    """Finds models in folders and keeps the last used ones in memory.  Safe to use from several threads.

    Args:
        folders: where to look; of two models of one name the first folder's keeps it, the other gets more of
            its path as its name.
        cache: file that remembers what the folders hold; None looks into every file anew.
        budget: bytes of models to keep in memory; None is a share of what is free.
        tokenizers: where to keep those that models came without, and that are fetched; None fetches none.
        wait: whether the first question waits for a first `scan`; else it is answered from the cache.
    """

    def __init__(
        self,
        folders: Sequence[Path] = (BUNDLED_MODELS,),
        *,
        cache: Path | None = None,
        budget: int | None = None,
        tokenizers: Path | None = None,
        wait: bool = True,
    ) -> None:
        self._index = Index(folders, cache)
        self._wait = wait
        self._scanned: float | None = None  # when, by the monotonic clock
        self._infos: dict[Path, tuple[Stamp, ModelInfo]] = {}
        self._residents = Residents(budget)
        self._tokenizers = tokenizers
        self._tokenizing = threading.Lock()
        self._known_tokenizers: dict[Path, tuple[Stamp, Tokenize]] = {}
        self._loading = threading.Lock()
        self._extensions = ExtensionLoader(self._residents)
        self._embeddings = LibraryEmbeddings(self.entries)

    # What there is ----------------------------------------------------------------------------------------

    def scan(self, max_age: float = 0.0) -> None:
        """Looks into the folders again, unless that was done less than `max_age` seconds ago."""
        if self._scanned is None or time.monotonic() - self._scanned >= max_age:
            self._index.scan()
            self._scanned = time.monotonic()

    def entries(self) -> tuple[Entry, ...]:
        """Everything that lies in the folders, usable or not, sorted by name; as the last scan saw it."""
        return tuple(self._entries().values())

    def names(self, task: str = "") -> tuple[str, ...]:
        """The names of the models that can be used (for a task), sorted; as the last scan saw them."""
        return tuple(name for name, entry in self._entries().items() if entry.serves(task))

    def extensions(self, kind: str) -> tuple[str, ...]:
        """The names of the adapters ("LoRA") or controls ("ControlNet") that can be used, sorted."""
        return tuple(
            name for name, entry in self._entries().items() if entry.kind == kind and not entry.problem
        )

    def embeddings(self, model: str = "") -> tuple[str, ...]:
        """The names of the embeddings that a prompt may name (with a model), sorted, as the last scan saw.

        Raises:
            ModelError: there is no such model.
        """
        fits = None
        if model:
            from ldm_core.formats.embedding_files import family_for

            clip = self.info(model).spec.conditioner(ClipSpec)
            fits = "none" if clip is None else family_for(clip.towers)
        entries = self._embeddings.entries()
        return tuple(entry.name for entry in entries if fits is None or entry.family == fits)

    def require_extensions(self, request: Request) -> None:
        """
        Raises:
            RequestError: the request, or one that it is a branch of, names one that is not here.
        """
        for each in lineage(request):
            for field, kind, names in (
                ("adapters", ADAPTER, [use.name for use in each.extensions.adapters]),
                ("controls", CONTROL, each.extensions.controls),
            ):
                there = self.extensions(kind) if names else ()
                for name in names:
                    if name not in there:
                        have = ", ".join(there[:20]) or "none"
                        raise RequestError(field, name, f"the name of a {kind} in models/ ({have})")

    def best(self, task: str) -> str:
        """The name of the model for a task where none is named: bundled, made for it, the largest.

        Raises:
            ModelNotFound: no model can do it.
        """
        alike = {"outpaint": "inpaint"}.get(task, task)
        names = self.names(alike)
        if not names:
            raise ModelNotFound(f"No model here can do {task}; add one to models/, or in the Models tab.")

        def merit(name: str) -> tuple[bool, bool, int]:
            entry = self.entry(name)
            spec = self.info(name).spec
            given = {"semantic": "label_map", "layout": "boxes"}.get(alike, "")
            native = spec.fills_holes if alike == "inpaint" else spec.taking(given) is not None
            return entry.path.is_relative_to(BUNDLED_MODELS), native, entry.num_parameters

        return max(names, key=merit)

    def problems(self) -> tuple[str, ...]:
        """A sentence for each folder that cannot be read."""
        return self._index.problems

    def entry(self, name: str) -> Entry:
        """What the index knows of a model, or of something that is none.

        Raises:
            ModelNotFound: there is nothing of that name.
        """
        entries = self._entries()
        if name not in entries and self._scanned is not None:
            self.scan(FRESH)  # it may have come just now
            entries = self._entries()
        if name not in entries:
            shown = name if len(name) <= 60 else f"{name[:57]}..."
            names = self.names()
            there = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
            raise ModelNotFound(f"There is no model {shown!r}. Models: {there or 'none; models/ is empty'}.")
        return entries[name]

    def info(self, name: str) -> ModelInfo:
        """What is known of a model without loading it.

        Raises:
            ModelNotFound: there is no model of that name.
            ModelError: it is no model, or its description is wrong.
        """
        entry = self.entry(name)
        stamp = self._stamp(name)
        known = self._infos.get(entry.path)
        if known is None or known[0] != stamp or known[1].name != name:
            known = self._infos[entry.path] = stamp, _read_info(entry)
        return known[1]

    def request_notes(self, request: Request) -> str:
        """As `prompt_notes`, of a request, and of regions that are nowhere or too small."""
        prompts = [request.prompt, request.negative_prompt]
        prompts += [region.prompt for region in request.regions or ()]
        notes = self.prompt_notes(
            request.model, *prompts, syntax=request.prompt_syntax, clip_skip=request.clip_skip
        )
        try:
            regions = region_notes(request, self.info(request.model).spec) if request.regions else []
        except AtelierError:
            regions = []
        return " ".join(filter(None, [notes, *regions]))

    def prompt_notes(self, name: str, *prompts: str, syntax: str = AUTO, clip_skip: int = 0) -> str:
        """What a person is told of prompts: words that the model never learnt, and where they are cut.

        Empty where all is read, and where there is no such model with a vocabulary beside it.  Imports torch.

        Args:
            syntax, clip_skip: as `Request.prompt_syntax` and `Request.clip_skip`.
        """
        from ldm_core.conditioners.tokenizer import Tokenizer

        texts = [prompt for prompt in prompts if prompt.strip()]
        try:
            info = self.info(name)
            sentences = [syntax_notes(prompt, syntax, info.spec) for prompt in texts]
            sentences += self._embedding_notes(" ".join(texts), syntax_of(syntax, info.spec), info.spec)
            if clip_skip and info.spec.conditioner(ClipSpec) is None:
                sentences.append("Clip skip has no effect: this model does not read by CLIP.")
            reads_words = info.spec.conditioner(TextSpec) is not None
            tokenizer = self._known_tokenizer(name) if reads_words else None
            if isinstance(tokenizer, Tokenizer):
                sentences += [tokenizer.prompt_notes(prompt) for prompt in texts]
        except AtelierError:
            return ""
        return " ".join(dict.fromkeys(sentence for sentence in sentences if sentence))

    def prompt_length(
        self, name: str, prompt: str, syntax: str = AUTO, *, negative: bool = False
    ) -> PromptLength | None:
        """How many tokens a prompt is; None where the model's tokenizer is not here.  Loads no weights.

        Raises:
            ModelError: there is no such model.
            PromptError: it cannot be read.
        """
        from ldm_core.conditioners.prompt_length import prompt_length

        info, tokenizer = self.info(name), self._known_tokenizer(name)
        if tokenizer is None:
            return None
        return prompt_length(prompt, syntax, info.spec, tokenizer, self._embeddings, negative=negative)

    def _known_tokenizer(self, name: str) -> Tokenize | None:
        """A model's tokenizer, of which nothing is fetched."""
        from ldm_core.formats.loading import load_tokenizer
        from ldm_core.library.tokens import kept_tokenizer

        path, stamp, kept = self.entry(name).path, self._stamp(name), self._tokenizers
        with self._tokenizing:
            known = self._known_tokenizers.get(path)
            if known is None or known[0] != stamp:
                found = load_tokenizer(path, lambda one: None if kept is None else kept_tokenizer(one, kept))
                if found is None:
                    return None
                known = self._known_tokenizers[path] = stamp, found
            return known[1]

    def _embedding_notes(self, prompt: str, syntax: Syntax, spec: ModelSpec) -> list[str]:
        """A sentence about each that a prompt names and that is not there, or was made for another family."""
        clip = spec.conditioner(ClipSpec)
        if clip is None or not prompt:
            return []
        words, towers = prompt.casefold(), clip.towers
        missing = [
            f"There is no embedding “{name[:60]}” in the folders of models."
            for name in named_in(prompt, syntax)
            if not self._embeddings.has(name)
        ]
        others = [
            f"The embedding {entry.name} is for {entry.family or 'another model'}, so it has no effect here."
            for entry in self._embeddings.entries()
            if entry.name.casefold() in words and self._embeddings.find(entry.name, towers) is None
        ]
        return [*missing, *others]

    def sha256(self, name: str) -> str:
        """Hash of a model's weights, 64 hexadecimal digits; pictures name their model by it.

        Raises:
            ModelError: there is no such model, or its files cannot be read.
        """
        self.entry(name)
        self._require_scan()
        return self._index.sha256(name)

    def hash_all(self, stop: threading.Event) -> None:
        """Computes the hashes that are missing, the small files' first, until `stop` is set."""
        self._require_scan()
        for entry in sorted(self.entries(), key=lambda entry: entry.size):
            if stop.is_set():
                break
            if not entry.sha256 and entry.kind != "unknown":
                with suppress(ModelFileError):
                    self._index.sha256(entry.name, stop)
        self.remember()

    def remember(self) -> None:
        """Keeps what is known in the cache, the hashes as well."""
        self._index.save()

    def _entries(self) -> dict[str, Entry]:
        if self._scanned is None:
            if not self._wait:
                return self._index.remembered()
            self._require_scan()
        return self._index.entries()

    def _require_scan(self) -> None:
        if self._scanned is None:
            self.scan()

    def _stamp(self, name: str) -> Stamp:
        found = self._index.found(name)
        return stamp_of(found) if found is not None else ()

    # What is loaded ---------------------------------------------------------------------------------------

    def loaded(
        self, name: str, *, device: str, dtype: torch.dtype, extensions: Extensions = NO_EXTENSIONS
    ) -> LatentDiffusion | None:
        """The model where it is in memory and its files have not changed; never waits.

        Raises:
            ModelFileError: its files were removed.
        """
        entry = self._entries().get(name)
        if entry is None:
            return None
        key = (entry.path, self._stamp(name), device, dtype)
        whole = (*key, self._files(extensions)) if extensions else key
        return cast("LatentDiffusion | None", self._residents.get(whole))

    def _files(self, extensions: Extensions) -> Files:
        """Their files, as they are now.

        Raises:
            ModelNotFound: one of them is not here.
        """
        return Files(
            tuple((self._file(use.name), use.unet, use.text) for use in extensions.adapters),
            tuple(map(self._file, extensions.controls)),
        )

    def _file(self, name: str) -> File:
        return File(name, self.entry(name).path, self._stamp(name))

    def load(
        self,
        name: str,
        *,
        device: str,
        dtype: torch.dtype,
        extensions: Extensions = NO_EXTENSIONS,
        report: Report = lambda _: None,
    ) -> LatentDiffusion:
        """A model ready for use; read from its files where it is not loaded yet or the files have changed.

        Args:
            extensions: adapters and controls that it is loaded with.
            report: takes how far a tokenizer is that has to be fetched, and what of an adapter has no place.

        Raises:
            ModelError: it does not exist or cannot be loaded.
            FetchError: it came without its tokenizer, and that cannot be fetched.
        """
        from ldm_core.formats import load_model
        from ldm_core.network.latent_diffusion import LatentDiffusion

        self._require_scan()
        entry = self.entry(name)
        with self._loading:
            model = self.loaded(name, device=device, dtype=dtype)
            key = (entry.path, self._stamp(name), device, dtype)
            if model is None:
                self._residents.make_room(entry.num_parameters * dtype.itemsize, device)
                loaded = load_model(
                    entry.path,
                    device=device,
                    dtype=dtype,
                    find_tokenizer=lambda conditioner: self._tokenizer(conditioner, report),
                )
                if not isinstance(loaded, LatentDiffusion):
                    raise ModelFileError(f"{name} holds a first stage alone; choose a whole model.")
                loaded.embeddings = self._embeddings
                model = loaded
                self._residents.add(key, model)
            if extensions:
                return self._extensions.load(model, key, self._files(extensions), report)
            return model

    def _tokenizer(self, conditioner: Conditioner, report: Report) -> Path | None:
        from ldm_core.library.tokens import tokenizer_folder

        return None if self._tokenizers is None else tokenizer_folder(conditioner, self._tokenizers, report)


def _read_info(entry: Entry) -> ModelInfo:
    from ldm_core.formats.config import config_beside, read_additions, read_config

    name, path = entry.name, entry.path
    beside = config_beside(path / "model.safetensors" if path.is_dir() else path)
    if beside is not None and read_additions(beside) is None:
        config = read_config(beside)
    else:
        from ldm_core.formats.identify import describe  # imports torch

        config = describe(path)
    if not isinstance(config.spec, ModelSpec):
        raise ConfigError(
            f"{name} describes a first stage alone; a model needs a UNet and a text transformer."
        )
    usual = config.defaults
    defaults = TextToImage(
        model=name,
        width=usual.width,
        height=usual.height,
        steps=usual.steps,
        guidance_scale=usual.guidance_scale,
        guidance_end=usual.guidance_end,
        spacing=usual.spacing,
        sampler=usual.sampler,
        eta=usual.eta,
    )
    return ModelInfo(
        name=name,
        title=usual.title or name,
        description=usual.description,
        licence=usual.licence or entry.licence,
        path=path,
        spec=config.spec,
        defaults=defaults,
        reason=usual.reason,
    )
