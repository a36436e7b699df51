"""What the page's scripts are told of the history, and what strangers are not."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.keeping.history import OWNER, History, Query
from app.keeping.metadata import read_settings
from app.web.history import HistoryRoutes
from tests.test_history import save


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(tmp_path / "outputs")
    save(history, "a lake", 1, negative_prompt="fog")
    save(history, "a hill", 2)
    save(history, "their sea", 3, person="guest-1")
    return history


def client(history: History, person: str | None, *, is_private: bool = True) -> TestClient:
    routes = HistoryRoutes(history, lambda _: person, lambda _: None, is_private=is_private)
    return TestClient(Starlette(routes=[routes.mount()]))


def ids_of(asked: TestClient, **query: object) -> list[int]:
    return asked.get("/history/search", params=query).json()["ids"]


def test_a_person_finds_and_sees_their_own(history: History) -> None:
    owner = client(history, OWNER)
    ids = ids_of(owner)
    assert len(ids) == 2
    assert ids_of(owner, words="lake") == ids[1:]
    first = owner.get("/history/search").json()["items"]  # what is shown of them comes with them
    assert first == owner.get("/history/items", params={"ids": ",".join(map(str, ids))}).json()["items"]
    (item, _) = owner.get("/history/items", params={"ids": ",".join(map(str, [*ids, 99]))}).json()["items"]
    assert (item["words"], item["starred"]) == ("a hill", False)
    thumb = owner.get(f"/history/thumb/{item['id']}/{item['digest']}")
    assert thumb.headers["content-type"] == "image/webp" and "immutable" in thumb.headers["cache-control"]
    file = owner.get(f"/history/file/{item['id']}/{item['digest']}")
    assert read_settings(file.content).request.prompt == "a hill"
    details = owner.get(f"/history/details/{ids[1]}").json()
    assert ["Prompt", "a lake"] in details["settings"] and ["Negative prompt", "fog"] in details["settings"]


def test_another_persons_pictures_are_not_there(history: History) -> None:
    owner, guest, nobody = (client(history, person) for person in (OWNER, "guest-1", None))
    (theirs,) = ids_of(guest)
    item = guest.get(f"/history/items?ids={theirs}").json()["items"][0]
    places = [f"details/{theirs}", f"thumb/{theirs}/{item['digest']}", f"file/{theirs}/{item['digest']}"]
    for stranger in (owner, nobody):
        assert [stranger.get(f"/history/{place}").status_code for place in places] == [404] * 3
    assert owner.get(f"/history/items?ids={theirs}").json()["items"] == []
    for action in ("trash", "star", "delete"):
        owner.post(f"/history/{action}", json={"ids": [theirs], "on": True})
        assert nobody.post(f"/history/{action}", json={"ids": [theirs]}).status_code == 404
    assert [entry.starred for entry in history.newest("guest-1", 5)] == [False]
    order = guest.post("/history/export", json={"ids": [theirs]}).json()
    assert owner.get(f"/{order['url']}").status_code == 404
    assert guest.get(f"/{order['url']}").status_code == 200
    for place in ("state", "choices", "search", "items"):
        assert nobody.get(f"/history/{place}").status_code == 404
    assert guest.get(f"/history/thumb/{theirs}/{'0' * 16}").status_code == 404


def test_deleting_undoing_and_emptying(history: History) -> None:
    owner = client(history, OWNER)
    ids = ids_of(owner)
    before = owner.get("/history/state").json()["revision"]
    assert sorted(owner.post("/history/trash", json={"ids": ids}).json()["ids"]) == sorted(ids)
    assert owner.get("/history/state").json()["revision"] > before
    assert ids_of(owner) == [] and sorted(ids_of(owner, trashed=1)) == sorted(ids)
    owner.post("/history/restore", json={"ids": ids[:1]})
    assert owner.post("/history/delete", json={"all": True}).json() == {"count": 1}
    assert ids_of(owner) == ids[:1]


def test_boards(history: History) -> None:
    owner = client(history, OWNER)
    ids = ids_of(owner)
    board = owner.post("/history/board", json={"name": "Good", "ids": ids[:1]}).json()["board"]
    assert ids_of(owner, board=board) == ids[:1]
    owner.post("/history/board", json={"board": board, "name": "Best"})
    owner.post("/history/board", json={"board": board, "ids": ids, "on": False})
    assert owner.get("/history/choices").json()["boards"] == [{"id": board, "name": "Best", "count": 0}]
    owner.post("/history/board", json={"board": board})
    assert owner.get("/history/choices").json()["boards"] == []
    assert owner.post("/history/board", json={"name": " "}).status_code == 400


@pytest.mark.parametrize("count", [1, 2])
def test_export(history: History, count: int) -> None:
    owner = client(history, OWNER)
    ids = ids_of(owner)[:count]
    url = owner.post("/history/export", json={"ids": ids, "carries": "settings", "format": "WEBP"}).json()[
        "url"
    ]
    answer = owner.get(f"/{url}")
    if count == 1:
        assert answer.headers["content-disposition"].endswith(".webp")
        assert answer.content[8:12] == b"WEBP"
    else:
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert len(archive.namelist()) == 2


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("star", {"ids": "all"}),
        ("star", {"ids": [1.5]}),
        ("star", {"ids": [True]}),
        ("star", {"ids": [2**70]}),
        ("star", {"ids": [{}]}),
        ("trash", {}),
        ("export", {"ids": [1], "format": "EXE"}),
        ("export", {"ids": [1], "carries": ["x"]}),
        ("board", {"name": {"a": 1}, "ids": 3}),
        ("show", {"ids": []}),
        ("star", []),
    ],
)
def test_nonsense_is_a_sentence(history: History, action: str, body: object) -> None:
    answer = client(history, OWNER).post(f"/history/{action}", json=body)
    assert answer.status_code == 400 and answer.json()["problem"]


def test_other_sites_cannot_write_by_a_form(history: History) -> None:
    owner = client(history, OWNER)
    answer = owner.post("/history/delete", content='{"all": true}', headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert owner.get("/history/trash").status_code == 405


def test_only_the_owner_here_sees_folders(history: History) -> None:
    guest = client(history, "guest-1", is_private=False)
    ids = ids_of(guest)
    assert guest.post("/history/show", json={"ids": ids}).status_code == 400
    entry = history.newest("guest-1", 1)[0]
    assert guest.get(f"/history/details/{entry.id}").json()["path"] == entry.name
    assert history.search("guest-1", Query()) == ids
