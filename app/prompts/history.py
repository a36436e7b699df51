"""The prompts that were used last, newest first, each once."""

from __future__ import annotations

import time
from pathlib import Path

from app.keeping.database import Database

MIGRATIONS = (
    """
    CREATE TABLE prompts (
        prompt TEXT NOT NULL, negative_prompt TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (prompt, negative_prompt)
    );
    CREATE INDEX newest ON prompts (at DESC);
    """,
)
KEPT = 5000


class PromptHistory:
    """Raises FileError where the database cannot be used."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, MIGRATIONS)

    def add(self, prompt: str, negative_prompt: str) -> None:
        """Notes that these were used now; the oldest give way."""
        if not prompt.strip():
            return
        with self._database.writing() as rows:
            rows.execute(
                "INSERT OR REPLACE INTO prompts VALUES (?, ?, ?)", [prompt, negative_prompt, time.time()]
            )
            rows.execute(
                "DELETE FROM prompts WHERE rowid IN "
                "(SELECT rowid FROM prompts ORDER BY at DESC LIMIT -1 OFFSET ?)",
                [KEPT],
            )

    def find(self, words: str = "", most: int = 100) -> list[tuple[str, str]]:
        """Prompts and negative prompts with all of these words, newest first."""
        wanted = [f"%{_literal(word)}%" for word in words.split()[:20]]
        clause = " AND ".join(["prompt LIKE ? ESCAPE '\\'"] * len(wanted)) or "1"
        with self._database.reading() as rows:
            found = rows.execute(
                f"SELECT prompt, negative_prompt FROM prompts WHERE {clause} ORDER BY at DESC LIMIT ?",
                [*wanted, most],
            )
            return [(str(row["prompt"]), str(row["negative_prompt"])) for row in found]

    def close(self) -> None:
        self._database.close()


def _literal(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
