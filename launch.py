"""Starts Latent Atelier: `python launch.py`.  Needs nothing but Python 3.10 or newer.

Makes `.venv` beside this file, installs what `requirements.txt` pins, starts itself again inside and hands
over to `app.commands.cli`.
A stamp in `.venv` holds a hash of the requirements, so a second start runs no pip.
`python launch.py test` installs `requirements-dev.txt` as well.

Standard library only.  No `from __future__` and no new syntax before the version check, so that an older
Python prints the sentence below instead of a SyntaxError.
"""

import sys

if sys.version_info < (3, 10):
    sys.exit(
        "Latent Atelier needs Python 3.10 or newer; this is Python %d.%d. "
        "Install a newer one from https://www.python.org/downloads/ and start again with it."
        % sys.version_info[:2]
    )

import hashlib
import os
import shutil
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements.txt"
DEV_REQUIREMENTS = ROOT / "requirements-dev.txt"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
INSIDE = "ATELIER_INSIDE"  # set for the second start, so that a broken .venv cannot loop
SOME_PACKAGES = ("gradio", "torch", "numpy", "PIL")  # what has to be there if the stamp is right


class LaunchError(Exception):
    """Something that the person at the keyboard has to know; the message says what to do."""


def venv_python(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def is_inside() -> bool:
    """Whether this very interpreter is the one of the virtual environment."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def is_usable(folder: Path) -> bool:
    """Whether the environment's Python starts, is new enough and has pip: a half-made one does not."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 10))"
    try:
        return (
            subprocess.run([venv_python(folder), "-c", check], capture_output=True, timeout=60).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def make_venv(folder: Path) -> None:
    """Makes the virtual environment anew, whatever was there.

    Raises:
        LaunchError: the folder cannot be written, or this Python has neither ensurepip nor pip.
    """
    say("Making %s with Python %d.%d ..." % (folder.name, *sys.version_info[:2]))
    try:
        try:
            import ensurepip  # noqa: F401  (Debian's bare python3 lacks it)

            venv.create(folder, clear=True, with_pip=True)
        except (ImportError, subprocess.CalledProcessError):
            venv.create(folder, clear=True, with_pip=False)
            pip = [
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(venv_python(folder)),
                "install",
                "--quiet",
                "pip",
            ]
            if subprocess.call(pip) != 0:
                raise LaunchError(
                    "This Python can make no virtual environment with pip. On Debian or Ubuntu run "
                    f"'apt install python3-venv' (or python3.{sys.version_info[1]}-venv), then start again."
                ) from None
    except OSError as error:
        raise LaunchError(
            f"Could not make {folder.name} beside launch.py: {error.strerror or error}. "
            "Check that the folder can be written and the disk has about 3 GB free, then start again."
        ) from None


def fingerprint(requirements: Path) -> str:
    """A hash of everything an installation depends on: the pinned files and the Python version."""
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for path in sorted({REQUIREMENTS, requirements}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp_of(requirements: Path) -> Path:
    """The file that says which requirements were installed completely."""
    return VENV / f".installed-{requirements.stem}"


def is_installed(requirements: Path) -> bool:
    """Whether exactly these requirements were installed and the packages are still there."""
    from importlib.util import find_spec

    try:
        same = stamp_of(requirements).read_text() == fingerprint(requirements)
    except OSError:
        return False
    return same and all(find_spec(name) is not None for name in SOME_PACKAGES)


def install(requirements: Path) -> None:
    """Installs the pinned packages into this environment; pip shows its progress.

    Where they come from is said by pip's own configuration (a mirror, a proxy, constraints), which stays.

    Raises:
        LaunchError: pip failed.
    """
    stamp = stamp_of(requirements)
    stamp.unlink(missing_ok=True)
    say(f"Installing the packages of {requirements.name}. The first time this takes some minutes.")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if wants_cpu_torch():
        # A tenth of the size of the default build; pip prefers 2.13.0+cpu to 2.13.0.
        # torch alone: all else comes from where this person's packages come from.
        say(f"There is no NVIDIA driver here: looking for the smaller build of torch, also at {CPU_WHEELS}.")
        subprocess.call([*pip, "--no-deps", "--extra-index-url", CPU_WHEELS, torch_pin()])
    if subprocess.call([*pip, "-r", str(requirements)]) != 0:
        raise LaunchError(
            "The packages could not be installed; pip's lines above say why. Without a network connection, "
            "connect and start again: what was downloaded is kept. "
            "If pip found no version of torch, use Python 3.10 to 3.13."
        )
    stamp.write_text(fingerprint(requirements))
    say("Everything is installed.")


def torch_pin() -> str:
    """The line of requirements.txt that pins torch."""
    lines = (line.strip() for line in REQUIREMENTS.read_text().splitlines())
    return next((line for line in lines if line.startswith("torch==")), "torch")


def wants_cpu_torch() -> bool:
    """Linux without an NVIDIA driver, and torch is not there yet."""
    from importlib.util import find_spec

    nvidia = Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None
    return sys.platform == "linux" and not nvidia and find_spec("torch") is None


def start_inside(arguments: list[str]) -> int:
    """Starts this file again with the environment's Python; does not return on POSIX."""
    if os.environ.get(INSIDE) == str(VENV):
        raise LaunchError(f"{VENV.name} does not start properly. Delete that folder and start again.")
    os.environ[INSIDE] = str(VENV)
    python = str(venv_python(VENV))
    command = [python, str(ROOT / "launch.py"), *arguments]
    if os.name == "nt":  # exec on Windows detaches from the console
        return subprocess.call(command)
    os.execv(python, command)


def say(line: str) -> None:
    """Prints at once, also where the output is a file; errors and news go to stderr."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    try:
        if not is_inside():
            if not is_usable(VENV):
                make_venv(VENV)
            return start_inside(arguments)
        os.environ.pop(INSIDE, None)
        requirements = DEV_REQUIREMENTS if arguments[:1] == ["test"] else REQUIREMENTS
        if not is_installed(requirements):
            install(requirements)
    except LaunchError as error:
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. Start again to go on where it was.")
        return 130
    from app.commands.cli import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
