"""The commands behind `python launch.py`.  Each imports what it needs, so that none waits for the others."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Sequence

from app.commands import history_arguments
from app.web.server import Options

MODELS_DIR = "look for models there as well, as often as wanted"


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit status.  Without a command, `run`."""
    # Read when torch is loaded.  By default a thread that waits for the others keeps its core busy; beside
    # another program on two cores that made a step of a small network take 100 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(arguments)
    if arguments and arguments[0] in FORWARDED:
        return _forward(FORWARDED[arguments[0]], arguments[1:])
    known = ("run", "generate", "models", "history", "users", "doctor", *FORWARDED)
    if not arguments or (arguments[0] not in known and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "run")
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _forward(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    from ldm_core.errors import AtelierError

    try:
        return command(arguments)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="launch.py", description="Pictures with latent diffusion models.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_generate(commands)
    _add_models(commands)
    history_arguments.add_parser(commands, _history)
    _add_users(commands)
    _add_doctor(commands)
    for name, text in (
        ("train", "train a model (python launch.py train --help)"),
        ("export", "write a training's model for use (python launch.py export --help)"),
        ("evaluate", "measure a model (python launch.py evaluate --help)"),
        ("bench", "measure the speed (python launch.py bench --help)"),
        ("test", "install what the tests need and run them all"),
    ):
        commands.add_parser(name, help=text, add_help=False)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="open the page (also without any command)")
    run.add_argument("--host", default="127.0.0.1", help="the address to listen on; default 127.0.0.1")
    run.add_argument("--port", type=_port, help="default: the first free one from 7860 on")
    run.add_argument("--share", action="store_true", help="make a public link, with a password")
    run.add_argument(
        "--password",
        action="store_true",
        help="ask for the password of guests (or ATELIER_PASSWORD); default: one that is made and told",
    )
    run.add_argument("--password-file", metavar="FILE", help="whose first line is that password")
    run.add_argument(
        "--user",
        metavar="NAME[:owner]",
        action="append",
        default=[],
        help="somebody who enters by an own password, which is made and told once; as often as wanted",
    )
    run.add_argument(
        "--proxy",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="of a proxy in front of the program that says for whom it asks, as often as wanted",
    )
    run.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name under which the program is reached, as often as wanted",
    )
    run.add_argument("--no-browser", action="store_true", help="open no browser window")
    run.add_argument("--outputs", metavar="DIR", help="where finished pictures go; default outputs/")
    _add_engine_options(run)
    run.set_defaults(run=_run)


def _add_generate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    generate = commands.add_parser("generate", help="make pictures without a page")
    generate.add_argument(
        "request", metavar="REQUEST.json|PICTURE.png", help="a request, or a saved picture; - reads JSON"
    )
    generate.add_argument("--out", metavar="DIR", default="outputs", help="where to save; default outputs/")
    generate.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="another value for a field, as often as wanted",
    )
    generate.add_argument(
        "--grid",
        metavar="FIELD=VALUES",
        action="append",
        default=[],
        help="a picture for each value, up to three times, as in steps='10-50 (+10)'",
    )
    generate.add_argument("--events", action="store_true", help="print what happens as JSON lines")
    _add_engine_options(generate)
    generate.set_defaults(run=_generate)


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser("models", help="list models, add and remove them")
    where = argparse.ArgumentParser(add_help=False)
    # Given before or behind the action; what is not given behind must not undo what was given before.
    for parser, missing in ((models, None), (where, argparse.SUPPRESS)):
        parser.add_argument("--models-dir", action="append", default=missing, metavar="DIR", help=MODELS_DIR)
        parser.add_argument("--json", action="store_true", default=missing, help="print JSON")
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", parents=[where], help="everything in the folders (also without any action)")
    info = actions.add_parser("info", parents=[where], help="everything known of one model")
    info.add_argument("name")
    add = actions.add_parser("add", parents=[where], help="add a file or folder, or fetch from the hub")
    add.add_argument("what", metavar="PATH|NAME|OWNER/NAME", help="a path; a curated name; a hub's id")
    add.add_argument("--link", action="store_true", help="link the file instead of copying it")
    add.add_argument("--yes", action="store_true", help="ask nothing")
    remove = actions.add_parser("remove", parents=[where], help="delete a model from models/")
    remove.add_argument("name")
    remove.add_argument("--yes", action="store_true", help="ask nothing")
    models.set_defaults(run=_models)


def _add_users(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    users = commands.add_parser("users", help="who may enter a page that others can reach")
    actions = ("list", "add", "renew", "remove", "sign-out")
    users.add_argument("action", choices=actions, help="sign-out ends sessions, everybody's without a name")
    users.add_argument("name", nargs="?")
    users.add_argument("--owner", action="store_true", help="of a new one: may do what the owner may")
    users.set_defaults(run=_users)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="print what a bug report needs")
    doctor.add_argument(
        "--report", metavar="FILE", help="write it to a file, with the log's last lines and nothing private"
    )
    _add_engine_options(doctor)
    doctor.set_defaults(run=_doctor)


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models-dir", action="append", default=[], metavar="DIR", help=MODELS_DIR)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: the best there is")


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else 0
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; it has to be a whole number from 1 to 65535")
    return port


def _password(options: argparse.Namespace) -> str | None:
    """That guests share, from wherever it was given; None where it was not.

    Raises:
        FileError: it is too easily guessed, or its file cannot be read.
    """
    from app.keeping.accounts import weakness
    from ldm_core.errors import FileError

    given = os.environ.pop("ATELIER_PASSWORD", None)
    if options.password_file is not None:
        try:
            with open(options.password_file, encoding="utf-8") as file:
                given = file.readline().rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise FileError(f"{options.password_file} cannot be read: {error}.") from None
    if options.password:
        given = getpass.getpass("Password of guests: ")
    if given is not None and (weak := weakness(given)):
        raise FileError(f"Another password is needed: {weak}.")
    return given


def _run(options: argparse.Namespace) -> int:
    from app.web.server import serve
    from ldm_core.errors import AtelierError

    try:
        password = _password(options)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 2
    return serve(
        Options(
            host=options.host,
            port=options.port,
            browser=not options.no_browser,
            models=tuple(options.models_dir),
            outputs=options.outputs,
            device=options.device,
            share=options.share,
            password=password,
            users=tuple(options.user),
            proxies=tuple(options.proxy),
            hosts=tuple(options.allow_host),
        )
    )


def _generate(options: argparse.Namespace) -> int:
    from app.commands.generate import generate

    return generate(
        options.request,
        options.out,
        options.set,
        options.models_dir,
        options.device,
        options.events,
        options.grid,
    )


def _models(options: argparse.Namespace) -> int:
    from app.commands import models as models_cli
    from ldm_core.errors import AtelierError

    folders, as_json = options.models_dir or [], bool(options.json)
    try:
        if options.action == "info":
            return models_cli.show(folders, options.name, as_json)
        if options.action == "add":
            return models_cli.add(folders, options.what, link=options.link, yes=options.yes)
        if options.action == "remove":
            return models_cli.remove(folders, options.name, yes=options.yes)
        return models_cli.list_models(folders, as_json)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What has come is kept; the same command goes on from there.", file=sys.stderr)
        return 130


def _history(options: argparse.Namespace) -> int:
    from app.commands.history import history
    from ldm_core.errors import AtelierError

    try:
        return history(options)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 1


def _users(options: argparse.Namespace) -> int:
    from app.commands.users import users
    from ldm_core.errors import AtelierError

    try:
        return users(options.action, options.name, is_owner=options.owner)
    except AtelierError as error:
        print(error, file=sys.stderr)
        return 1


def _doctor(options: argparse.Namespace) -> int:
    from app.commands.doctor import report, write_report

    if options.report is None:
        print(report(options.models_dir, options.device))
        return 0
    try:
        write_report(options.report, options.models_dir, options.device)
    except OSError as error:
        print(f"{options.report} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"{options.report} has what a bug report needs. Read it before you send it.")
    return 0


def _train(arguments: Sequence[str]) -> int:
    from ldm_core.training.cli import main as train

    train(list(arguments))
    return 0


def _export(arguments: Sequence[str]) -> int:
    from ldm_core.training.cli import export

    export(list(arguments))
    return 0


def _evaluate(arguments: Sequence[str]) -> int:
    from ldm_core.evaluation.cli import main as evaluate

    evaluate(list(arguments))
    return 0


def _bench(arguments: Sequence[str]) -> int:
    from app.commands.bench import main as bench

    return bench(arguments)


def _test(arguments: Sequence[str]) -> int:
    from app.commands.test import main as test

    return test(arguments)


FORWARDED: dict[str, Callable[[Sequence[str]], int]] = {
    "train": _train,
    "export": _export,
    "evaluate": _evaluate,
    "bench": _bench,
    "test": _test,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
