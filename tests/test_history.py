"""The history: what is saved is found again, whatever happens to rows and files."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import sqlite3
import time
import zipfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from app.keeping import metadata
from app.keeping.history import OWNER, Entry, History, Query
from app.keeping.history.export import zipped
from app.keeping.history.query import query_of
from app.keeping.library import Library
from ldm_core.errors import FileError, RequestError
from ldm_core.request import ClassToImage, Request, TextToImage, parse_request


def pixels_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)


def save(
    history: History, prompt: str = "a lake", seed: int = 1, *, person: str = OWNER, **more: object
) -> Entry:
    """As the studio does it."""
    request = parse_request({"task": "text-to-image", "prompt": prompt, "seed": seed, **more})
    return save_request(history, request, person)


def save_request(history: History, request: Request, person: str = OWNER) -> Entry:
    pixels = pixels_of(int(request.seed))
    png = metadata.encode_png(pixels, request)
    return history.add(Library(history.folder).save(png, request, person), png, pixels, request)


def found(history: History, words: str = "", person: str = OWNER, **more: object) -> list[str]:
    """Prompts of the pictures found, the newest first."""
    ids = history.search(person, Query(words=words, **more))  # type: ignore[arg-type]
    return [entry.prompt for entry in history.entries(ids, person)]


def png_with(ours: str) -> bytes:
    """A picture whose settings are any text."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("latent-atelier", ours)
    file = io.BytesIO()
    Image.fromarray(pixels_of(8)).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "outputs")


def test_a_saved_picture_is_the_newest_and_has_a_small_copy(history: History) -> None:
    save(history, "first")
    entry = save(history, "second", 2)
    assert [one.prompt for one in history.newest(OWNER, 5)] == ["second", "first"]
    assert (entry.width, entry.height, entry.task, entry.seed) == (32, 24, "text-to-image", "2")
    assert history.thumbs.path(entry.digest).read_bytes()[8:12] == b"WEBP"
    assert history.file(entry).is_file()
    assert history.at(history.file(entry)) == entry


SOUGHT = {
    "lake": ["A misty Lake, early morning"],
    "mist morn": ["A misty Lake, early morning"],
    '"lake, early"': ["A misty Lake, early morning"],
    '"early lake"': [],
    "山水": ["水墨山水画，远处的村庄"],
    "水": ["水墨山水画，远处的村庄"],
    "远处的村庄": ["水墨山水画，远处的村庄"],
    "호수": ["고요한 호수와 산"],
    "고요한 호수": ["고요한 호수와 산"],
    "STRASSE": ["eine Straße"],
    "café": ["cafe\u0301 at night"],
    "100%": ["100% cotton"],
    "0%": ["100% cotton"],
    "e_": [],
    "-lake -cotton -café -straße": ["고요한 호수와 산", "水墨山水画，远处的村庄"],
    "negative:blurry": ["100% cotton"],
    "blurry": [],
    "77001": ["100% cotton"],
    "glow-style": ["eine Straße"],
    "": [
        "100% cotton",
        "cafe\u0301 at night",
        "eine Straße",
        "고요한 호수와 산",
        "水墨山水画，远处的村庄",
        "A misty Lake, early morning",
    ],
    '"': None,
    "-": None,
    "' OR 1=1 --": [],
    "found:* NEAR(": [],
}


@pytest.fixture
def various(history: History) -> History:
    for prompt in SOUGHT[""][:0:-1]:
        more = {"adapters": [{"name": "glow-style"}]} if "Stra" in prompt else {}
        save(history, prompt, **more)
    save(history, SOUGHT[""][0], 77001, negative_prompt="blurry, dark", model="other")
    return history


@pytest.mark.parametrize("words", SOUGHT)
def test_words_find_pictures_in_any_script(various: History, words: str) -> None:
    expected = SOUGHT[words]
    assert found(various, words) == (SOUGHT[""] if expected is None else expected)


def test_filters_narrow_the_search(various: History) -> None:
    assert found(various, model="other") == ["100% cotton"]
    assert found(various, adapter="glow-style") == ["eine Straße"]
    assert found(various, seed="77001") == ["100% cotton"]
    assert found(various, task="inpaint") == []
    today = date.today()
    assert len(found(various, since=today, until=today)) == 6
    assert found(various, until=today - timedelta(days=1)) == []
    assert found(various, since=today + timedelta(days=1)) == []
    assert found(various, oldest_first=True) == SOUGHT[""][::-1]
    assert len(found(various, since=date.min, until=date.max)) == 6
    choices = various.choices(OWNER)
    assert choices.adapters == [("glow-style", 1)]
    assert dict(choices.models) == {"landscapes": 5, "other": 1}
    assert choices.pictures == 6


def test_what_a_browser_asks_is_checked() -> None:
    asked = {"words": " lake ", "since": "2026-11-21", "board": "3", "starred": "1", "unknown": "x"}
    assert query_of(asked) == Query("lake", since=date(2026, 11, 21), board=3, starred=True)
    for wrong in ({"since": "yesterday"}, {"board": "-1"}, {"board": "9" * 30}, {"words": "x" * 2000}):
        with pytest.raises(RequestError):
            query_of(wrong)


def test_classes_and_seeds_of_any_size_are_found(history: History) -> None:
    save_request(history, ClassToImage(class_name="sea", class_to="desert", blend=0.5, seed=2**64 - 1))
    assert found(history, "desert") == ["sea → desert"]
    assert found(history, seed=str(2**64 - 1)) == ["sea → desert"]


def test_stars_and_boards_are_a_persons_own(history: History) -> None:
    lake, hill = save(history, "lake", 1), save(history, "hill", 2)
    theirs = save(history, "sea", 3, person="guest-1")
    history.boards.star(OWNER, [lake.id, theirs.id])
    board = history.boards.make(OWNER, "  Good   ones ")
    assert history.boards.make(OWNER, "Good ones") == board
    history.boards.put(OWNER, board, [lake.id, hill.id, theirs.id, 999])
    history.boards.put("guest-1", board, [theirs.id])
    history.boards.rename("guest-1", board, "mine now")
    history.boards.remove("guest-1", board)
    assert found(history, starred=True) == ["lake"]
    assert found(history, person="guest-1", starred=True) == []
    assert found(history, board=board) == ["hill", "lake"]
    assert found(history, person="guest-1", board=board) == []
    assert [(one.name, one.count) for one in history.boards.of(OWNER)] == [("Good ones", 2)]
    assert history.get(theirs.id, OWNER) is None
    assert history.boards.of("guest-1") == []
    history.boards.put(OWNER, board, [hill.id], on=False)
    history.boards.rename(OWNER, board, "Best")
    assert [(one.name, one.count) for one in history.boards.of(OWNER)] == [("Best", 1)]
    history.boards.make(OWNER, "other")
    for wrong in ("", "x" * 81, "a\u202eb", "other"):
        with pytest.raises(RequestError):
            history.boards.rename(OWNER, board, wrong)
    history.boards.remove(OWNER, board)
    assert len(found(history)) == 2


# The trash ------------------------------------------------------------------------------------------------


def test_deleting_is_undone(history: History) -> None:
    lake, hill = save(history, "lake", 1), save(history, "hill", 2)
    history.boards.star(OWNER, [lake.id])
    path = history.file(lake)
    assert history.trash.put(OWNER, [lake.id, 999]) == [lake.id]
    assert not path.exists()
    assert found(history) == ["hill"]
    assert found(history, trashed=True) == ["lake"]
    assert history.choices(OWNER).trashed == 1
    assert history.trash.restore(OWNER, [lake.id, hill.id]) == [lake.id]
    assert path.is_file()
    assert found(history, starred=True) == ["lake"]


def test_a_restored_picture_takes_nobodys_place(history: History) -> None:
    lake = save(history, "lake", 1)
    path = history.file(lake)
    history.trash.put(OWNER, [lake.id])
    path.write_bytes(b"another file")
    history.trash.restore(OWNER, [lake.id])
    assert path.read_bytes() == b"another file"
    entry = history.get(lake.id)
    assert entry is not None
    assert entry.name == f"{path.stem}-2.png"
    path.unlink()
    shutil.move(history.file(entry), path)  # deleted twice under one name
    history.look(thorough=True)
    history.trash.put(OWNER, [lake.id])
    again = save(history, "lake", 1)
    assert again.path == lake.path
    history.trash.put(OWNER, [again.id])
    assert len(found(history, trashed=True)) == 2


def test_emptying_deletes_only_the_persons_trash(history: History) -> None:
    lake, hill = save(history, "lake", 1), save(history, "hill", 2)
    theirs = save(history, "sea", 3, person="guest-1")
    history.trash.put(OWNER, [lake.id])
    assert history.trash.put(OWNER, [theirs.id]) == []
    history.trash.put("guest-1", [theirs.id])
    assert history.trash.delete(OWNER, [theirs.id, hill.id]) == 0
    assert history.trash.delete(OWNER) == 1
    assert not history.thumbs.path(lake.digest).exists()
    assert found(history) == ["hill"]
    assert found(history, person="guest-1", trashed=True) == ["sea"]
    assert len(list((history.folder / ".atelier" / "trash").rglob("*.png"))) == 1


@pytest.mark.parametrize("way", ["into", "out of"])
def test_a_crash_between_file_and_row_is_healed(history: History, way: str) -> None:
    lake = save(history, "lake", 1)
    path, trashed = history.file(lake), history.folder / ".atelier" / "trash" / lake.path
    if way == "into":
        trashed.parent.mkdir(parents=True)
        path.rename(trashed)
    else:
        history.trash.put(OWNER, [lake.id])
        trashed.rename(path)
    history.start()
    assert found(history, trashed=way == "into") == ["lake"]
    assert found(history, trashed=way == "out of") == []
    assert len(history.search(None, Query(trashed=way == "into"))) == 1


# Files that change without the program --------------------------------------------------------------------


def test_a_picture_saved_in_a_crash_is_found_at_the_next_start(history: History) -> None:
    request = TextToImage(prompt="saved, not written down", seed=5)
    Library(history.folder).save(metadata.encode_png(pixels_of(5), request), request)
    Library(history.folder).save(metadata.encode_png(pixels_of(6), request), request, "guest-1")
    again = History(history.folder)
    again.start()
    assert found(again) == ["saved, not written down"]
    assert len(found(again, person="guest-1")) == 1


def test_a_moved_file_keeps_star_and_boards(history: History) -> None:
    lake = save(history, "lake", 1)
    board = history.boards.make(OWNER, "Good")
    history.boards.star(OWNER, [lake.id])
    history.boards.put(OWNER, board, [lake.id])
    folder = history.folder / "chosen" / "deep"
    folder.mkdir(parents=True)
    history.file(lake).rename(folder / "renamed.png")
    assert history.look().moved == 1
    entry = history.get(lake.id)
    assert entry is not None
    assert (entry.path, entry.starred) == ("chosen/deep/renamed.png", True)
    assert found(history, board=board) == ["lake"]
    assert not history.look(thorough=True)


def test_deleted_changed_and_added_files_are_noticed(history: History, tmp_path: Path) -> None:
    lake, hill = save(history, "lake", 1), save(history, "hill", 2)
    history.look()
    away = tmp_path / "away.png"
    shutil.move(history.file(lake), away)
    shutil.copy(history.file(hill), history.folder / "copy.png")
    history.file(hill).write_bytes(metadata.encode_png(pixels_of(3), TextToImage(prompt="painted over")))
    plain = metadata.encode_png(pixels_of(4), TextToImage(prompt="outside"))
    (history.folder / "added.png").write_bytes(plain)
    changes = history.look(thorough=True)
    assert (changes.added, changes.changed, changes.gone, changes.moved) == (2, 1, 1, 0)
    assert sorted(found(history)) == ["hill", "outside", "painted over"]
    shutil.move(away, history.folder / "back.png")  # a drive that comes back
    assert history.look().moved == 1
    entry = history.get(lake.id)
    assert entry is not None
    assert entry.path == "back.png"


def test_a_quick_look_reads_only_folders_that_changed(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(history, "lake", 1)
    old = time.time() - 60
    for folder in (*(one for one in history.folder.rglob("*") if one.is_dir()), history.folder):
        os.utime(folder, (old, old))
    history.look()
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    assert not history.look()
    assert listed == []
    save(history, "hill", 2)
    assert not history.look()
    assert len(listed) == 1


def test_a_hostile_folder_breaks_nothing(history: History, tmp_path: Path) -> None:
    folder = history.folder
    folder.mkdir(parents=True, exist_ok=True)
    good = metadata.encode_png(pixels_of(1), TextToImage(prompt="good"))
    (folder / "good.png").write_bytes(good)
    (folder / "broken-request.png").write_bytes(png_with("{broken"))
    (folder / "no-request.png").write_bytes(png_with('{"version": 1, "request": {"task": "none"}}'))
    (folder / "checksum.png").write_bytes(good.replace(b'"version": 1', b'"version": 2'))
    outside = tmp_path / "secret.png"
    outside.write_bytes(metadata.encode_png(pixels_of(9), TextToImage(prompt="secret")))
    (folder / "link.png").symlink_to(outside)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(outside, tmp_path / "elsewhere" / "in.png")
    (folder / "linked-folder").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "a\nnew\u202eline.png").write_bytes(good[:-1] + b"\x00")
    with open(os.fsencode(folder) + b"/not-\xff-text.png", "wb") as file:
        file.write(good)
    with (folder / "huge.png").open("wb") as file:
        file.truncate(3 * 2**30)  # sparse
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "half.png").write_bytes(good[:40])
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    deep = folder
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "in.png").write_bytes(good)
    history.look()
    paths = {entry.path for entry in history.entries(history.search(None, Query()))}
    pictures = {"good.png", "broken-request.png", "no-request.png", "a\nnew\u202eline.png"}
    assert pictures <= paths <= {*pictures, "half.png", "checksum.png"}
    assert "secret" not in found(history)
    assert not history.look(thorough=True)
    for entry in history.newest(OWNER, 10):
        if entry.path == "good.png":
            assert history.thumbs.of(entry.digest, history.file(entry))
    (folder / "good.png").unlink()
    (folder / "good.png").symlink_to(outside)
    with pytest.raises(FileError):
        history.thumbs.of("0" * 64, folder / "good.png")


# Rebuilding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["command", "deleted", "damaged"])
def test_rebuilt_from_the_files_alone(various: History, way: str) -> None:
    asked = list(SOUGHT)
    before = {words: found(various, words) for words in asked}
    board = various.boards.make(OWNER, "Good")
    ids = various.search(OWNER, Query())
    various.boards.put(OWNER, board, ids[:2])
    various.boards.star(OWNER, ids[:1])
    path = various.folder / ".atelier" / "history.sqlite"
    if way == "command":
        with sqlite3.connect(path) as rows:
            rows.execute("UPDATE pictures SET model = 'wrong'")
        various.rebuild()
        again = various
    else:
        various.close()
        if way == "deleted":
            path.unlink()
        else:
            content = bytearray(path.read_bytes())
            content[-4096:] = os.urandom(4096)
            path.write_bytes(content)
        again = History(various.folder)
        again.start()
        assert bool(again.notice) == (way == "damaged")
    assert {words: found(again, words) for words in asked} == before
    assert dict(again.choices(OWNER).models) == {"landscapes": 5, "other": 1}
    if way == "command":
        assert found(again, board=board) == SOUGHT[""][:2]
        assert found(again, starred=True) == SOUGHT[""][:1]


def test_stars_and_boards_of_a_newer_database_are_taken_over(various: History) -> None:
    ids = various.search(OWNER, Query())
    various.boards.star(OWNER, ids[:1])
    various.boards.put(OWNER, various.boards.make(OWNER, "Good"), ids[1:3])
    various.close()
    with sqlite3.connect(various.folder / ".atelier" / "history.sqlite") as rows:
        rows.execute("PRAGMA user_version = 99")
    again = History(various.folder)
    again.start()
    assert "newer version" in again.notice
    assert found(again, starred=True) == SOUGHT[""][:1]
    (board,) = again.boards.of(OWNER)
    assert found(again, board=board.id) == SOUGHT[""][1:3]


# Two programs ---------------------------------------------------------------------------------------------


def _work(folder: Path, name: str) -> None:
    history = History(folder)
    for number in range(20):
        entry = save(history, f"{name} {number}", number)
        history.look()
        if number % 4 == 0:
            history.trash.put(OWNER, [entry.id])
    os._exit(0)


def test_two_programs_work_in_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    programs = [context.Process(target=_work, args=[tmp_path, name]) for name in ("one", "two")]
    for program in programs:
        program.start()
    for program in programs:
        program.join(120)
        assert program.exitcode == 0
    history = History(tmp_path)
    assert not history.look(thorough=True)
    assert len(found(history)) == 30
    assert len(found(history, trashed=True)) == 10
    for trashed in (False, True):
        for entry in history.entries(history.search(None, Query(trashed=trashed))):
            assert history.file(entry).is_file()


# Export ---------------------------------------------------------------------------------------------------


def unzipped(history: History, ids: list[int], **options: object) -> dict[str, bytes]:
    parts = list(zipped(history, history.entries(ids), lambda name: None, **options))  # type: ignore[arg-type]
    assert len(parts) == len(ids) + 1  # one after the other
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_zip_holds_what_is_wanted(history: History) -> None:
    entries = [save(history, "lake", 1), save(history, "lake", 2)]
    (history.folder / "sub").mkdir()
    shutil.copy(history.file(entries[0]), history.folder / "sub" / "same.png")
    (history.folder / "plain.jpg").write_bytes(jpeg())
    history.look()
    ids = history.search(OWNER, Query(oldest_first=True))
    whole = unzipped(history, ids)
    assert whole[entries[0].path] == history.file(entries[0]).read_bytes()
    assert set(whole) == {entries[0].path, entries[1].path, "sub/same.png", "plain.jpg"}
    bare = unzipped(history, ids, carries="nothing", format="WEBP")
    assert all(name.endswith(".webp") for name in bare)
    for data in bare.values():
        assert b"lake" not in data
        with pytest.raises(FileError):
            metadata.read_settings(data)
    settings = unzipped(history, ids, carries="settings")
    assert metadata.read_settings(settings[entries[1].path]).request.seed == 2


def test_a_zip_tells_what_is_missing(history: History) -> None:
    entries = [save(history, "lake", 1), save(history, "hill", 2)]
    history.file(entries[0]).unlink()
    parts = b"".join(zipped(history, entries, lambda name: None))
    with zipfile.ZipFile(io.BytesIO(parts)) as archive:
        assert archive.namelist() == [entries[1].path, "not exported.txt"]
        assert entries[0].name in archive.read("not exported.txt").decode()


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels_of(7)).save(file, "JPEG")
    return file.getvalue()
