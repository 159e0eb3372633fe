"""The card of a data set: its README.md, for people and for ``datasets``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from srl_env.data.drops import DropReport
from srl_env.data.files.write import DATA

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The parts of a card that are not counted while writing.

    sources: the files that the data set was made from. form: their form (``Reading.about``).
    command: the one that made it. license: its identifier, e.g. "mit"; None if it is unknown.
    """

    title: str
    sources: tuple[str, ...]
    form: str
    command: str
    license: str | None = None


def dataset_card(facts: CardFacts, counts: Mapping[str, int], report: DropReport) -> str:
    """The text of the card. counts: problems of each split. report: the dropped rows."""
    total = sum(counts.values())
    splits = "\n".join(f"| {name} | {count:,} |" for name, count in sorted(counts.items()))
    sources = "\n".join(f"- `{source}`" for source in facts.sources)
    return f"""---
{_front_matter(facts, counts, total)}---

# {facts.title}

{total:,} problems with expert solutions in steps, for supervised reinforcement learning.

| split | problems |
|---|---:|
{splits}

## Columns

| column | holds |
|---|---|
| `id` | unique |
| `prompt` | the problem |
| `answer` | the answer for a verifier; may be null |
| `steps` | the expert's solution: `action`, and any of `title`, `thought`, `observation` |
| `trajectories` | several solutions, `steps` and `source` each, instead of `steps` |
| `metadata` | JSON text; may be null |

## How to read it

```python
from srl_env.data import DatasetSource

problems = DatasetSource.from_hub("PATH OF THIS FOLDER", hub_split={_example(counts)!r})
```

## How it was made

From {facts.form}:

{sources}

```
{facts.command}
```

{_dropped(report)}
"""


def _front_matter(facts: CardFacts, counts: Mapping[str, int], total: int) -> str:
    """The YAML at the beginning, in which texts are written as JSON."""
    size = next((name for limit, name in _SIZES if total < limit), "n>1M")
    lines = [f"pretty_name: {json.dumps(facts.title)}"]
    lines += [f"license: {json.dumps(facts.license)}"] if facts.license else []
    lines += ["size_categories:", f"- {size}", "configs:", "- config_name: default"]
    lines += ["  data_files:"] if counts else []
    for name in sorted(counts):
        lines += [
            f"  - split: {json.dumps(name)}",
            f"    path: {json.dumps(f'{DATA}/{name}.parquet')}",
        ]
    return "".join(f"{line}\n" for line in lines)


def _example(counts: Mapping[str, int]) -> str:
    return "train" if "train" in counts or not counts else min(counts)


def _dropped(report: DropReport) -> str:
    if not report.dropped:
        return "No row was dropped."
    rows = "\n".join(
        f"| {reason.replace('|', '/')} | {count:,} |" for reason, count in report.dropped.items()
    )
    return f"Dropped rows:\n\n| reason | rows |\n|---|---:|\n{rows}"
