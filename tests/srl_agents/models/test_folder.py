"""Names of models that cannot be one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srl_agents.models.folder import check_model, model_folder
from srl_agents.runs.config import make_config
from srl_env.errors import BadOption


@pytest.mark.parametrize("name", ["x", "Qwen/Qwen2.5-7B-Instruct"])
def test_what_may_be_a_name_on_the_hub_is_not_looked_up(name: str) -> None:
    check_model(name)


@pytest.mark.parametrize("name", ["models/missing", "runs/missing", "./missing", "a/b/c", "~/none"])
def test_what_is_no_name_on_the_hub_is_a_folder_that_has_to_be_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadOption, match=f"no folder '{name}'; give a folder that holds config"):
        check_model(name)


def test_a_folder_needs_a_model_and_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"holds no config\.json"):
        check_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadOption, match="holds no tokenizer"):
        check_model(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    check_model(str(tmp_path))


def test_a_finished_run_stands_for_its_model(tmp_path: Path) -> None:
    assert model_folder(str(tmp_path)) == str(tmp_path)
    (tmp_path / "config.json").write_text('{"budget": {}}')
    assert model_folder(str(tmp_path)) == str(tmp_path)
    with pytest.raises(BadOption, match=r"is a run that has not finished; resume it \(srl-env t"):
        check_model(str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert model_folder(str(tmp_path)) == str(tmp_path / "model")
    run = {"out": "", "env": {"id": "srl/ModularChain-v0"}, "budget": {"updates": 1}}
    config = make_config({**run, "model": {"path": str(tmp_path)}})
    assert config.model.path == str(tmp_path / "model")


def test_a_folder_of_runs_in_place_of_a_model_is_answered_with_their_models(tmp_path: Path) -> None:
    models = [tmp_path / "study" / "runs" / f"srl-{seed}" / "run" / "model" for seed in range(8)]
    for model in models:
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
    named = " or ".join(map(str, models[:6]))
    for folder in (tmp_path / "study", tmp_path / "study" / "runs"):
        with pytest.raises(BadOption) as raised:
            check_model(str(folder))
        assert str(raised.value).endswith(f"Give {named} or one of 2 more")


def test_a_run_in_place_of_its_model_is_answered_with_the_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for folder in (tmp_path, tmp_path / "model"):
        (folder / "config.json").write_text("{}")
    with pytest.raises(BadOption, match=r"is a run, not a model; did you mean .*/model\?"):
        check_model(str(tmp_path))


def test_adapters_need_their_base(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    adapter = tmp_path / "adapter_config.json"
    for text, got in (
        ("{}", "must name a base model; got KeyError"),
        ('{"base_model_name_or_path": null}', "whose base model must be there; got None"),
        (
            '{"base_model_name_or_path": "runs/gone/model"}',
            "whose base model must be there; got 'runs/gone/model', which is no folder here. Fix",
        ),
    ):
        adapter.write_text(text)
        with pytest.raises(BadOption, match=got):
            check_model(str(tmp_path))
    for base in (str(tmp_path), "Qwen/Qwen3-0.6B"):  # a folder; a name on the hub
        adapter.write_text(json.dumps({"base_model_name_or_path": base}))
        check_model(str(tmp_path))


def test_a_folder_with_a_gguf_file_is_answered_with_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "model-q8.gguf").write_bytes(b"GGUF")
    for source in (tmp_path, tmp_path / "model-q8.gguf"):
        with pytest.raises(BadOption, match=r"model-q8.gguf is a GGUF file.* Fix: srl-env fetch"):
            check_model(str(source))
