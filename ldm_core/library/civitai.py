"""Files on Civitai, by the address of a page or of a file.

https://developer.civitai.com/docs/api/public-rest
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping

from ldm_core.errors import FetchError
from ldm_core.library.download import RemoteFile, Web, ask
from ldm_core.wording import shown

CIVITAI = "https://civitai.com"
_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?civitai\.com/(?:"
    r"models/(?P<model>\d{1,12})(?:/[^?#]*)?(?:\?(?:.*&)?modelVersionId=(?P<version>\d{1,12}).*)?"
    r"|api/download/models/(?P<file>\d{1,12})(?:\?.*)?)(?:[?#].*)?"
)


def endpoint() -> str:
    """Civitai's address: `CIVITAI_ENDPOINT`, else the public one."""
    return os.environ.get("CIVITAI_ENDPOINT") or CIVITAI


def web(stop: threading.Event | None) -> Web:
    return Web(endpoint(), os.environ.get("CIVITAI_TOKEN", ""), stop)


def is_address(reference: str) -> bool:
    return _ADDRESS.fullmatch(reference) is not None


def look_there(reference: str, stop: threading.Event | None) -> tuple[str, str, RemoteFile]:
    """(name, version, file) at an address.

    Raises:
        FetchError: there is no such thing, or Civitai cannot be asked.
    """
    match = _ADDRESS.fullmatch(reference)
    assert match is not None
    version = match["version"] or match["file"]
    with web(stop) as asked:
        if version is None:
            versions = ask(asked, f"/api/v1/models/{match['model']}", "that model").get("modelVersions")
            newest = versions[0] if isinstance(versions, list) and versions else None
            version = str(newest.get("id")) if isinstance(newest, dict) else ""
        if not version.isdecimal():
            raise FetchError(f"{shown(reference, 60)} has no version to fetch.")
        answer = ask(asked, f"/api/v1/model-versions/{version}", f"version {version}")
    model = answer.get("model")
    title = model.get("name") if isinstance(model, dict) else None
    file = _file(answer.get("files"), version)
    return str(title)[:80] if title else file.path, version, file


def _file(rows: object, version: str) -> RemoteFile:
    """The main file of a version."""
    files = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    main = next((row for row in files if row.get("primary")), files[0] if files else None)
    if main is None:
        raise FetchError(f"Version {version} on Civitai has no file.")
    name, size = main.get("name"), main.get("sizeKB")
    hashes = main.get("hashes")
    sha256 = str(hashes.get("SHA256", "")).lower() if isinstance(hashes, Mapping) else ""
    safe = isinstance(name, str) and re.fullmatch(r"[^/\\:\x00-\x1f.][^/\\:\x00-\x1f]{0,150}", name)
    if not safe or not isinstance(size, int | float) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise FetchError(f"What Civitai says of version {version} is not complete; fetch it by a browser.")
    return RemoteFile(str(name), round(size * 1024), sha256, "", f"/api/download/models/{version}")
