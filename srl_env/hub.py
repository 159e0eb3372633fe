"""The Hugging Face hub, which may be unreachable."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_COPIES = ("datasets.config",)  # modules that keep their own copy of the setting
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@contextmanager
def hub_or_cache(timeout_s: float = 2.0) -> Iterator[None]:
    """Inside, requests fail at once if the hub cannot be reached, and cached files are still read.

    This is the hub's own offline mode. Without it, its clients retry for half a minute.
    """
    import huggingface_hub.constants as hub

    if hub.HF_HUB_OFFLINE or _reachable(hub.ENDPOINT, timeout_s):
        yield
        return
    settings = [hub, *(sys.modules[name] for name in _COPIES if name in sys.modules)]
    for module in settings:
        vars(module)["HF_HUB_OFFLINE"] = True
    try:
        yield
    finally:
        for module in settings:
            vars(module)["HF_HUB_OFFLINE"] = False


def _reachable(endpoint: str, timeout_s: float) -> bool:
    """Whether a connection can be made; always true behind a proxy."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    place, found = urlsplit(endpoint), list[bool]()

    def connect() -> None:
        try:
            port = place.port or (80 if place.scheme == "http" else 443)
            socket.create_connection((place.hostname or "", port), timeout_s).close()
            found.append(True)
        except OSError:
            found.append(False)

    asking = threading.Thread(target=connect, daemon=True)  # a name lookup has no time limit
    asking.start()
    asking.join(timeout_s)
    return found == [True]
