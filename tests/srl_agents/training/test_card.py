"""The model card of a run, and uploading it to a hub that is not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_agents.runs.config import make_config
from srl_agents.runs.files import write_json
from srl_agents.training.card import software
from srl_agents.training.run import train


class Hub:
    """What is uploaded to it; it refuses everything that ``refuses`` names."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}

    def whoami(self) -> dict[str, str]:
        self._maybe("whoami")
        return {"name": "me"}

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> str:
        self.repositories[name] = private
        return f"https://hub.test/{name}"

    def create_commit(
        self, repo: str, operations: Sequence[Any], *, commit_message: str
    ) -> SimpleNamespace:
        self._maybe("create_commit")
        for each in operations:
            content = each.path_or_fileobj
            read = content if isinstance(content, bytes) else Path(content).read_bytes()
            self.files[each.path_in_repo] = read
        return SimpleNamespace(commit_message=commit_message)

    def _maybe(self, what: str) -> None:
        if self.refuses == what:
            raise OSError(f"no {what} today\nand more lines")


@pytest.fixture
def upload(tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that trains and uploads to a hub, from the shell; the result."""

    def run(hub: Hub, *more: str) -> Any:
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
        write_json(tmp_path / "run.json", tree | {"budget": {"updates": 1}})
        arguments = ["train", "--config", str(tmp_path / "run.json"), *more]
        return CliRunner().invoke(app, arguments)

    return run


def test_the_card_says_how_the_model_was_made(tree: dict[str, Any]) -> None:
    evaluation = {"every": 1, "problems": 2, "rollouts": 1, "metric": "pass@1"}
    tree["env"]["options"] = {"letters": "ab"}
    result = train(make_config(tree | {"evaluation": evaluation, "budget": {"updates": 2}}))
    card = (result.folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "base_model" not in card, "a folder is no name on the hub"
    assert f"- **Base**: {tree['model']['path']}" in card
    assert "- **Weights**: all of them" in card
    assert "- **Method**: srl" in card
    assert "(letters = 'ab')" in card
    assert "- **Training**: 2 updates" in card
    assert "| srl | " in card
    assert "| pass@1 | " in card
    assert '"batch": 4' in card
    assert software() in card


def test_the_software_has_a_version_and_a_commit() -> None:
    assert software().startswith("srl-env ")


def test_a_model_is_uploaded_with_its_card(upload: Any, tree: dict[str, Any]) -> None:
    hub, out = Hub(), Path(tree["out"])
    result = upload(hub, "--push-to-hub", "me/letters")
    assert result.exit_code == 0, result.output
    assert "Uploaded: https://hub.test/me/letters" in result.output
    assert hub.repositories == {"me/letters": True}
    assert hub.files["README.md"] == (out / "README.md").read_bytes()
    names = {path.name for path in (out / "model").iterdir()}
    assert set(hub.files) == names | {"README.md"}
    assert hub.files["model.safetensors"] == (out / "model/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("hub", "repo", "message"),
    [
        (Hub(), "no such/name/at all", "--push-to-hub must be a name on the hub"),
        (Hub("whoami"), "me/letters", "cannot be written to (no whoami today). Fix: connect"),
    ],
)
def test_a_hub_that_cannot_be_written_to_is_noticed_before_the_training(
    upload: Any, tree: dict[str, Any], hub: Hub, repo: str, message: str
) -> None:
    result = upload(hub, "--push-to-hub", repo)
    assert result.exit_code != 0
    assert message in result.stderr.replace("\n", " ")
    assert not Path(tree["out"]).exists()


def test_an_upload_that_failed_can_be_repeated(upload: Any, tree: dict[str, Any]) -> None:
    result = upload(Hub("create_commit"), "--push-to-hub", "me/letters")
    assert result.exit_code != 0
    assert "--push-to-hub me/letters" in result.stderr.replace("\n", " ")
    hub = Hub()
    arguments = ["train", "--resume", tree["out"], "--push-to-hub", "me/letters"]
    monkeypatched = pytest.MonkeyPatch()
    monkeypatched.setattr(huggingface_hub, "HfApi", lambda: hub)
    again = CliRunner().invoke(app, arguments)
    monkeypatched.undo()
    assert again.exit_code == 0, again.output
    assert "README.md" in hub.files
