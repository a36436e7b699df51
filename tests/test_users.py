"""Accounts from the command line, passwords that nobody else reads, reports with nothing private."""

from __future__ import annotations

import argparse
import json
import logging
import re
from pathlib import Path

import pytest

from app.commands.cli import _password, main
from app.commands.doctor import scrubbed, write_report
from app.keeping import logs
from app.keeping.accounts import Account, Accounts
from ldm_core.errors import FileError

WORD = "a long way to the lake"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATELIER_DATA", str(tmp_path))
    return tmp_path


def test_accounts_are_added_renewed_signed_out_and_removed(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str, status: int = 0) -> str:
        assert main(["users", *arguments]) == status
        told = capsys.readouterr()
        return told.out + told.err

    first = re.search(r"is  (\S+)", said("add", "anna", "--owner"))
    again = re.search(r"is  (\S+)", said("renew", "anna"))
    assert first and again and first[1] != again[1]
    accounts = Accounts(data)
    assert accounts.check("anna", first[1]) is None
    assert accounts.check("anna", again[1]) == Account("anna", is_owner=True)
    token = accounts.enter("anna")
    assert said("list") == "anna  owner\n"
    assert said("sign-out", "anna") == "1 sessions ended.\n" and accounts.session(token) is None
    (data / "owner.txt").write_text("x" * 40)
    assert "another one" in said("sign-out") and not (data / "owner.txt").exists()
    for wrong in (["add", "anna"], ["remove", "ben"], ["add"], ["add", "../x"]):
        assert said(*wrong, status=1).strip().endswith(".")
    said("remove", "anna")
    assert said("list") == "" and accounts.find("anna") is None
    accounts.close()
    assert (data / "accounts.sqlite").stat().st_mode & 0o077 == 0


def test_a_password_is_not_an_argument(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(**given: object) -> str | None:
        return _password(argparse.Namespace(**{"password": False, "password_file": None, **given}))

    assert asked() is None
    (data / "word.txt").write_text(f"{WORD}\nmore\n")
    assert asked(password_file=str(data / "word.txt")) == WORD
    monkeypatch.setenv("ATELIER_PASSWORD", WORD)
    assert asked() == WORD and asked() is None  # no child of the program inherits it
    monkeypatch.setattr("getpass.getpass", lambda _: WORD)
    assert asked(password=True) == WORD
    for weak in ("short", "aaaaaaaaaaaaaaaa"):
        (data / "word.txt").write_text(weak)
        with pytest.raises(FileError, match="Another password"):
            asked(password_file=str(data / "word.txt"))
    with pytest.raises(FileError, match="cannot be read"):
        asked(password_file=str(data / "none"))
    with pytest.raises(SystemExit):
        main(["run", "--password=hunter2"])


def test_the_log_is_lines_of_json(data: Path) -> None:
    ours = logging.getLogger("app")
    before = (ours.handlers, ours.propagate, ours.level)
    try:
        logs.begin(data)
        log = logging.getLogger("app.studio")
        log.info("a job begins", extra={"job": "abc"})
        try:
            raise ValueError("/home/anna/secret")
        except ValueError:
            log.exception("a job could not be made")
    finally:
        for name in logs.OURS:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [], True
        ours.handlers, ours.propagate, _ = before
    first, second = map(json.loads, (data / logs.NAME).read_text().splitlines())
    assert (first["level"], first["job"], first["said"]) == ("INFO", "abc", "a job begins")
    assert second["error"] == "ValueError" and second["at"][0].startswith("test_users.py:")


def test_a_report_has_nothing_private(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    private = {
        "http://127.0.0.1/?owner=Zm9vYmFyYmF6": "Zm9vYmFyYmF6",
        "hf_AbCdEfGhIjKl": "hf_AbCd",
        "/home/anna/pictures/cat.png": "pictures",
        "C:\\\\Users\\\\anna\\\\x": "Users",
        "the password 12ab-34cd-56ef-78ab": "34cd",
        "from 192.168.1.7": "192.168",
        "token " + "x" * 43: "x" * 43,
    }
    for text, secret in private.items():
        assert secret not in scrubbed(text) and "anna" not in scrubbed(text), text
    (data / logs.NAME).write_text("\n".join(private) + "\n")
    report = data / "report.txt"
    write_report(str(report), [str(data / "models")])
    facts, _, lines = report.read_text().partition("\nlog:\n")
    assert "torch" in facts and len(lines.splitlines()) == len(private)
    assert not any(secret in lines for secret in private.values())
