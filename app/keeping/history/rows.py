"""The tables of the history, and how facts about pictures get into them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

from app.keeping.history.facts import Entry, Facts, folded, is_trashed, person_of

MIGRATIONS = (
    """
    CREATE TABLE pictures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest TEXT NOT NULL,
        person TEXT NOT NULL,
        created REAL NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        task TEXT NOT NULL,
        model TEXT NOT NULL,
        prompt TEXT NOT NULL,
        seed TEXT NOT NULL,
        sampler TEXT NOT NULL,
        words TEXT NOT NULL,     -- what is searched: prompt, model, LoRAs, folded
        unwanted TEXT NOT NULL,  -- the negative prompt, folded
        starred INTEGER NOT NULL DEFAULT 0,
        trashed REAL,            -- when; NULL where it is not in the trash
        gone REAL                -- when its file was missed; NULL where it is there
    );
    CREATE INDEX pictures_by_digest ON pictures (digest);
    CREATE INDEX pictures_by_time ON pictures (person, created DESC, id DESC)
        WHERE trashed IS NULL AND gone IS NULL;
    CREATE TABLE adapters (
        picture INTEGER NOT NULL REFERENCES pictures ON DELETE CASCADE,
        name TEXT NOT NULL,
        PRIMARY KEY (picture, name)
    ) WITHOUT ROWID;
    CREATE TABLE boards (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL,
        name TEXT NOT NULL,
        UNIQUE (person, name)
    );
    CREATE TABLE on_boards (
        board INTEGER NOT NULL REFERENCES boards ON DELETE CASCADE,
        picture INTEGER NOT NULL REFERENCES pictures ON DELETE CASCADE,
        PRIMARY KEY (board, picture)
    ) WITHOUT ROWID;
    CREATE INDEX on_boards_by_picture ON on_boards (picture);
    CREATE TABLE folders (path TEXT PRIMARY KEY, mtime_ns INTEGER NOT NULL);
    CREATE TABLE revision (number INTEGER NOT NULL);
    INSERT INTO revision VALUES (1);

    CREATE VIRTUAL TABLE found USING fts5(
        words, unwanted, content='pictures', content_rowid='id', tokenize='trigram'
    );
    CREATE TRIGGER pictures_found AFTER INSERT ON pictures BEGIN
        INSERT INTO found (rowid, words, unwanted) VALUES (new.id, new.words, new.unwanted);
    END;
    CREATE TRIGGER pictures_lost AFTER DELETE ON pictures BEGIN
        INSERT INTO found (found, rowid, words, unwanted)
            VALUES ('delete', old.id, old.words, old.unwanted);
    END;
    CREATE TRIGGER pictures_reworded AFTER UPDATE OF words, unwanted ON pictures BEGIN
        INSERT INTO found (found, rowid, words, unwanted)
            VALUES ('delete', old.id, old.words, old.unwanted);
        INSERT INTO found (rowid, words, unwanted) VALUES (new.id, new.words, new.unwanted);
    END;
    """,
)
COLUMNS = (
    "id, path, size, digest, person, created, width, height, task, model, prompt, seed, starred, trashed"
)


def put(rows: sqlite3.Connection, facts: Facts) -> int:
    """Writes what is known of a file; star, boards and date stay where the path is known.  Returns the id."""
    said = facts.said
    values = {
        "path": facts.path,
        "size": facts.size,
        "mtime_ns": facts.mtime_ns,
        "digest": facts.digest,
        "person": person_of(facts.path),
        "created": facts.created,
        "width": facts.width,
        "height": facts.height,
        "task": said.task,
        "model": said.model,
        "prompt": said.prompt,
        "seed": said.seed,
        "sampler": said.sampler,
        "words": folded("\n".join([said.prompt, said.model, *said.adapters])),
        "unwanted": folded(said.negative),
        "trashed": time.time() if is_trashed(facts.path) else None,
        "gone": None,
    }
    stays = ("path", "created", "trashed")
    changed = ", ".join(f"{name} = excluded.{name}" for name in values if name not in stays)
    (id,) = rows.execute(
        f"INSERT INTO pictures ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)}) "
        f"ON CONFLICT (path) DO UPDATE SET {changed} RETURNING id",
        values,
    ).fetchone()
    rows.execute("DELETE FROM adapters WHERE picture = ?", [id])
    rows.executemany(
        "INSERT OR IGNORE INTO adapters VALUES (?, ?)", [(id, adapter) for adapter in said.adapters]
    )
    return int(id)


def moved(rows: sqlite3.Connection, id: int, path: str) -> None:
    """A picture lies elsewhere now; in the trash or out of it as well."""
    rows.execute("DELETE FROM pictures WHERE path = ? AND id != ?", [path, id])  # of what lay there before
    rows.execute(
        "UPDATE pictures SET path = ?, person = ?, gone = NULL, trashed = ? WHERE id = ?",
        [path, person_of(path), time.time() if is_trashed(path) else None, id],
    )


def changed(rows: sqlite3.Connection) -> None:
    """Pages see by the number that there is something new."""
    rows.execute("UPDATE revision SET number = number + 1")


def entry_of(row: sqlite3.Row) -> Entry:
    """A row of `COLUMNS`."""
    values = dict(row)
    return Entry(**{**values, "starred": bool(values["starred"])})


def chunks(ids: Iterable[int], size: int = 500) -> Iterable[list[int]]:
    """Few enough for one statement."""
    every = list(ids)
    return (every[i : i + size] for i in range(0, len(every), size))


def marks(values: list[int]) -> str:
    """As many question marks."""
    return ", ".join("?" * len(values))
