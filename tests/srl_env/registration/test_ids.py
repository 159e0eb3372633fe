"""Ids: found by entry point, registered without an import, made with errors that help."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import gymnasium
import pytest

import srl_env
from srl_env.errors import BadOption, UnknownName
from srl_env.registration import ids as registration
from srl_env.testing import CountingEnv

TABLE = {"fake/Counting-v0": "srl_env.testing:CountingEnv"}
BAD_TABLE = {"fake/Bad-v0": "no colon here", "fake/Other-v0": "srl_env.testing:CountingEnv"}
LIST = ["not", "a", "table"]


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Takes back what a test registers."""
    specs, ours = dict(gymnasium.registry), dict(registration._ours)
    yield
    for live, before in ((gymnasium.registry, specs), (registration._ours, ours)):
        live.clear()  # type: ignore[attr-defined]
        live.update(before)  # type: ignore[attr-defined]


def install(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    """Makes these values the installed entry points, and registers them."""
    found = [EntryPoint(f"fake{i}", v, registration.GROUP) for i, v in enumerate(values)]
    monkeypatch.setattr(registration, "entry_points", lambda group: found)
    registration.register_installed()


def test_installed_tables_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, f"{__name__}:TABLE")
    assert "fake/Counting-v0" in srl_env.environment_ids()
    env = gymnasium.make("fake/Counting-v0", reward_mode="rlvr")
    assert isinstance(env, CountingEnv)
    assert env.reset(seed=1)[1]["reward_mode"] == "rlvr"
    assert env.spec is not None
    assert env.spec.id == "fake/Counting-v0"
    install(monkeypatch, f"{__name__}:TABLE")  # again: nothing happens


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:TABLE", "ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{__name__}:NOTHING", "AttributeError"),
        (f"{__name__}:LIST", "AttributeError: 'list' object has no attribute 'items'"),
        (f"{__name__}:BAD_TABLE", "must map to a text 'module:Class'; got 'no colon here'"),
    ],
)
def test_a_broken_plug_in_warns_and_the_others_work(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    with pytest.warns(RuntimeWarning, match=message):
        install(monkeypatch, value, f"{__name__}:TABLE")
    assert "fake/Counting-v0" in srl_env.environment_ids()


def test_an_id_that_is_taken_warns_and_keeps_its_first_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gymnasium.register("fake/Counting-v0", entry_point="somebody:Else")
    with pytest.warns(RuntimeWarning, match="registered already, for 'somebody:Else'"):
        install(monkeypatch, f"{__name__}:TABLE")
    assert gymnasium.spec("fake/Counting-v0").entry_point == "somebody:Else"


def test_make_says_which_id_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, f"{__name__}:TABLE")
    for meant in (
        "fake/Countin-v0",
        "fke/Counting-v0",
        "fake/Counting-v7",
        "srl_env:fake/Count-v0",
    ):
        with pytest.raises(UnknownName, match="Did you mean 'fake/Counting-v0'"):
            srl_env.make(meant)


@pytest.mark.parametrize("name", ["no/such/folder", "fake/Counting v0", "a:b:c-v0", ":Some-v0"])
def test_a_name_that_cannot_be_an_id_is_unknown_too(name: str) -> None:
    with pytest.raises(UnknownName, match="no environment '"):
        srl_env.make(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gsm8k", "srl/GSM8K-v0"),
        ("srl/gsm8k-v0", "srl/GSM8K-v0"),
        ("GSM9K", "srl/GSM8K-v0"),
        ("modular_chain", "srl/ModularChain-v0"),
        ("modularchian-v1", "srl/ModularChain-v0"),
        ("chian", "srl/ModularChain-v0"),
        ("Arithmetics", "srl/ColumnArithmetic-v0"),
    ],
)
def test_an_id_without_namespace_version_or_capitals_is_known_again(name: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"no environment '{name}'. Did you mean '{meant}'?"):
        srl_env.make(name)


@pytest.mark.parametrize("name", ["x", "mountain", "qqq"])
def test_a_name_like_none_of_ours_is_answered_with_all(name: str) -> None:
    with pytest.raises(UnknownName, match="Known: .*srl/GSM8K-v0"):
        srl_env.make(name)


def test_a_path_that_is_not_there_is_named_whole() -> None:
    with pytest.raises(BadOption, match="'/no/such/folder' is not an environment. Fix: give an id"):
        srl_env.make("/no/such/folder")


@pytest.mark.parametrize("name", ["no_such_module:Some-v0", "no_such_module.part:Some-v0"])
def test_a_module_before_the_id_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(BadOption, match="no module 'no_such_module' to import; write steps:FILE"):
        srl_env.make(name)


def test_gymnasiums_make_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, f"{__name__}:TABLE")
    with pytest.raises(gymnasium.error.NameNotFound, match="Did you mean: `Counting`"):
        gymnasium.make("fake/Countin-v0")


def test_make_says_which_argument_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, f"{__name__}:TABLE")
    with pytest.raises(UnknownName, match="Did you mean 'max_steps'"):
        srl_env.make("fake/Counting-v0", max_step=3)


class Odd(CountingEnv):
    def __init__(self) -> None:
        raise TypeError("something of its own")


class Needing(CountingEnv):
    def __init__(self, path: str, size: int, *, kind: str) -> None:
        super().__init__()


def test_arguments_that_are_needed_are_named_and_nothing_else() -> None:
    gymnasium.register("fake/Needing-v0", entry_point=Needing)
    with pytest.raises(BadOption, match="needs the arguments 'path' and 'size'; give them"):
        srl_env.make("fake/Needing-v0")
    with pytest.raises(BadOption, match="needs the arguments 'kind'; give them"):
        srl_env.make("fake/Needing-v0", path="x", size=1)


def test_other_type_errors_go_through() -> None:
    gymnasium.register("fake/Odd-v0", entry_point=Odd)
    with pytest.raises(TypeError, match="something of its own"):
        srl_env.make("fake/Odd-v0")


def test_make_vec_makes_many(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, f"{__name__}:TABLE")
    envs = srl_env.make_vec("fake/Counting-v0", 3, autoreset_mode="SameStep", reward_mode="rlvr")
    assert (envs.num_envs, envs.autoreset_mode.value) == (3, "SameStep")
    assert envs.reset(seed=0)[1]["reward_mode"].tolist() == ["rlvr"] * 3


def in_a_fresh_process(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_registers_without_importing_any_environment() -> None:
    code = """
import sys, srl_env, gymnasium
print([i for i in srl_env.environment_ids() if i not in gymnasium.registry])
print([m for m in sys.modules if m.startswith("srl_tasks.")])
print([m for m in ("srl_env.environment", "cydifflib", "torch", "pydantic") if m in sys.modules])
"""
    assert in_a_fresh_process(code).split("\n")[:3] == ["[]", "[]", "[]"]


def test_a_module_before_the_id_saves_the_import() -> None:
    env_id = srl_env.environment_ids()[0]
    code = f"import gymnasium; print(gymnasium.make('srl_env:{env_id}').spec.id)"
    assert in_a_fresh_process(code).strip() == env_id


def test_register_envs_accepts_the_package() -> None:
    gymnasium.register_envs(srl_env)


def test_every_public_name_is_there_and_no_other() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(getattr(srl_env, name) is not None for name in srl_env.__all__)
    assert set(srl_env.__all__) <= set(dir(srl_env))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = srl_env.nothing
