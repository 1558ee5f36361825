"""Fetches DynamoDB Local for the tests: by npm, into a folder of the user's cache.

Its licence lets everybody use it and nobody hand it on, so it is never a part of this project. It is fetched from where
it is published: inside an npm package, of which nothing else is kept and nothing is run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_PACKAGE = "amplify-dynamodb-simulator@2.9.30"
_INSIDE = "package/emulator"


def unpacked_dynamodb() -> Path:
    """Return the folder of DynamoDB Local; it is there if it has been fetched."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bulkwriter" / "dynamodb-local"


def fetch_dynamodb() -> None:
    """Fetch and unpack it, unless it is there.

    Raises:
        OSError: There is no npm, or no tar.
        subprocess.CalledProcessError: npm could not fetch it.
    """
    home = unpacked_dynamodb()
    if home.exists():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        _run("tar", "-xzf", str(_download(Path(folder))), "-C", folder)
        kept = Path(folder) / _INSIDE
        # At once: another run that looks meanwhile finds all of it or nothing.
        if not home.exists():
            kept.rename(home)


def _download(folder: Path) -> Path:
    """Return the package, whose checksum npm has compared with the registry's."""
    npm = shutil.which("npm")
    if npm is None:
        message = "there is no npm to fetch DynamoDB Local by"
        raise FileNotFoundError(message)
    told = _run(npm, "pack", "--json", "--pack-destination", str(folder), _PACKAGE)
    return folder / str(json.loads(told)[0]["filename"])


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return done.stdout
