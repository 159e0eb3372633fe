"""Configurations: read, overridden, checked whole, and refused with the dotted key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from srl_agents.methods.shipped import get_method
from srl_agents.objectives import GRPO, NLL
from srl_agents.runs.config import load_config, make_config
from srl_agents.runs.settings import with_overrides
from srl_agents.runs.validation import _OTHER_WORDS
from srl_env.errors import BadOption, UnknownName, UserError

LEAST: dict[str, Any] = {
    "out": "runs/x",
    "env": {"id": "srl/ModularChain-v0"},
    "model": {"path": "runs/base"},
    "budget": {"updates": 3},
}
SERVED = ["policy.sampler=vllm-server", "policy.base_url=http://localhost:8000"]


def test_defaults_are_those_of_the_shipped_method() -> None:
    config = make_config(LEAST)
    assert config.resolved_method == get_method("srl-rlvr")


def test_train_changes_every_stage_that_has_the_field() -> None:
    overrides = ["method=sft-rlvr", "train.lr=3e-4", "train.objective.temperature=1.2"]
    sft, rlvr = make_config(with_overrides(LEAST, overrides)).resolved_method.stages
    assert (sft.lr, rlvr.lr) == (3e-4, 3e-4)
    assert isinstance(sft.objective, NLL)
    assert isinstance(rlvr.objective, GRPO)
    assert rlvr.objective.temperature == 1.2


def test_one_stages_own_change_wins() -> None:
    overrides = ["train.lr=1e-3", "stages.rlvr.lr=1e-4", "stages.srl.fraction=0.5"]
    srl, rlvr = make_config(with_overrides(LEAST, overrides)).resolved_method.stages
    assert (srl.lr, rlvr.lr, srl.fraction) == (1e-3, 1e-4, 0.5)


def test_one_configuration_serves_several_methods() -> None:
    overrides = ["train.objective.max_tokens=9", "stages.srl.lr=1e-3", "stages.rlvr.lr=1e-4"]
    for method in ("sft", "rlvr", "srl", "sft-rlvr"):
        make_config(with_overrides(LEAST, [*overrides, f"method={method}"]))


def test_off_empties_a_field_and_never_what_an_environment_is_given() -> None:
    overrides = [
        "stages.srl.until.informative=off",
        "budget.updates=off",
        "budget.tokens=100",
        "env.options.hints=off",
    ]
    config = make_config(with_overrides(LEAST, overrides))
    assert config.resolved_method.stages[0].until.informative is None
    assert (config.budget.updates, config.budget.tokens) == (None, 100)
    assert config.env.options == {"hints": "off"}


def test_a_method_may_be_written_out() -> None:
    stages = [
        {
            "name": "imitate",
            "objective": {"kind": "nll"},
            "starts": {"at": "prefix"},
            "fraction": 0.2,
        },
        {"name": "refine", "objective": {"reward_mode": "hybrid"}},
    ]
    method = make_config({**LEAST, "method": stages}).resolved_method
    assert method.name == "imitate-refine"
    assert isinstance(method.stages[0].objective, NLL)
    assert isinstance(method.stages[1].objective, GRPO)
    assert method.stages[1].objective.reward_mode == "hybrid"


def test_toml_and_json_files_with_overrides(tmp_path: Path) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text(
        'out = "o"\n[env]\nid = "e"\noptions.split = "train"\n[model]\npath = "p"\n'
        "[budget]\nseconds = 9\n[stages.srl.objective]\nclip_high = 0.28\n"
    )
    config = load_config(toml, ["seed=5", "model.dtype=bfloat16", "model.lora.rank=4"])
    assert (config.seed, config.model.dtype, config.env.options) == (
        5,
        "bfloat16",
        {"split": "train"},
    )
    assert isinstance(config.resolved_method.stages[0].objective, GRPO)
    assert config.resolved_method.stages[0].objective.clip_high == 0.28
    saved = tmp_path / "config.json"
    saved.write_text(config.model_dump_json())
    assert load_config(saved) == config


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("transfer={}", {"transfer": {}, "seeds": [1]}),
        ("transfer.a={}", {"transfer": {"a": {}, "b": 2}, "seeds": [1]}),
        ("transfer={b = 3}", {"transfer": {"a": {"n": 1}, "b": 3}, "seeds": [1]}),
        ('transfer={"c": 4}', {"transfer": {"a": {"n": 1}, "b": 2, "c": 4}, "seeds": [1]}),
        ("new={}", {"transfer": {"a": {"n": 1}, "b": 2}, "seeds": [1], "new": {}}),
    ],
)
def test_an_empty_table_empties_and_any_other_changes_its_own_keys(
    override: str, expected: dict[str, Any]
) -> None:
    tree = {"transfer": {"a": {"n": 1}, "b": 2}, "seeds": [1]}
    assert with_overrides(tree, [override]) == expected


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("outt=x", "'outt'. Did you mean 'out'?"),
        ("train.lrr=1", "'train.lrr'. Did you mean 'train.lr'?"),
        ("train.objective.temprature=1", "Did you mean 'train.objective.temperature'?"),
        ("stages.srl.lrr=1", "'stages.srl.lrr'. Did you mean 'stages.srl.lr'?"),
        ("stages.srll.lr=1", "'srll'. Did you mean 'srl'?"),
        ("stages.srl.objective.groupsize=4", "Did you mean 'stages.srl.objective.group_size'?"),
        ("stages.srl.starts.target=all", "Did you mean 'stages.srl.starts.targets'?"),
        ("optimizer.max_grad=1", "Did you mean 'optimizer.max_grad_norm'?"),
        ("model.lora.rnk=1", "'model.lora.rnk'. Did you mean 'model.lora.rank'?"),
        ("method=srl-rlv", "no method 'srl-rlv'. Did you mean 'srl-rlvr'?"),
        ('method=[{name="a", objective={kind="nl"}}]', "no objective 'nl'. Did you mean 'nll'?"),
    ],
)
def test_unknown_keys_are_errors_with_a_suggestion(override: str, suggestion: str) -> None:
    with pytest.raises(UnknownName) as error:
        make_config(with_overrides(LEAST, [override]))
    assert suggestion in str(error.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("train.learning_rate", "train.lr"),
        ("learning_rate", "train.lr"),
        ("learningRate", "train.lr"),
        ("optimizer.lr", "train.lr"),
        ("train.optimizer.learning-rate", "train.lr"),
        ("stages.srl.learning_rate", "stages.srl.lr"),
        ("stages.srl.objective.lr", "stages.srl.lr"),
        ("budget.steps", "budget.updates"),
        ("budget.max_steps", "budget.updates"),
        ("epochs", "budget.updates"),
        ("train.epochs", "budget.updates"),
        ("budget.time", "budget.seconds"),
        ("budget.max_tokens", "budget.tokens"),
        ("train.batch_size", "train.batch"),
        ("optimizer.batch_size", "train.batch"),
        ("train.max_new_tokens", "train.objective.max_tokens"),
        ("stages.rlvr.objective.max_new_tokens", "stages.rlvr.objective.max_tokens"),
        ("train.temperature", "train.objective.temperature"),
        ("policy.temperature", "train.objective.temperature"),
        ("stages.rlvr.temperature", "stages.rlvr.objective.temperature"),
        ("train.num_generations", "train.objective.group_size"),
        ("group_size", "train.objective.group_size"),
        ("train.beta", "train.objective.kl"),
        ("train.objective.beta", "train.objective.kl"),
        ("train.kl_coef", "train.objective.kl"),
        ("train.gradient_accumulation_steps", "optimizer.micro_batch_tokens"),
        ("optimizer.grad_clip", "optimizer.max_grad_norm"),
        ("optimizer.epsilon", "optimizer.eps"),
        ("train.epsilon", "train.objective.clip_low"),
        ("model.name", "model.path"),
        ("model_name_or_path", "model.path"),
        ("env.name", "env.id"),
        ("env.kwargs", "env.options"),
        ("lora", "model.lora"),
        ("train.save_steps", "checkpoint.every"),
        ("report_to", "log.tracker"),
        ("output_dir", "out"),
        ("objective", "train.objective"),
        ("train.objective.kind", "stages.STAGE.objective.kind"),
        ("train.starts.prefix.kind", "stages.STAGE.starts.prefix.kind"),
        ("starts", "train.starts"),
        ("until", "train.until"),
        ("auxiliary", "train.auxiliary"),
    ],
)
def test_keys_of_other_trainers_suggest_the_key_here(given: str, meant: str) -> None:
    with pytest.raises(UnknownName) as error:
        make_config(with_overrides(LEAST, [f"{given}=1"]))
    assert str(error.value) == f"no configuration key {given!r}. Did you mean {meant!r}?"


def test_a_list_of_tables_is_set_as_toml_and_as_json() -> None:
    as_toml = with_overrides({}, ['a.terms=[{kind = "nll", weight = 0.5}]', "a.names=[one, two"])
    assert as_toml == {"a": {"terms": [{"kind": "nll", "weight": 0.5}], "names": "[one, two"}}
    as_json = with_overrides({}, ['a.terms=[{"kind": "nll", "weight": 0.5}]', "a.names=null"])
    assert as_json == {"a": {"terms": [{"kind": "nll", "weight": 0.5}], "names": "null"}}


@pytest.mark.parametrize("key", _OTHER_WORDS)
def test_every_suggested_key_is_a_key_of_a_run(key: str) -> None:
    with pytest.raises(UserError) as error:  # the value is none of this key's
        make_config(with_overrides(LEAST, [f"{key}=[{{}}]"]))
    assert not str(error.value).startswith("no configuration key")


def test_an_unknown_key_is_named_before_the_one_that_it_stands_for() -> None:
    with pytest.raises(UnknownName, match="'model.name'. Did you mean 'model.path'"):
        make_config({**LEAST, "model": {"name": "runs/base"}})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget.seconds=1", "exactly one of updates, seconds, tokens; got"),
        ("model.lora.rank=0", "model.lora.rank must be greater than or equal to 1; got 0"),
        ("stages.srl.starts.at=end", "stages.srl.starts.at must be 'problem' or 'prefix'"),
        ("stages.srl.batch=many", "stages.srl.batch must be a valid integer"),
        ("train.lr=abc", r"^train\.lr must be a valid number"),
        ("stages.srl.lr=abc", r"^stages\.srl\.lr must be a valid number"),
        ("stages.srl.objective=3", "stages.srl.objective must be a table of settings; got 3"),
        (
            "stages.srl.objective.group_size=1",
            "objective.group_size must be greater than or equal to 2; got 1",
        ),
        ("optimizer.betas=[0.9,1.0]", "optimizer.betas.1 must be less than 1; got 1.0"),
        ("stages.srl.betas=[0.5,1.0]", "stages.srl.betas.1 must be less than 1; got 1.0"),
        ("train.objective.max_drop=1.5", "max_drop must be less than or equal to 0.99; got 1.5"),
        ("model.dtype=bfloat16", "model.dtype: .*autocast"),
        (
            "env=srl/ModularChain-v0",
            "env must be a table with id, options, problems and experts; got 'srl/",
        ),
        ("log=[1]", r"log must be a table with tensorboard, .* and kl_every; got \[1\]"),
        ("train=3", "^train must be a table of settings; got 3"),
        ("train.objective=3", r"^train\.objective must be a table of settings; got 3"),
        ("stages.srl=3", r"^stages\.srl must be a table of settings; got 3"),
        ("optimizer.betas=3", r"optimizer\.betas must be a list, as \[3\]; got 3"),
        ("optimizer.betas=[0.9]", r"optimizer\.betas is too short; got \[0\.9\]"),
        ("method=3", "method must be a text or a list; got 3"),
        ("train.lr", "an override must be KEY=VALUE"),
        ("=3", "an override must be KEY=VALUE"),
    ],
)
def test_values_that_cannot_work_are_errors_that_name_the_key(override: str, message: str) -> None:
    with pytest.raises(BadOption, match=message):
        make_config(with_overrides(LEAST, [override]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr=inf", r"^train\.lr must be a finite number; got inf"),
        ("train.lr='inf'", r"^train\.lr must be a finite number; got 'inf'"),
        (
            "stages.srl.until.reward=nan",
            r"^stages\.srl\.until\.reward must be a finite number; got nan",
        ),
        ("budget={seconds=inf}", r"budget\.seconds must be a finite number; got inf"),
        ("budget={seconds='nan'}", r"budget\.seconds must be a finite number; got 'nan'"),
        (
            "optimizer.max_grad_norm=inf",
            r"optimizer\.max_grad_norm must be a finite number; got inf",
        ),
        ("optimizer.betas=[0.9,nan]", r"optimizer\.betas\.1 must be a finite number; got nan"),
        ("env.options.scale=[-inf]", r"env\.options\.scale\.0 must be a finite number; got -inf"),
        (
            "method=[{name='a',objective={kl=inf}}]",
            r"method\.0\.objective\.kl must be a finite number",
        ),
    ],
)
def test_numbers_are_finite_so_that_a_run_can_be_written_down(override: str, message: str) -> None:
    with pytest.raises(BadOption, match=message):
        make_config(with_overrides(LEAST, [override]))


def test_messages_name_the_place_of_a_configuration_in_a_larger_one() -> None:
    for override, message in {
        "budgt.updates=3": "no configuration key 'run.budgt'. Did you mean 'run.budget'?",
        "train.lrr=3": "no configuration key 'run.train.lrr'. Did you mean 'run.train.lr'?",
        "train.lr=abc": "run.train.lr must be a valid number",
        "stages.srl.lr=abc": "run.stages.srl.lr must be a valid number",
        "model.dtype=bfloat16": "run.model.dtype: weights trained in bfloat16",
        "method=[{name='a',lrr=3}]": "no configuration key 'run.method.0.lrr'",
    }.items():
        with pytest.raises(UserError) as error:
            make_config(with_overrides(LEAST, [override]), "run")
        assert str(error.value).startswith(message)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(BadOption, match=r"env\.id is missing"):
        make_config({**LEAST, "env": {}})


def test_unreadable_files_are_errors_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="cannot be read: No such file"):
        load_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("out = \n")
    with pytest.raises(BadOption, match=r"broken\.toml: .*line 1"):
        load_config(broken)
    broken.write_bytes('out = "é"'.encode("latin-1"))
    with pytest.raises(BadOption, match=r"broken\.toml must be UTF-8; byte 8 is 0xe9"):
        load_config(broken)
    with pytest.raises(BadOption, match="cannot be read: Is a directory"):
        load_config(tmp_path)


@pytest.mark.parametrize("text", ["[1, 2]", '"run"', "null", "3"])
def test_a_file_of_json_holds_an_object(text: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(BadOption, match=r"run\.json must be a JSON object .*; got "):
        load_config(file)
    file.write_text("[" * 100_000)
    with pytest.raises(BadOption, match=r"run\.json: .*recursion"):
        load_config(file)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["policy.sampler=vllm-server"], r"policy\.base_url: .* as http://localhost:8000"),
        (["policy.base_url=http://localhost:8000"], "policy.sampler to 'vllm-server'"),
        ([*SERVED, "policy.engine.max_model_len=64"], "got max_model_len.*'vllm serve'"),
        ([*SERVED, "rollout.engine=ray"], r"rollout\.engine: Ray's workers do not sample from a"),
    ],
)
def test_a_server_samples_alone_and_has_an_address(overrides: list[str], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        make_config(with_overrides(LEAST, overrides))


def test_what_a_server_samples_is_corrected_as_what_vllm_samples() -> None:
    objective = make_config(with_overrides(LEAST, SERVED)).resolved_method.stages[0].objective
    assert isinstance(objective, GRPO)
    assert objective.sampler_correction == "token-tis"
