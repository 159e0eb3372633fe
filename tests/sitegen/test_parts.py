"""The generated parts of the site say what the packages say."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import typer

import srl_env
from sitegen import figure
from sitegen.commands import commands
from sitegen.configuration import configuration
from sitegen.docstrings import as_markdown
from sitegen.gallery import fenced, gallery
from sitegen.links import files_linked, inlined_figures, with_source_pages
from sitegen.methods import formulas, linked, methods_table
from sitegen.modes import modes_table
from sitegen.parts import MARK, PARTS, with_parts
from srl_agents.cli.main import app
from srl_agents.methods.shipped import get_method, methods
from srl_agents.methods.stages import Stage
from srl_agents.objectives import GRPO
from srl_agents.runs.config import RunConfig
from srl_agents.runs.evaluation import EvaluationConfig
from srl_env.rewards import reward_modes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_every_part_is_on_a_page_and_every_page_asks_for_parts_there_are() -> None:
    asked = {name for page in DOCS.rglob("*.md") for name in MARK.findall(page.read_text("utf-8"))}
    assert asked == set(PARTS)


def test_a_page_without_a_mark_stays_as_it_is_and_an_unknown_part_is_an_error() -> None:
    assert with_parts("<!-- a comment -->\ntext") == "<!-- a comment -->\ntext"
    with pytest.raises(KeyError, match="galery"):
        with_parts("<!-- generated: galery -->")


def test_the_gallery_shows_a_step_of_every_registered_environment() -> None:
    text = gallery()
    ids = srl_env.environment_ids()
    assert re.findall(r"^## (\S+/\S+)$", text, re.MULTILINE) == ids
    assert text.count("**A step of it.**") == len(ids)
    assert text.count("for a reward of 1 under `srl`") + text.count("Not to be shown") == len(ids)


def test_text_that_ends_code_blocks_is_refused() -> None:
    assert fenced("```\na").count("`" * 6) == 2
    with pytest.raises(AssertionError):
        fenced("`" * 6)


def test_every_method_is_in_the_table_with_its_stages_and_where_it_is_from() -> None:
    rows = methods_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == methods()
    for row, name in zip(rows, methods(), strict=True):
        method = get_method(name)
        assert method.source
        assert all(f"**{stage.name}**" in row for stage in method.stages)
        assert "https://arxiv.org/abs/" in row


def test_formulas_are_found_with_their_papers() -> None:
    (row,) = [row for row in formulas().splitlines() if row.startswith("| `group_advantages`")]
    assert "`agents/srl_agents/objectives/advantage.py`" in row
    assert "[arXiv:2503.20783](https://arxiv.org/abs/2503.20783)" in row


def test_papers_and_addresses_become_links() -> None:
    assert linked("X, arXiv:2402.03300, eq. 3; see https://a.b/c.") == (
        "X, [arXiv:2402.03300](https://arxiv.org/abs/2402.03300), eq. 3; see <https://a.b/c>."
    )


def test_every_reward_mode_is_in_the_table() -> None:
    rows = modes_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == reward_modes()
    assert "| −1 … 1 | expert, step | needed |" in modes_table()


def test_every_key_of_a_run_and_of_a_stage_is_in_the_reference() -> None:
    text = configuration()
    keys = [
        *RunConfig.model_fields,
        *EvaluationConfig.model_fields,
        *(f.name for c in (Stage, GRPO) for f in dataclasses.fields(c)),
    ]
    assert [key for key in keys if f"| `{key}` |" not in text] == []
    assert "| `dtype` | of the weights. | `'float32' or 'bfloat16'` | `'float32'` |" in text
    assert "| `clip_low` | the ratio of new to old probability is clipped to" in text
    assert "| `group_size` | completions per group. | `int` | `8` |" in text


def test_every_command_is_in_the_reference_with_its_options() -> None:
    text = commands()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"## srl-env {name}" in text
        for parameter in getattr(command, "params", []):
            if parameter.name != "help" and parameter.param_type_name == "option":
                assert f"`{parameter.opts[0]}`" in text


def test_the_figure_is_the_one_its_program_draws() -> None:
    assert figure.FILE.read_text(encoding="utf-8") == figure.draw(), "python -m sitegen.figure"


def test_the_figure_compares_similarities_worked_by_hand() -> None:
    # Matched of 10 + 10 characters: all; all but the last. Of 13 + 10: "3 + 4" against "12" none,
    # then " - 5 = " of 7. Of 13 + 10: " 5 " and " ".
    rewards = [sample.similarity for sample in figure.samples()]
    assert rewards == [1.0, 18 / 20, 14 / 23, 8 / 23]
    assert sum(sample.advantage for sample in figure.samples()) == pytest.approx(0)


def test_links_out_of_the_pages_lead_to_pages_with_the_files() -> None:
    text = "[a](../examples/data_environment.py) [b](idea.md#x) ![c](../x.png) [d](https://e.f)"
    assert with_source_pages(text, DOCS, ROOT) == text.replace(
        "../examples/data_environment.py", "source/examples/data_environment.py.md"
    )
    deep = with_source_pages("[a](../../Makefile)", DOCS / "api", ROOT)
    assert deep == "[a](../source/Makefile.md)"


def test_linked_files_are_files_of_the_repository() -> None:
    found = files_linked(DOCS)
    assert ROOT / "examples/data_environment.py" in found
    assert all(path.is_relative_to(ROOT) and not path.is_relative_to(DOCS) for path in found)
    assert [path for path in found if path.suffix == ".md"] == []


def test_a_drawing_goes_into_the_page_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg>\n\n  <g/>\n</svg>\n")
    page = "before\n\n![A drawing](a.svg)\n\nafter"
    assert inlined_figures(page, tmp_path) == "before\n\n<div><svg> <g/> </svg></div>\n\nafter"


def test_docstrings_lose_double_colons_and_tags_but_not_in_code() -> None:
    text = "Form <think> and ``<think>``::\n\n    a < b::\n\nAfter."
    assert as_markdown(text) == "Form &lt;think> and ``<think>``:\n\n    a < b::\n\nAfter."
