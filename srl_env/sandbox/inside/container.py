"""A session in a container: the keeper as the container's process 1, speaking over its streams.

The engine has made the namespaces and the size-limited mounts. The tree lies at PRISTINE and is
copied, because a container without capabilities cannot mount an overlay.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from .keeper import Keeper, give_up_rights
from .memory import Watched
from .wire import Wire
from .workspace import Workspace, copy_tree

WORKSPACE: Final = "/workspace"
PRISTINE: Final = "/pristine"


def main(workspace: str = WORKSPACE, pristine: str = PRISTINE) -> None:
    """Serves one session whose description is the first message."""
    wire = Wire(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    try:
        spec, _ = wire.receive()
        if os.getpid() != 1:
            raise OSError("the keeper must be process 1 of its container (no --init, no --pid)")
        copy_tree(pristine, workspace)
        memory = Watched()  # the engine's cgroup holds the keeper as well
        give_up_rights(memory)
        keeper = Keeper(
            wire, Workspace.at(workspace, pristine), workspace, spec, memory, namespace=True
        )
    except Exception as error:  # noqa: BLE001  report anything to the controller
        with contextlib.suppress(OSError):
            wire.send({"failed": f"{type(error).__name__}: {error}"})
        return
    keeper.serve()
