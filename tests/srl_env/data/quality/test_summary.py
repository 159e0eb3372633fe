from __future__ import annotations

import json
import math
from pathlib import Path

from srl_env.data.forms.detect import read_problems
from srl_env.data.quality.summary import Spread, summarize


def test_a_spread_knows_mean_and_quantiles() -> None:
    spread = Spread()
    for value in (1, 2, 3, 4, 12_345):
        spread.add(value)
    assert (spread.total(), spread.mean) == (5, (1 + 2 + 3 + 4 + 12_300) / 5)
    assert [spread.quantile(share) for share in (0, 0.2, 0.5, 0.8, 1)] == [1, 1, 3, 4, 12_300]
    assert math.isnan(Spread().mean)
    assert Spread().to_json() == {"mean": None, "5%": None, "50%": None, "95%": None, "100%": None}


def test_a_row_with_the_id_of_an_earlier_one_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    row = json.dumps({"prompt": "first", "steps": ["x"]}) + "\n"
    path.write_text(row + row)
    reading = read_problems([path])
    summary = summarize(reading)
    assert (summary.bad.kept, summary.spreads["action"].total()) == (1, 1)
    (told,) = summary.bad.examples["the id of an earlier row"]
    assert told.startswith(f"{path}:2: the id of an earlier row; ")


def test_everything_is_counted(tmp_path: Path) -> None:
    steps = [{"action": "abc", "title": "T"}, {"action": "de", "thought": "hm", "observation": ""}]
    rows = [
        {"prompt": "first", "steps": steps, "answer": "1"},
        {"prompt": "second", "trajectories": [{"steps": ["x"]}, {"steps": ["y", "z"]}]},
        {"prompt": "", "steps": ["x"]},
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reading = read_problems([path])
    summary = summarize(reading)
    found = summary.to_json()
    assert (found["form"], found["problems"], found["answers"]) == ("srl-env", 2, 1)
    assert found["bad_rows"] == {'"prompt" is empty': 1}
    assert found["splits"] == {"train": 2}
    assert found["instances"] == {"paper": 1, "all": 3}  # of the first solution of each
    assert (found["titled"], found["thought_out"], found["observed"]) == (1, 1, 1)
    assert summary.spreads["steps"] == {2: 2, 1: 1}
    assert summary.spreads["action"] == {3: 1, 2: 1, 1: 3}
    assert summary.first is not None
    assert summary.first.prompt == "first"
    assert summary.bad.examples['"prompt" is empty'][0].startswith(f"{path}:3: ")
