"""How many small faults the tests find: changes a module in many ways, one at a time, and runs its tests.

    python -m tests.mutants --tests tests/test_samplers.py -- ldm_core/diffusion/schedule.py

First the tests run once under coverage (`pip install coverage`), which tells the tests of each line and how
long they take.  Then each mutant (tests/mutations.py) gets a fork of its own, and is killed when a test fails
there; the quickest tests run first.  Where it changes functions alone, the fork is of a process that has
collected the tests, and they get their changed code there; what survives that is judged once more from the
import on.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest

from tests.mutations import Mutant, mutants

ROOT = Path(__file__).parent.parent
OURS = ("ldm_core", "app", "tests")
BUDGET = 20.0  # seconds of tests for one mutant, at most


@dataclass(frozen=True)
class Coverage:
    """The tests of each line of each file, and the seconds of each test."""

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    def tests(self, file: str, line: int) -> list[str]:
        """Those that run the line, else any of the file (it runs at import), else all; the quickest first."""
        lines = self.lines.get(file, {})
        found = lines.get(line) or {test for tests in lines.values() for test in tests} or set(self.seconds)
        chosen, spent = [], 0.0
        for test in sorted(found, key=lambda test: (self.seconds.get(test, 0.0), test)):
            spent += self.seconds.get(test, 0.0)
            if spent > BUDGET and chosen:
                break
            chosen.append(test)
        return chosen


class _Recorder:
    """A pytest plugin: the lines of each test, its set-up included, and its seconds."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(data_file=None, source=[str(ROOT / "ldm_core"), str(ROOT / "app")])
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        start = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - start


def measure(tests: Sequence[str]) -> Coverage:
    """Runs the tests in this process; those that fail, as some do while lines are traced, are left out."""
    recorder = _Recorder()
    recorder.coverage.start()
    pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[recorder])
    recorder.coverage.stop()
    data, lines = recorder.coverage.get_data(), dict[str, dict[int, list[str]]]()
    for file in data.measured_files():
        lines[str(Path(file).relative_to(ROOT))] = {
            line: [test for test in tests if test and test not in recorder.failed]
            for line, tests in data.contexts_by_lineno(file).items()
        }
    return Coverage(lines, {t: s for t, s in recorder.seconds.items() if t not in recorder.failed})


def in_fork(work: Callable[[], int], seconds: float) -> int | None:
    """The exit status of `work` in a fork of this process; None where it had not ended after so long."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        status = 1
        try:
            status = int(work())
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (ended := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module its changed code."""

    def __init__(self, file: str, code: CodeType) -> None:
        self.name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.file, self.code = file, code

    def find_spec(
        self, name: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        package = self.file.endswith("__init__.py")
        return importlib.util.spec_from_file_location(
            name,
            ROOT / self.file,
            loader=self,
            submodule_search_locations=[str((ROOT / self.file).parent)] if package else None,
        )

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)  # noqa: S102


Change = tuple[CodeType, CodeType]  # a function's code before and after


@dataclass(frozen=True)
class Job:
    """A mutant to be judged.

    Attributes:
        changes: of functions; None where it changes what happens at the import.
        tests, seconds: those that may find it, and how long they take.
    """

    file: str
    mutant: Mutant
    changes: list[Change] | None
    tests: list[str]
    seconds: float

    @property
    def limit(self) -> float:
        """Seconds after which it hangs."""
        return 4 * self.seconds + 60


def survives(job: Job) -> bool:
    """Whether all tests pass where the module is imported with it, in a process of its own."""

    def work() -> int:
        code = compile(job.mutant.module, str(ROOT / job.file), "exec")
        sys.meta_path.insert(0, _Mutated(job.file, code))
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", *job.tests]))

    return not job.tests or in_fork(work, job.limit) == 0


def changed_functions(file: str, mutant: Mutant) -> list[Change] | None:
    """The functions that a mutant changes; None where it changes what happens at the import."""
    before = compile((ROOT / file).read_text("utf-8"), str(ROOT / file), "exec")
    return _changed(before, compile(mutant.module, str(ROOT / file), "exec"))


def _changed(before: CodeType, after: CodeType) -> list[Change] | None:
    inside, outside = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (before, after))
    if _at_import(before) != _at_import(after) or len(inside) != len(outside):
        return None
    changes: list[Change] = []
    for old, new in zip(inside, outside):
        if old == new:
            continue
        found = [(old, new)] if old.co_flags & inspect.CO_OPTIMIZED else _changed(old, new)
        if found is None:
            return None
        changes += found
    return changes


def _at_import(code: CodeType) -> tuple[object, ...]:
    values = [(type(c), c) for c in code.co_consts if not isinstance(c, CodeType)]
    return code.co_code, code.co_names, values


def _apply(changes: Sequence[Change]) -> bool:
    """Gives the functions that are there their changed code; whether each was there."""
    functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
    for before, after in changes:
        same = [each for each in functions if each.__code__ == before]
        if not same:
            return False
        try:
            for function in same:
                function.__code__ = after
        except ValueError:  # it uses other variables of the function around it
            return False
    return True


class _Judge:
    """A pytest plugin: in place of the tests' run, judges mutants with the tests as they are collected.

    Attributes:
        killed: the numbers of those that a test found.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.killed: list[int] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for number, job in enumerate(self.jobs):
            if job.changes is not None and job.tests:
                tests = [items[test] for test in job.tests if test in items]
                if in_fork(partial(self._run, session, job.changes, tests), job.limit) != 0:
                    self.killed.append(number)
        return True

    def _run(self, session: pytest.Session, changes: Sequence[Change], items: list[pytest.Item]) -> int:
        if not _apply(changes):
            return 0
        for item, following in zip(items, [*items[1:], None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return 1
        return 0


def found_quickly(jobs: Sequence[Job]) -> set[int]:
    """The numbers of those that tests find in functions that are already imported."""
    with tempfile.NamedTemporaryFile("r") as answer:

        def work() -> int:
            judge = _Judge(jobs)
            files = sorted({test.partition("::")[0] for job in jobs for test in job.tests})
            pytest.main(["-q", "-p", "no:cacheprovider", "-W", "ignore", *files], plugins=[judge])
            Path(answer.name).write_text(json.dumps(judge.killed), "utf-8")
            return 0

        in_fork(work, 12 * 60 * 60)
        return set(json.loads(answer.read() or "[]"))


def preload(tests: Sequence[str]) -> None:
    """Imports here what the tests import of other packages."""
    with tempfile.NamedTemporaryFile("r") as names:

        def work() -> int:
            pytest.main(["--collect-only", "-q", *tests])
            Path(names.name).write_text("\n".join(sys.modules), "utf-8")
            return 0

        in_fork(work, 120)
        for name in names.read().split("\n"):
            if name.split(".")[0] not in OURS and name not in sys.modules and "conftest" not in name:
                try:
                    importlib.import_module(name)
                except Exception:  # it is loaded where it is needed
                    continue


def run(files: Sequence[str], recorded: Coverage, sample: int) -> None:
    """Prints each survivor and the score of each file."""
    jobs: list[Job] = []
    for file in files:
        module = ast.parse((ROOT / file).read_text("utf-8"))
        every = list(mutants(module))
        chosen = random.Random(0).sample(every, min(sample, len(every)))
        for mutant in (Mutant(0, "unchanged", module), *chosen):
            tests = recorded.tests(file, mutant.line)
            seconds = sum(recorded.seconds[test] for test in tests)
            jobs.append(Job(file, mutant, changed_functions(file, mutant), tests, seconds))
    killed = found_quickly(jobs)
    for file in files:
        unchanged, *judged = (i for i, job in enumerate(jobs) if job.file == file)
        if unchanged in killed:
            print(f"{file}: its tests fail where nothing is changed.", flush=True)
            continue
        alive = [i for i in judged if i not in killed and survives(jobs[i])]
        for mutant in sorted((jobs[i].mutant for i in alive), key=lambda mutant: mutant.line):
            print(f"  {file}:{mutant.line}: {mutant.change}")
        print(f"{file}: {1 - len(alive) / max(1, len(judged)):.0%} of {len(judged)} killed", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("files", nargs="+", metavar="FILE", help="modules to change")
    parser.add_argument("--tests", nargs="+", required=True, metavar="FILE", help="files of tests")
    parser.add_argument(
        "--sample", type=int, default=10**6, metavar="N", help="at most N of a module, drawn at random"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="coverage that is kept for the next run")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # threads of a pool are not there in a fork
    os.environ.setdefault("ATELIER_DATA", tempfile.mkdtemp(prefix="latent-atelier-tests-"))
    if options.record is None or not options.record.is_file():
        path = options.record or Path(tempfile.mkdtemp()) / "coverage.json"

        def work() -> int:
            recorded = measure(options.tests)
            path.write_text(json.dumps([recorded.lines, recorded.seconds]), "utf-8")
            return 0

        if in_fork(work, 3600) != 0:
            sys.exit("The tests could not be run.")
    else:
        path = options.record
    lines, seconds = json.loads(path.read_text("utf-8"))
    numbered: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for file, found in lines.items():
        numbered[file] = {int(line): tests for line, tests in found.items()}
    preload(options.tests)
    run(options.files, Coverage(dict(numbered), seconds), options.sample)


if __name__ == "__main__":
    main()
