"""The database: migrations, threads, two programs on one file, files that cannot be used."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from app.keeping.database import Database
from ldm_core.errors import FileError

FIRST = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
SECOND = """
ALTER TABLE notes ADD COLUMN starred INTEGER NOT NULL DEFAULT 0;
CREATE TABLE marks (note INTEGER NOT NULL REFERENCES notes ON DELETE CASCADE);
CREATE TRIGGER trimmed AFTER INSERT ON notes BEGIN
    UPDATE notes SET text = trim(text, '; ') WHERE id = new.id;
    DELETE FROM marks WHERE note = new.id;
END;
INSERT INTO notes (text) VALUES ('a;b');
"""


def write(database: Database, text: str) -> None:
    with database.writing() as rows:
        rows.execute("INSERT INTO notes (text) VALUES (?)", [text])


def texts(database: Database) -> list[str]:
    with database.reading() as rows:
        return [row["text"] for row in rows.execute("SELECT text FROM notes ORDER BY id")]


def test_what_is_written_is_there_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "new" / "notes.sqlite"
    database = Database(path, [FIRST])
    write(database, "one")
    database.close()
    database.close()
    again = Database(path, [FIRST])
    assert texts(again) == ["one"]
    assert again.notice == ""


def test_an_older_file_is_brought_up_to_date_once(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    database = Database(path, [FIRST])
    write(database, "one")
    database.close()
    for _ in range(2):
        database = Database(path, [FIRST, SECOND])
        database.close()
    database = Database(path, [FIRST, SECOND])
    write(database, "two; ")
    assert texts(database) == ["one", "a;b", "two"]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    Database(path, [FIRST]).close()
    with pytest.raises(FileError, match=r"notes\.sqlite"):
        Database(path, [FIRST, "INSERT INTO notes (text) VALUES ('half'); INSERT INTO nowhere VALUES (1);"])
    assert texts(Database(path, [FIRST])) == []


def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "notes.sqlite", [FIRST])
    with pytest.raises(ZeroDivisionError), database.writing() as rows:
        rows.execute("INSERT INTO notes (text) VALUES ('half')")
        raise ZeroDivisionError
    write(database, "whole")
    assert texts(database) == ["whole"]


def test_reading_changes_nothing_and_relations_hold(tmp_path: Path) -> None:
    database = Database(tmp_path / "notes.sqlite", [FIRST, SECOND])
    with pytest.raises(FileError), database.reading() as rows:
        rows.execute("DELETE FROM notes")
    with pytest.raises(sqlite3.IntegrityError), database.writing() as rows:
        rows.execute("INSERT INTO marks VALUES (99)")
    assert texts(database) == ["a;b"]


def test_threads_write_and_read_at_once(tmp_path: Path) -> None:
    database = Database(tmp_path / "notes.sqlite", [FIRST])
    counts: list[int] = []

    def work(number: int) -> None:
        for step in range(25):
            write(database, f"{number}-{step}")
            counts.append(len(texts(database)))

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 200  # no thread ended early
    assert len(set(texts(database))) == 200


def _write_many(path: Path, start: threading.Barrier, name: str) -> None:
    start.wait()
    database = Database(path, [FIRST, SECOND])
    for number in range(100):
        write(database, f"{name}{number}")
    os._exit(0)  # as if killed: nothing is closed


@pytest.mark.parametrize("damaged", [False, True])
def test_two_programs_share_a_file(tmp_path: Path, damaged: bool) -> None:
    path = tmp_path / "notes.sqlite"
    if damaged:
        path.write_bytes(b"not a database, and longer than its header is" * 100)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    programs = [context.Process(target=_write_many, args=[path, start, name]) for name in "ab"]
    for program in programs:
        program.start()
    for program in programs:
        program.join(60)
        assert program.exitcode == 0
    assert len(set(texts(Database(path, [FIRST, SECOND])))) == 201
    assert len(list(tmp_path.glob("notes.damaged-*"))) == damaged


def test_a_damaged_file_is_kept_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    database = Database(path, [FIRST])
    for number in range(2000):
        write(database, f"a longer text, so that there are several pages {number}")
    database.close()
    content = bytearray(path.read_bytes())
    content[8192:20480] = os.urandom(12288)
    path.write_bytes(content)
    database = Database(path, [FIRST])
    assert texts(database) == []
    assert "could not be read" in database.notice
    assert database.aside is not None
    assert database.aside.read_bytes() == content
    write(database, "new")
    database.close()
    again = Database(path, [FIRST])
    assert (texts(again), again.notice) == (["new"], "")


def test_a_file_of_a_newer_version_is_kept_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    newer = Database(path, [FIRST, SECOND])
    write(newer, "theirs")
    newer.close()
    database = Database(path, [FIRST])
    assert texts(database) == []
    assert "newer version" in database.notice
    assert database.aside is not None
    assert texts(Database(database.aside, [FIRST, SECOND])) == ["a;b", "theirs"]


@pytest.mark.parametrize("obstacle", ["folder", "file"])
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "data" / "notes.sqlite"
    if obstacle == "folder":
        path.mkdir(parents=True)
    else:
        path.parent.write_text("in the way")
    with pytest.raises(FileError, match=r"notes\.sqlite cannot be used"):
        Database(path, [FIRST])
