"""A model card that says how a run made its model: ``README.md`` in the run's folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import srl_env
from srl_agents.models.folder import looks_like_a_folder
from srl_agents.runs.config import RunConfig
from srl_agents.training.log import read_log

CARD = "README.md"


def model_card(config: RunConfig) -> str:
    """The card of a finished run, as Markdown with the hub's metadata."""
    rows = list(read_log(Path(config.out) / "metrics.jsonl"))
    places = ", ".join(Path(env.id).name for env in config.environments.values())
    name = f"{Path(config.model.path).name}, trained in {places}"
    parts = [
        _metadata(config),
        f"# {name}\n",
        "This model was trained with srl-env, which makes each reasoning problem an environment"
        " whose actions are reasoning steps.\n",
        "## How it was made\n",
        *_facts(config, rows),
        "",
        "## Stages\n",
        *_stages(config, rows),
        "",
        "## Scores\n",
        *_scores(rows),
        "",
        "## Settings\n",
        "Save them as `run.json`, and train the same with `srl-env train --config run.json`.\n",
        "```json",
        json.dumps(config.model_dump(mode="json", exclude_defaults=True), indent=2),
        "```",
    ]
    return "\n".join(parts) + "\n"


def _metadata(config: RunConfig) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    if not looks_like_a_folder(config.model.path):
        lines.append(f"base_model: {json.dumps(config.model.path)}")
    return "\n".join([*lines, "tags:", "- srl-env", "- reinforcement-learning", "---\n"])


def _facts(config: RunConfig, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    method = config.method if isinstance(config.method, str) else "your own stages"
    updates = [row for row in rows if "event" not in row]
    lora = config.model.lora
    yield f"- **Base**: {config.model.path}"
    yield "- **Weights**: " + (
        "all of them" if lora is None else f"LoRA of rank {lora.rank}, merged into the base"
    )
    source = config.resolved_method.source
    yield f"- **Method**: {method}" + (f" ({source})" if source else "")
    for env in config.environments.values():
        options = ", ".join(f"{name} = {value!r}" for name, value in env.options.items())
        yield f"- **Environment**: {env.id}" + (f" ({options})" if options else "")
        if env.problems:
            yield f"- **Problems**: those of {env.problems}"
        if env.experts:
            yield f"- **Expert data**: {env.experts}"
    if updates:
        last = updates[-1]
        yield (
            f"- **Training**: {last['update']} updates, {last['seconds']:.0f} s,"
            f" {last['tokens']:.0f} tokens"
        )
    yield f"- **Seed**: {config.seed}"
    yield f"- **Software**: {software()}"


def _stages(config: RunConfig, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    ends = {row["stage"]: row["reason"] for row in rows if row.get("event") == "stage_end"}
    yield "| stage | objective | learning rate | groups an update | ended after |"
    yield "|---|---|--:|--:|---|"
    for stage in config.resolved_method.stages:
        ended = ends.get(stage.name, "")
        yield f"| {stage.name} | {stage.objective} | {stage.lr:g} | {stage.batch} | {ended} |"


def _scores(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [row for row in rows if row.get("event") == "evaluation"]
    if not found:
        yield "The model was not evaluated during its training."
        return
    names = [name for name in found[-1] if name.startswith("eval/")]
    yield "On held-out problems, before and after the training; means over problems.\n"
    yield "| score | before | after |"
    yield "|---|--:|--:|"
    for name in names:
        before, after = (f"{row[name]:.4f}" if name in row else "" for row in (found[0], found[-1]))
        yield f"| {name.removeprefix('eval/')} | {before} | {after} |"
    yield f"\nThe last evaluation: {found[-1]['reason']}."


def software() -> str:
    """The version of srl-env, and its commit where that is known."""
    version = metadata.version("srl-env")
    commit = _commit()
    return f"srl-env {version}" + (f", commit {commit}" if commit else "")


def _commit() -> str | None:
    """Of the package that pip installed from a repository, or of the checkout that runs."""
    direct = metadata.distribution("srl-env").read_text("direct_url.json")
    vcs = json.loads(direct or "{}").get("vcs_info", {})
    if "commit_id" in vcs:
        return str(vcs["commit_id"])
    root = Path(srl_env.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (" with local changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
