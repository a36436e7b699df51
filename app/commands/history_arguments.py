"""The arguments of `launch.py history`; what they stand for is imported when they are used."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date

CARRIES = ("everything", "settings", "nothing")
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], run: Callable[[argparse.Namespace], int]
) -> None:
    """Adds the command's arguments; `run` gets them."""
    history = commands.add_parser("history", help="search, rebuild and export the pictures that were made")
    actions = history.add_subparsers(dest="action", metavar="ACTION", required=True)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--outputs", metavar="DIR", help="the folder of the pictures; default outputs/")
    sought = argparse.ArgumentParser(add_help=False, parents=[where])
    sought.add_argument("words", nargs="*", help="of the prompt, the model or a LoRA; a seed")
    for name in ("task", "model", "lora", "seed", "board"):
        sought.add_argument(f"--{name}", default="")
    for name in ("since", "until"):
        sought.add_argument(f"--{name}", type=_day, metavar="YYYY-MM-DD")
    sought.add_argument("--starred", action="store_true", help="with a star only")
    sought.add_argument("--trash", action="store_true", help="look in the trash")
    sought.add_argument("--person", help="id of a guest, or all; default: the owner")
    search = actions.add_parser("search", parents=[sought], help="print the files found, the newest first")
    search.add_argument("--limit", type=int, metavar="N", help="print at most so many")
    search.add_argument("--json", action="store_true", help="print JSON")
    export = actions.add_parser("export", parents=[sought], help="write what is found into a zip")
    export.add_argument("--out", metavar="FILE.zip", required=True)
    export.add_argument("--carries", choices=CARRIES, default="everything", help="what goes along inside")
    export.add_argument("--format", choices=FORMATS, default="PNG", type=str.upper)
    actions.add_parser("rebuild", parents=[where], help="read every file again")
    history.set_defaults(run=run)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2026-11-21") from None
