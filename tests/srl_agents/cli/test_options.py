"""Options made from a class that declares settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from srl_agents.cli.options import options_of, settings_of
from srl_agents.runs.evaluation import EvaluationConfig


@dataclass(frozen=True)
class Drink:
    """A drink: hot or cold.

    size: Volume in ml. name, short_name: Names [of the drink].
    milk: Add milk.
    """

    size: int = 200
    name: str | None = None
    short_name: str = "tea"
    milk: bool = False
    kind: Literal["hot", "cold"] = "hot"
    spices: tuple[str, ...] = field(default_factory=tuple)


def app() -> typer.Typer:
    made = typer.Typer(rich_markup_mode="rich")

    @made.command()
    @options_of(Drink, flags={"size": "-s"}, only=["size", "short_name", "milk", "kind", "spices"])
    def order(cups: int, **given: Any) -> None:
        typer.echo(f"{cups} {given}")

    return made


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["-s", "3"], {"size": 3}),
        (["--short-name", "x", "--no-milk"], {"short_name": "x", "milk": False}),
        (["--spices", "a", "--spices", "b", "--kind", "c"], {"spices": ["a", "b"], "kind": "c"}),
    ],
)
def test_a_command_is_given_the_fields_that_were_set(
    arguments: list[str], given: dict[str, Any]
) -> None:
    output = CliRunner().invoke(app(), ["2", *arguments]).output
    count, _, said = output.partition(" ")
    assert (count, eval(said)) == ("2", given)


def test_the_help_shows_meanings_types_and_defaults_of_the_class() -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app(), ["--help"]).output
    assert "Volume in ml. [default: 200]" in shown
    assert "Names [of the drink]. [default: tea]" in shown
    assert "Add milk. [default: no]" in shown
    assert "hot|cold" in shown
    assert "--name" not in shown


def test_every_setting_of_an_evaluation_has_its_meaning() -> None:
    found = {setting.name: setting for setting in settings_of(EvaluationConfig)}
    assert set(found) == set(EvaluationConfig.model_fields)
    assert all(setting.meaning[:1].isupper() for setting in found.values())
    assert found["rollouts"].default == 8
