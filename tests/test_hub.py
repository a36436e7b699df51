"""Fetching models: resumed, checked, and every fault is a sentence that leaves nothing half-made."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldm_core.errors import FetchError, FetchStopped
from ldm_core.library import download, hub
from ldm_core.library.hub import Progress, fetch, look
from ldm_core.library.index import Index
from ldm_core.library.models import ModelLibrary
from ldm_core.library.published_models import published
from tests import tiny
from tests.hub_server import COMMIT, REPOSITORY, Hub, serving


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tiny.write_model(tmp_path_factory.mktemp("model"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def server(model: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(Hub(dict(model))) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def refused(folder: Path, reference: str = REPOSITORY) -> str:
    """The sentence with which a fetch ends; no model may be there after it."""
    with pytest.raises(FetchError) as caught:
        fetch(look(reference), folder)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and str(folder) not in message and len(message) < 500
    assert Index([folder]).scan() == {}
    return message


def test_a_model_comes_whole_and_can_be_used(server: Hub, model: dict[str, bytes], tmp_path: Path) -> None:
    offer = look(REPOSITORY)
    assert (offer.name, offer.revision, offer.licence) == ("skies", COMMIT, "mit")
    assert {file.path for file in offer.files} == set(model) and offer.size == sum(map(len, model.values()))
    told: list[Progress] = []
    target = fetch(offer, tmp_path / "models", told.append)
    assert {path.name: path.read_bytes() for path in target.iterdir() if path.name in model} == model
    assert told[-1].done == told[-1].total == offer.size and "MB" in str(told[-1])
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["skies"]  # nothing unfinished is left
    library = ModelLibrary([tmp_path / "models"])
    assert library.names() == ("skies",)
    assert library.entry("skies").source == f"{REPOSITORY}@{COMMIT}"
    note = json.loads((target / "source.json").read_text())
    assert note["files"]["model.safetensors"] == library.sha256("skies")
    asked = len(server.asked)
    assert fetch(offer, tmp_path / "models") == target and len(server.asked) == asked  # it is there already


def test_everything_is_taken_from_the_commit_that_was_looked_at(server: Hub, tmp_path: Path) -> None:
    offer = look(REPOSITORY)
    server.files["model.safetensors"] = b"another version" * 1000  # main moves on
    server.commit = "f" * 40
    message = refused_offer(offer, tmp_path)
    assert all(COMMIT in path for path, _ in server.asked if "/resolve/" in path)
    assert "There is no" in message


def refused_offer(offer: hub.Offer, folder: Path) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(offer, folder)
    return str(caught.value)


def test_a_broken_line_is_taken_up_where_it_broke(
    server: Hub, model: dict[str, bytes], tmp_path: Path
) -> None:
    server.drop_after = [100_000, 50_000, 0, 70_000]
    target = fetch(look(REPOSITORY), tmp_path)
    assert (target / "model.safetensors").read_bytes() == model["model.safetensors"]
    ranges = [headers["Range"] for path, headers in server.asked if "Range" in headers]
    assert ranges == ["bytes=100000-", "bytes=150000-", "bytes=150000-", "bytes=220000-"]


def test_a_server_that_cannot_resume_sends_all_again(
    server: Hub, model: dict[str, bytes], tmp_path: Path
) -> None:
    server.drop_after, server.ranges = [100_000], False
    target = fetch(look(REPOSITORY), tmp_path)
    assert (target / "model.safetensors").read_bytes() == model["model.safetensors"]


def test_a_line_that_breaks_always_is_given_up_and_resumed_later(server: Hub, tmp_path: Path) -> None:
    server.drop_after = [100_000, *[0] * 20]
    assert "broke off again and again" in refused(tmp_path)
    server.drop_after = []
    server.asked.clear()
    fetch(look(REPOSITORY), tmp_path)
    assert "bytes=100000-" in [headers.get("Range") for _, headers in server.asked]


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml"])
def test_the_right_size_with_the_wrong_bytes_is_removed(server: Hub, name: str, tmp_path: Path) -> None:
    data = bytearray(server.files[name])
    data[len(data) // 2] ^= 1
    server.wrong[name] = bytes(data)
    assert f"{name} is not what 127.0.0.1 announced" in refused(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(name)]
    server.wrong.clear()
    assert fetch(look(REPOSITORY), tmp_path).is_dir()


def test_a_file_longer_than_announced(server: Hub, tmp_path: Path) -> None:
    server.wrong["model.safetensors"] = server.files["model.safetensors"] + b"x"
    assert "longer than announced" in refused(tmp_path)


def test_a_part_of_another_file_is_not_built_upon(server: Hub, tmp_path: Path) -> None:
    offer = look(REPOSITORY)
    staging = tmp_path / hub.STAGING / f"painter--skies@{COMMIT[:12]}"
    staging.mkdir(parents=True)
    (staging / "model.safetensors.part").write_bytes(b"x" * 1000)
    assert "hash differs" in refused_offer(offer, tmp_path)
    assert fetch(offer, tmp_path).is_dir()


@pytest.mark.parametrize(
    ("end", "status", "headers", "words"),
    [
        ("main", 401, {"X-Error-Code": "GatedRepo"}, "agree on its page"),
        ("main", 401, {"X-Error-Code": "RepoNotFound"}, "or it is private"),
        ("main", 403, {}, "HF_TOKEN"),
        ("main", 404, {}, "There is no painter/skies"),
        ("main", 429, {"Retry-After": "17"}, "in 17 seconds"),
        ("main", 500, {}, "fault of its own (500)"),
        (".safetensors", 404, {}, "There is no model.safetensors"),
        (".safetensors", 403, {}, "agree on its page"),
        (".safetensors", 429, {}, "in some minutes"),
        (".safetensors", 503, {}, "fault of its own (503)"),
        (".safetensors", 418, {}, "refused model.safetensors (418)"),
    ],
)
def test_what_a_hub_can_answer(
    server: Hub, end: str, status: int, headers: dict[str, str], words: str, tmp_path: Path
) -> None:
    server.status, server.headers = {end: status}, headers
    assert words in refused(tmp_path)


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"<html>", b"[" * 100_000, b'{"sha": "x"}', b'{"siblings": 7}']
)
def test_answers_that_are_none(
    server: Hub, answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "api", lambda self: answer)
    refused(tmp_path)


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "127.0.0.1 cannot be reached" in refused(tmp_path)


def test_a_line_that_hardly_moves_is_given_up(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SILENCE", 0.2)
    monkeypatch.setattr(download, "TRIES", 2)
    monkeypatch.setattr(download, "SLOWEST", 10_000)
    server.trickle = 0.01
    offer = look(REPOSITORY)
    began = time.monotonic()
    with pytest.raises(FetchError, match="broke off again and again"):
        fetch(offer, tmp_path)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "http://127.0.0.1:1/x",
        "https://127.0.0.1:1/x",
        "https://localhost/x",
        "file:///etc/passwd",
        "https://[::1]/x",
        "https://10.0.0.1/x",
    ],
)
def test_no_answer_leads_into_the_persons_own_network(server: Hub, target: str, tmp_path: Path) -> None:
    server.redirect = target
    assert "which is not asked" in refused(tmp_path)


def test_leads_in_circles(server: Hub, tmp_path: Path) -> None:
    server.redirect = f"{server.address}/{REPOSITORY}/resolve/{COMMIT}/model.safetensors"
    assert "without end" in refused(tmp_path)


def test_the_token_goes_to_the_hub_alone(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(Hub()) as other:
        monkeypatch.setattr(download.Web, "_require_allowed", lambda self, url: None)
        server.redirect = f"{other.address}/elsewhere"
        assert "hf_secret" not in refused(tmp_path)
        assert other.asked and not any("Authorization" in headers for _, headers in other.asked)
    assert all(headers["Authorization"] == "Bearer hf_secret" for _, headers in server.asked)


@pytest.mark.parametrize(
    "name",
    ["../evil.safetensors", "/etc/x.ckpt", "a/../../x.ckpt", "a\\b.ckpt", "c:x.ckpt", "a//b", "x\n.ckpt"],
)
def test_names_that_lead_out_of_the_folder(server: Hub, name: str, tmp_path: Path) -> None:
    server.files[name] = b"x" * 2000
    assert "unsafe name" in refused(tmp_path / "models")
    assert os.listdir(tmp_path) in ([], ["models"])


@pytest.mark.parametrize(
    "text",
    ["", "skies", "a/b/../c", "../../x", "/etc/passwd", "a b/c", "http://evil/x/y", "a/b@c d", "x" * 999],
)
def test_references_that_are_none(server: Hub, text: str, tmp_path: Path) -> None:
    assert "is no model to fetch" in refused(tmp_path, text)
    assert server.asked == []


def test_the_disk_is_asked_first(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000}))
    assert "The disk has 1.0 MB free, but" in refused(tmp_path)
    assert not any("/resolve/" in path for path, _ in server.asked)


def test_a_full_disk_keeps_what_has_come(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if str(target).endswith("model.safetensors"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    assert "the disk is full" in refused(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.asked.clear()
    fetch(look(REPOSITORY), tmp_path)
    assert not any("model.safetensors" in path for path, _ in server.asked if "/resolve/" in path)


def test_stopping(server: Hub, tmp_path: Path) -> None:
    stop = threading.Event()
    offer = look(REPOSITORY)
    with pytest.raises(FetchStopped, match="a new try goes on from there"):
        fetch(offer, tmp_path, lambda _: stop.set(), stop)
    assert Index([tmp_path]).scan() == {}
    assert fetch(offer, tmp_path).is_dir()


def test_what_has_the_name_already_stays(server: Hub, tmp_path: Path) -> None:
    (tmp_path / "skies").mkdir()
    (tmp_path / "skies" / "mine.txt").write_text("x")
    assert fetch(look(REPOSITORY), tmp_path) == tmp_path / "skies 2"
    assert (tmp_path / "skies" / "mine.txt").read_text() == "x"


# Choosing ------------------------------------------------------------------------------------------------

BIG = b"x" * 1_100_000


def chosen(server: Hub, files: dict[str, bytes], reference: str = REPOSITORY) -> set[str]:
    server.files = files
    return {file.path for file in look(reference).files}


def test_which_files_make_up_a_model(server: Hub) -> None:
    assert chosen(server, {"a.safetensors": BIG, "a.ckpt": BIG, "a.yaml": b"x", "README.md": b""}) == {
        "a.safetensors",
        "a.yaml",
    }
    assert chosen(server, {"a.ckpt": BIG, "tiny.safetensors": b"x"}) == {"a.ckpt"}
    two = {"a.ckpt": BIG, "b.ckpt": BIG}
    with pytest.raises(FetchError, match=r"several models: a\.ckpt, b\.ckpt"):
        chosen(server, two)
    assert chosen(server, two, f"{REPOSITORY}/b.ckpt") == {"b.ckpt"}
    with pytest.raises(FetchError, match=r"has no file c\.ckpt"):
        chosen(server, two, f"{REPOSITORY}/c.ckpt")
    with pytest.raises(FetchError, match="no latent diffusion model"):
        chosen(server, {"README.md": b"x"})


def test_which_files_make_up_a_folder_of_diffusers(server: Hub) -> None:
    wanted = {
        "model_index.json": b"{}",
        "unet/config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors": BIG,
        "text_encoder/config.json": b"{}",
        "text_encoder/pytorch_model.bin": BIG,
        "tokenizer/tokenizer_config.json": b"{}",
        "tokenizer/merges.txt": b"x",
        "scheduler/scheduler_config.json": b"{}",
    }
    others = {
        "unet/diffusion_pytorch_model.bin": BIG,
        "unet/diffusion_pytorch_model.fp16.safetensors": BIG,
        "safety_checker/config.json": b"{}",
        "safety_checker/model.safetensors": BIG,
        "unet/__init__.py": b"",
        "pipeline.py": b"",
        "a/b/deep.json": b"{}",
    }
    assert chosen(server, {**wanted, **others}) == set(wanted)


def test_a_revision_can_be_given(server: Hub) -> None:
    look(f"{REPOSITORY}@v2")
    assert server.asked[-1][0].endswith("/revision/v2")


def test_the_curated_list() -> None:
    rows = published()
    assert len({row.name for row in rows}) == len(rows) >= 10
    for row in rows:
        assert row.licence and row.licence_url.startswith("https://") and 0.1 < row.gigabytes < 20
        assert row.repository.count("/") == 1 and row.name.isprintable()


def test_hashes_are_the_hubs_own(server: Hub, model: dict[str, bytes]) -> None:
    by_path = {file.path: file for file in look(REPOSITORY).files}
    assert by_path["model.safetensors"].sha256 == hashlib.sha256(model["model.safetensors"]).hexdigest()
    assert by_path["vocab.txt"].sha256 == ""  # a small file: git's own hash


@pytest.mark.parametrize(
    "address",
    [
        f"https://huggingface.co/{REPOSITORY}",
        f"huggingface.co/{REPOSITORY}/tree/main",
        f"https://huggingface.co/{REPOSITORY}/blob/main/model.safetensors",
        f"https://huggingface.co/{REPOSITORY}/resolve/main/model.safetensors?download=true",
    ],
)
def test_addresses_of_the_hub_s_pages(address: str, server: Hub) -> None:
    offer = look(address)
    assert offer.repository == REPOSITORY and "model.safetensors" in {file.path for file in offer.files}


def test_of_several_precisions_one_is_fetched(server: Hub, model: dict[str, bytes]) -> None:
    large = model["model.safetensors"] + b"x" * 2_000_000
    server.files = {"sky.safetensors": large, "sky.fp16.safetensors": large, "notes.md": b"x"}
    assert [file.path for file in look(REPOSITORY).files] == ["sky.fp16.safetensors"]
    server.files = {"sky.safetensors": large, "sea.safetensors": large}
    with pytest.raises(FetchError, match="several models"):
        look(REPOSITORY)


def test_a_lora_is_called_by_its_repository(server: Hub, model: dict[str, bytes]) -> None:
    server.files = {"pytorch_lora_weights.safetensors": b"x" * 1_100_000}
    assert look(REPOSITORY).name == "skies"


def test_links_of_civitai(
    server: Hub, model: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = model["model.safetensors"]
    file = {"name": "Sky.safetensors", "sizeKB": len(data) / 1024, "primary": True}
    file["hashes"] = {"SHA256": hashlib.sha256(data).hexdigest().upper()}
    version = {"id": 7, "model": {"name": "Skies"}, "files": [{"name": "other.yaml"}, file]}
    server.plain = {
        "/api/v1/model-versions/7": json.dumps(version).encode(),
        "/api/v1/models/3": json.dumps({"modelVersions": [{"id": 7}, {"id": 5}]}).encode(),
        "/api/download/models/7": data,
    }
    monkeypatch.setenv("CIVITAI_ENDPOINT", server.address)
    for address in (
        "https://civitai.com/models/3/skies",
        "https://civitai.com/models/3?modelVersionId=7",
        "https://civitai.com/api/download/models/7?type=Model&format=SafeTensor",
    ):
        offer = look(address)
        assert (offer.name, offer.size) == ("Sky", len(data)), address
    folder = fetch(offer, tmp_path)
    assert (folder / "Sky.safetensors").read_bytes() == data
    file["name"] = "../Sky.safetensors"
    server.plain["/api/v1/model-versions/7"] = json.dumps(version).encode()
    with pytest.raises(FetchError, match="not complete"):
        look(address)
