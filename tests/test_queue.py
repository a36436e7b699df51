"""The queue alone: order, restarts, two programs on one folder, and being killed at any moment."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.keeping.history import OWNER, History
from app.keeping.metadata import read_settings
from app.stage.jobs_list import listed
from app.studio.queue import KEPT_ENDED, MAX_WAITING, Item, Queue, left
from ldm_core.errors import QueueFull
from ldm_core.request import Inpaint, TextToImage
from ldm_core.request.raster import Raster
from tests.toy_studio import toy_studio, work

SMALL = TextToImage(prompt="a lake", width=64, height=64, steps=3, seed=1)


def opened(folder: Path) -> Queue:
    queue = Queue(folder)
    queue.open()
    return queue


def states(queue: Queue, person: str = "me") -> list[tuple[int, str]]:
    return [(item.requests[0].seed, item.state) for item in queue.items(person)]


def added(queue: Queue, *seeds: int, person: str = "me") -> list[Item]:
    return [queue.add(person, [replace(SMALL, seed=seed)]) for seed in seeds]


def test_jobs_are_moved_cancelled_and_taken_in_order(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    one, two, three, _ = added(queue, 1, 2, 3, 4)
    queue.move("me", three.id, 0)
    queue.move("me", one.id, 99)
    queue.drop("me", two.id)
    queue.move("me", "nonsense", 0)
    assert [seed for seed, _ in states(queue)] == [3, 4, 1]
    queue.add("me", [replace(SMALL, seed=5)], first=True)
    assert [seed for seed, _ in states(queue)] == [5, 3, 4, 1]
    queue.pause("me", paused=True)
    assert queue.take("me") is None
    queue.close()
    again = opened(tmp_path)
    assert again.is_paused("me") and again.take("me") is None
    again.pause("me", paused=False)
    assert [seed for seed, _ in states(again)] == [5, 3, 4, 1]
    taken = again.take("me")
    assert taken is not None and taken.requests == (replace(SMALL, seed=5),)
    again.drop("me", taken.id)  # what runs has to be stopped instead
    again.drop("me")
    assert states(again) == [(5, "running")]


def test_nobody_reaches_another_s(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    (mine,) = added(queue, 1)
    for act in (
        lambda: queue.drop("you", mine.id),
        lambda: queue.drop("you"),
        lambda: queue.move("you", mine.id, 0),
        lambda: queue.again("you", mine.id),
        lambda: queue.take("you"),
    ):
        assert act() is None
    assert queue.find("you", mine.id) is None and queue.items("you") == []
    assert states(queue) == [(1, "waiting")]


def test_what_ran_when_the_program_died_is_offered_again(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    mask = Raster(np.full((64, 64), 255, np.uint8))
    fill = Inpaint(prompt="a lake", image=Raster(np.zeros((64, 64, 3), np.uint8)), mask=mask, batch_size=3)
    running, _ = queue.add("me", [fill, SMALL]), added(queue, 7)
    assert queue.take("me") is not None
    queue.progress(running.id, 1)
    queue.close()
    queue = opened(tmp_path)
    assert [state for _, state in states(queue)] == ["interrupted", "waiting"]
    queue.again("me", running.id)
    first, second = queue.items("me")
    assert first.requests == (replace(fill, seed=1, batch_size=1), replace(fill, seed=2, batch_size=1), SMALL)
    assert (first.state, second.requests[0].seed) == ("waiting", 7)


def test_what_is_left_of_a_job() -> None:
    batch = replace(SMALL, batch_size=2)
    item = Item("", "", (batch, SMALL), "interrupted", 0)
    assert left(item) == (batch, SMALL)
    assert left(replace(item, finished=1)) == (replace(SMALL, seed=2), SMALL)
    assert left(replace(item, finished=2)) == (SMALL,)


def test_two_programs_on_one_folder_do_not_share_jobs(tmp_path: Path) -> None:
    first = opened(tmp_path)
    added(first, 1)
    second = opened(tmp_path)
    assert "already runs" in second.notice and second.take("me") is None
    added(second, 2)
    taken = second.take("me")
    assert taken is not None and taken.requests[0].seed == 2
    assert states(first) == [(1, "waiting")]
    first.close()
    assert states(opened(tmp_path)) == [(1, "waiting")]


def test_the_list_of_a_second_program_says_that_its_jobs_end_with_it(tmp_path: Path) -> None:
    first, second = toy_studio(tmp_path), toy_studio(tmp_path)
    notes = [listed(studio, studio.person(OWNER))["note"] for studio in (first, second)]
    assert notes[0] == "" and "what waits here is gone when this one ends" in notes[1]
    for studio in (second, first):
        studio.close()


def test_jobs_added_before_the_file_is_read_are_kept(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    added(queue, 1)
    queue.close()
    early = Queue(tmp_path)
    added(early, 2)
    early.open()
    early.close()
    assert {seed for seed, _ in states(opened(tmp_path))} == {1, 2}


def test_a_queue_has_an_end_and_forgets_what_ended_long_ago(tmp_path: Path) -> None:
    queue = Queue(None)
    items = added(queue, *range(MAX_WAITING))
    with pytest.raises(QueueFull, match="wait already"):
        added(queue, 1)
    added(queue, 1, person="you")
    for item in items[: KEPT_ENDED + 5]:
        assert queue.take("me") is not None
        queue.end(item.id, "done", "Finished")
    ended = [item for item in queue.items("me") if item.ended is not None]
    assert ended == ended and [item.id for item in ended] == [item.id for item in items[5 : KEPT_ENDED + 5]]


def test_a_row_that_cannot_be_read_is_told_and_a_lost_file_does_not_stop_work(tmp_path: Path) -> None:
    queue = opened(tmp_path)
    added(queue, 1, 2)
    queue.close()
    with sqlite3.connect(tmp_path / "queue.sqlite") as rows:
        rows.execute('UPDATE items SET requests = \'[{"task": "fly"}]\' WHERE place = 1')
    rows.close()
    queue = opened(tmp_path)
    bad, good = sorted(queue.items("me"), key=lambda item: item.place)
    assert (bad.state, good.state) == ("failed", "waiting") and "cannot be read" in bad.said
    assert queue._database is not None
    queue._database.close()  # as a disk that is gone
    assert queue.take("me") is not None and "queue.sqlite" in queue.notice
    nowhere = Queue(tmp_path / "queue.sqlite" / "under a file")
    nowhere.open()
    added(nowhere, 3)
    assert "not kept" in nowhere.notice and nowhere.take("me") is not None


# Killed at any moment ------------------------------------------------------------------------------------

KILLS = 200
Told = list[tuple[str, str]]


@pytest.mark.slow
def test_nothing_is_lost_however_often_the_program_is_killed(tmp_path: Path) -> None:
    """The real queue, saving and history with an engine that draws nothing: killed and begun anew."""
    chance = random.Random(1)
    running: set[str] = set()
    interrupted = 0
    for kill in range(KILLS):
        told = worked(tmp_path, kill, chance.uniform(0, 0.25))
        assert running <= {id for what, id in told if what == "offered"}
        running = checked(tmp_path, told)
        interrupted += len(running)
    files = {path.name for path in tmp_path.rglob("*.png")}
    history = History(tmp_path)
    history.start()
    with history._database.reading() as rows:
        assert {Path(row["path"]).name for row in rows.execute("SELECT path FROM pictures")} == files
    history.close()
    print(f"{KILLS} kills, {interrupted} of them in the middle of a job; {len(files)} pictures")
    assert interrupted > KILLS / 4 and len(files) > KILLS / 4


def worked(folder: Path, number: int, seconds: float) -> Told:
    """Lets a program work for a while, kills it, and gives what it told until then."""
    ours, its = multiprocessing.Pipe(duplex=False)
    program = multiprocessing.get_context("fork").Process(target=work, args=(folder, number, its))
    program.start()
    its.close()
    told: Told = []
    while ("ready", "") not in told:
        told.append(ours.recv())
    time.sleep(seconds)
    program.kill()
    program.join()
    with contextlib.suppress(EOFError):
        while True:
            told.append(ours.recv())
    return told


def checked(folder: Path, told: Told) -> set[str]:
    """Every file can be read, what was told is so, no row is without its file.  Gives the jobs that ran."""
    files = {path.name: path for path in folder.rglob("*.png")}
    for path in files.values():
        read_settings(path)
    assert {name for what, name in told if what == "file"} <= files.keys()
    with contextlib.closing(sqlite3.connect(folder / ".atelier" / "queue.sqlite")) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        states = dict(rows.execute("SELECT id, state FROM items").fetchall())
    assert {id for what, id in told if what == "added"} <= states.keys()
    with contextlib.closing(sqlite3.connect(folder / ".atelier" / "history.sqlite")) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        paths = [path for (path,) in rows.execute("SELECT path FROM pictures WHERE gone IS NULL")]
    assert all((folder / path).is_file() for path in paths)
    return {id for id, state in states.items() if state == "running"}


def test_where_the_engine_has_no_place_a_job_waits_for_one(tmp_path: Path) -> None:
    studio = toy_studio(tmp_path)
    page = studio.page("owner", "a page")
    studio.jobs.add(page.person, [replace(SMALL, prompt="too many")])
    deadline = time.monotonic() + 60
    while page.run is None or "many are at work" not in page.run.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    studio.jobs.stop(page)
    while page.run is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert page.selection().run is not None and page.selection().run.text == "Stopped"
    studio.close()
