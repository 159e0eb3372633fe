"""A model folder and its card to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from srl_env.errors import BadOption


def check_can_publish(repo: str) -> None:
    """Raises BadOption if ``repo`` is no name, or if nobody is logged in at the hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise BadOption(
            f"--push-to-hub must be a name on the hub, as 'me/my-model'; got {repo!r}"
        ) from None
    try:
        _hub().whoami()
    except Exception as error:  # its clients raise many kinds
        raise BadOption(
            f"--push-to-hub {repo}: the hub cannot be written to ({_line(error)})."
            " Fix: connect and run: hf auth login"
        ) from error


def publish(folder: Path, card: str, repo: str) -> str:
    """Uploads a model folder with its card, in one commit; the address of the model.

    A repository that does not exist is made, private. Raises BadOption if the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd

    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"
    )
    operations = [
        CommitOperationAdd(path.relative_to(folder).as_posix(), str(path)) for path in files
    ]
    operations.append(CommitOperationAdd("README.md", card.encode()))
    hub = _hub()
    try:
        made = hub.create_repo(repo, private=True, exist_ok=True)
        hub.create_commit(repo, operations, commit_message="Model trained with srl-env")
    except Exception as error:
        raise BadOption(f"{repo} was not written to the hub: {_line(error)}") from error
    return str(made)


def _hub() -> Any:
    import huggingface_hub

    return huggingface_hub.HfApi()


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
