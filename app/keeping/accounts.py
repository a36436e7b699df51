"""Who may enter a page that others can reach, and who is in: accounts with passwords, and sessions.

A password is kept as its scrypt hash, a session as the hash of the token in its cookie: the file lets
nobody in. The account without a name is the one whose password all guests share.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.keeping.database import Database
from ldm_core.errors import FileError

SESSION_SECONDS = 7 * 24 * 3600
SHARED = ""  # the account whose password all guests share
LEAST_CHARACTERS = 12  # of a password that a person chose
LEAST_DIFFERENT = 6  # of its characters
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

MIGRATIONS = (
    """
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY,
        owner INTEGER NOT NULL,
        salt BLOB NOT NULL,
        hash BLOB NOT NULL
    );
    CREATE TABLE sessions (
        token TEXT PRIMARY KEY,
        name TEXT NOT NULL REFERENCES accounts (name) ON DELETE CASCADE,
        made REAL NOT NULL
    );
    """,
)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may enter; the owner's may do everything."""

    name: str
    is_owner: bool


class Accounts:
    """The accounts in a folder; methods may be called from any thread, and from several programs.

    Args:
        folder: where they are kept.
        clock: tells seconds since 1970.

    Raises:
        FileError: they can be neither read nor made.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "accounts.sqlite"
        file.touch(mode=0o600)
        self._database = Database(file, MIGRATIONS)
        self._clock = clock

    def close(self) -> None:
        self._database.close()

    def all(self) -> list[Account]:
        """Those with a name."""
        with self._database.reading() as rows:
            found = rows.execute("SELECT name, owner FROM accounts WHERE name != '' ORDER BY name").fetchall()
        return [Account(row["name"], bool(row["owner"])) for row in found]

    def find(self, name: str) -> Account | None:
        with self._database.reading() as rows:
            row = rows.execute("SELECT name, owner FROM accounts WHERE name = ?", [name]).fetchone()
        return None if row is None else Account(row["name"], bool(row["owner"]))

    def put(self, name: str, password: str, *, is_owner: bool = False) -> None:
        """Makes an account, or gives it another password; that ends its sessions.

        Raises:
            FileError: the name cannot be used, or it cannot be written.
        """
        if name != SHARED and not _NAME.fullmatch(name):
            raise FileError(f"{name!r} is no name for an account; use letters, digits and . _ @ - alone.")
        if self.check(name, password) == Account(name, is_owner):
            return
        salt = secrets.token_bytes(16)
        with self._database.writing() as rows:
            rows.execute("DELETE FROM accounts WHERE name = ?", [name])
            row = (name, is_owner, salt, _hashed(password, salt))
            rows.execute("INSERT INTO accounts VALUES (?, ?, ?, ?)", row)

    def remove(self, name: str) -> bool:
        """Returns whether there was one; its sessions end."""
        with self._database.writing() as rows:
            return rows.execute("DELETE FROM accounts WHERE name = ?", [name]).rowcount > 0

    def check(self, name: str, password: str) -> Account | None:
        """The account, where that is its password.  Takes as long for a name that is not there."""
        with self._database.reading() as rows:
            row = rows.execute("SELECT * FROM accounts WHERE name = ?", [name]).fetchone()
        salt, expected = (b"", b"") if row is None else (row["salt"], row["hash"])
        is_right = hmac.compare_digest(_hashed(password, salt), expected)
        return Account(row["name"], bool(row["owner"])) if is_right and row is not None else None

    # Sessions -----------------------------------------------------------------------------------------

    def enter(self, name: str) -> str:
        """Begins a session; returns its token."""
        token, now = secrets.token_urlsafe(32), self._clock()
        with self._database.writing() as rows:
            rows.execute("DELETE FROM sessions WHERE made < ?", [now - SESSION_SECONDS])
            rows.execute("INSERT INTO sessions VALUES (?, ?, ?)", [digest(token), name, now])
        return token

    def session(self, token: str) -> Account | None:
        """Whose session that is; None where it has ended."""
        with self._database.reading() as rows:
            row = rows.execute(
                "SELECT name, owner FROM sessions JOIN accounts USING (name) WHERE token = ? AND made >= ?",
                [digest(token), self._clock() - SESSION_SECONDS],
            ).fetchone()
        return None if row is None else Account(row["name"], bool(row["owner"]))

    def leave(self, token: str) -> None:
        """Ends a session."""
        with self._database.writing() as rows:
            rows.execute("DELETE FROM sessions WHERE token = ?", [digest(token)])

    def end_sessions(self, name: str | None = None) -> int:
        """Ends all sessions of an account, or everybody's; returns how many there were."""
        where, values = ("", []) if name is None else (" WHERE name = ?", [name])
        with self._database.writing() as rows:
            return rows.execute(f"DELETE FROM sessions{where}", values).rowcount


def made_password() -> str:
    """One that cannot be guessed and can be read aloud."""
    return "-".join(secrets.token_hex(2) for _ in range(4))


def weakness(password: str) -> str:
    """Why a password that a person chose is too easily guessed; empty where it is not."""
    if len(password) < LEAST_CHARACTERS:
        return f"a password has to have at least {LEAST_CHARACTERS} characters"
    if len(set(password.lower())) < LEAST_DIFFERENT:
        return f"a password has to have at least {LEAST_DIFFERENT} different characters"
    return ""


def digest(secret: str) -> str:
    """What is kept of a secret that nobody can guess."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, n=2**14, r=8, p=1)
