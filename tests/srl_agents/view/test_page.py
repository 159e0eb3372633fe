"""The page as a file: everything in it, nothing from elsewhere, no text of a run as markup."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from srl_agents.view.page import page, write_page
from srl_agents.view.sources import find_runs
from srl_env.errors import BadOption
from tests.srl_agents.view.rows import (
    episode,
    group,
    step,
    training_run,
    updates,
    write_lines,
)

HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)>'


def parts(text: str) -> dict[str, Any]:
    """{id: what the part of the page holds}."""
    found = re.findall(r'<script type="application/gzip" id="([\w-]+)">([^<]*)</script>', text)
    return {name: json.loads(gzip.decompress(base64.b64decode(data))) for name, data in found}


def made(folder: Path, rows: list[dict[str, Any]], **options: Any) -> str:
    return page(find_runs([training_run(folder, rows)]), **options)


def test_the_columns_of_the_index_hold_every_step(tmp_path: Path) -> None:
    index = parts(made(tmp_path / "run", [*group("abc", "abd"), episode(step("x", 2), group=1)]))[
        "index"
    ]
    assert index["steps"]["index"] == [0, 0, 2]
    assert index["steps"]["reward"] == [0.5, 0.5, 0.5]
    assert index["steps"]["advantage"] == [1.0, 1.0, 1.0]
    assert index["episodes"]["group"] == [0, 0, 1]
    problems = index["episodes"]["problem"]
    assert [problems["texts"][i] for i in problems["at"]] == ["sum/0", "sum/0", "sum/1"]
    assert index["parts"] == [0]


def test_a_prompt_is_kept_as_what_is_new_in_it(tmp_path: Path) -> None:
    texts = parts(made(tmp_path / "run", [episode(step("a", 0), step("b", 1), step("c", 2))]))[
        "texts-0"
    ]
    messages = [
        [role, shared, texts["strings"][rest]]
        for found in texts["steps"]
        for role, shared, rest in found["m"]
    ]
    assert messages == [["user", 0, "1+1?"], ["user", 4, "x;"], ["user", 6, "x;"]]


def test_what_is_shared_is_counted_as_scripts_count(tmp_path: Path) -> None:
    shown = [[{"role": "user", "content": text}] for text in ("𝑥² = 4", "𝑥² = 9")]
    rows = [episode(step("a", 0, messages=shown[0]), step("b", 1, messages=shown[1]))]
    texts = parts(made(tmp_path / "run", rows))["texts-0"]
    assert texts["steps"][1]["m"][0][1] == len("𝑥² = ") + 1  # 𝑥 is two units


def test_tokens_have_their_text_and_are_left_out_on_request(tmp_path: Path) -> None:
    rows = group("abc")
    found = parts(made(tmp_path / "run", rows))
    assert found["tokens-0"] == [[0, [3, 3, 3, 3], [3, 4, 5], [-0.5, -0.5, -0.5]]]
    assert found["index"]["vocabularies"] == [{"3": "a", "4": "b", "5": "c"}]
    assert "tokens-0" not in parts(made(tmp_path / "other", rows, tokens=False))


def test_no_text_of_a_run_stands_in_the_page_as_it_is(tmp_path: Path) -> None:
    rows = [episode(step(HOSTILE, expert_action=HOSTILE), problem_id=HOSTILE)]
    text = made(tmp_path / "run", rows)
    assert "taken" not in text
    assert "onerror" not in text
    assert HOSTILE in parts(text)["texts-0"]["strings"]


def test_a_hostile_name_is_escaped_in_the_title(tmp_path: Path) -> None:
    text = page(find_runs([training_run(tmp_path / "<b>run", group("a"))]))
    assert "<title>&lt;b&gt;run" in text


def test_the_page_needs_no_network_and_allows_none(tmp_path: Path) -> None:
    text = made(tmp_path / "run", group("abc"))
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert links == ["data:,"]
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    runs = find_runs([training_run(tmp_path / "run", group("abc", "abd"))])
    assert page(runs) == page(runs)


def test_logprobs_that_are_no_numbers_are_left_empty(tmp_path: Path) -> None:
    row = group("ab")[0]
    row["steps"][0]["generation"]["logprobs"] = [float("-inf"), -1.0]
    assert parts(made(tmp_path / "run", [row]))["tokens-0"][0][3] == [None, -1.0]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    rows = [row for number in range(4) for row in group("a", number=number)]
    (note,) = parts(made(tmp_path / "run", rows, most_steps=2))["index"]["notes"]
    assert note.startswith("2 steps are not shown")


def test_a_page_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    runs = find_runs([training_run(tmp_path / "run", group("a"))])
    (tmp_path / "view.html").mkdir()
    with pytest.raises(BadOption, match=r"view\.html cannot be written \(Is a directory\)"):
        write_page(runs, tmp_path / "view.html")


def test_curves_are_cut_and_marked_where_the_stage_changes(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run")
    rows = [row | {"stage": s} for row, s in zip(updates((1, 1, 0, 0)), "aabb", strict=True)]
    write_lines(folder / "metrics.jsonl", rows)
    curves = {
        curve["title"]: curve for curve in parts(page(find_runs([folder])))["index"]["curves"]
    }
    reward = curves["Mean reward in training"]
    (drawn,) = reward["axes"]["seconds"]
    assert drawn["changes"] == [{"label": "a → b", "places": [5.0]}]  # 2 s for each update
    assert drawn["pieces"] == [[0, 2], [2, 4]]
    assert (reward["zero"], reward["note"]) == ("", "A new stage has another reward.")
    assert curves["Correct answers in training"]["zero"] == "nothing was solved"
