"""The program's log: a line of JSON for each thing that happened, in the data folder; faults on the
terminal too.

Nobody's words or pictures are in it: a line says which job, which task and how large.  Levels are those of
Python; `ATELIER_LOG` names the least one that is written, by default INFO.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path

NAME = "log.jsonl"
BYTES = 5_000_000  # of a file; the one before is kept
OURS = ("app", "ldm_core")
_USUAL = frozenset(vars(logging.makeLogRecord({})))


class JsonLines(logging.Formatter):
    """A record as a line: time, level, where, what, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "in": record.name,
            "said": record.getMessage(),
            **extra,
        }
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)
            line["error"] = type(error).__name__
            line["at"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=False, default=str)


def begin(folder: Path) -> None:
    """Writes the log into a folder; where that is not possible, warnings go to the terminal alone."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [shown]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = RotatingFileHandler(folder / NAME, maxBytes=BYTES, backupCount=1, encoding="utf-8")
        kept.setFormatter(JsonLines())
        handlers.append(kept)
    except OSError as error:
        print(f"No log is written: {error.strerror}.", file=sys.stderr)
    level = logging.getLevelName(os.environ.get("ATELIER_LOG", "INFO").upper())
    for name in OURS:
        logger = logging.getLogger(name)
        logger.setLevel(level if isinstance(level, int) else logging.INFO)
        logger.handlers = handlers
        logger.propagate = False
