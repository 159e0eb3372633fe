"""Does the step reward of tool calls agree with what the tests say at the end?

    python benchmarks/step_rewards.py [--tasks 32] [--out FILE]

Policies without a model solve shipped repository tasks, or fail at them, in the sandbox. Every call
is rewarded by each measure, and the hidden tests judge the result. The policies:

- expert: the recorded solution.
- other route: the expert's edits; it views whole files, runs other tests, and looks elsewhere.
- noisy: the expert, but every second call that is not an edit is another task's.
- near miss: the expert, but each edit leaves one of its lines as it was, or has one sign changed.
- wrong place: the expert, but each edit puts a comment where the expert changes the code.
- gives up: the expert up to its first edit, then submits.
- random: calls of other tasks.

AUC is the chance that a resolved rollout has the higher mean step reward than one that is not: over
all rollouts, and among those of one task, which is what a group compares. "edits" has the same for
single edits. 0.5 says nothing. A few minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import srl_env
from srl_agents.evaluation.measures import Comparison, MeasuredStep, auc, compared
from srl_env import EnvPool, Generation, ReasoningEnv, Start
from srl_env.rewards import SideBySide
from srl_env.rollout import rollout
from srl_env.swe import ToolCall, parse_call

MEASURES = ("characters", "tokens", "tool-calls", "accepts-tool", "accepts-target", "accepts")
EDITOR = "str_replace_editor"
Change = Callable[[ToolCall, random.Random, Sequence[ToolCall]], ToolCall]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--out", type=Path, help="JSON lines of all steps")
    args = parser.parse_args()
    found = {name: played(change, args.tasks) for name, change in POLICIES.items()}
    print(f"{args.tasks} tasks, one rollout of each policy\n")
    print(f"{'policy':14}{'resolved':>9}" + "".join(f"{name:>16}" for name in MEASURES))
    for name, one in found.items():
        means = "".join(f"{one.values(measure).mean():16.3f}" for measure in MEASURES)
        print(f"{name:14}{sum(one.correct.values()):6} / {len(one.correct):<3}{means}")
    everything = joined(list(found.values()))
    rows = (
        ("AUC of rollouts", everything.auc),
        ("… of one task", everything.auc_within),
        ("… of edits", lambda measure: edits_auc(everything, measure)),
    )
    print()
    for title, value in rows:
        print(f"{title:23}" + "".join(f"{value(measure):16.3f}" for measure in MEASURES))
    if args.out:
        steps = (json.dumps(asdict(step)) for step in everything.steps)
        args.out.write_text("".join(f"{step}\n" for step in steps))


class Changed:
    """The expert's calls, each changed by a function."""

    def __init__(self, change: Change, calls: Sequence[ToolCall]) -> None:
        self.change, self.calls = change, calls

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        """The next call in each environment; submits after the expert's last."""
        return [Generation(self._call(env).render()) for env in envs]

    def _call(self, env: ReasoningEnv) -> ToolCall:
        steps, index = env.expert_steps, env.step_index
        if index >= len(steps):
            return ToolCall("submit", {})
        rng = random.Random(f"{env.problem.id} {index}")
        return self.change(parse_call(steps[index].action), rng, self.calls)


def played(change: Change, tasks: int) -> Comparison:
    """One rollout of each task."""
    env = make()
    count = min(tasks, len(env.problems))
    places = random.Random(0).sample(range(len(env.problems)), count)
    problems = [env.problems[place] for place in places]
    calls = [parse_call(s.action) for p in problems for s in p.trajectories[0].steps]
    options: dict[str, Any] = {"reward_mode": SideBySide(MEASURES), "continuation": "policy"}
    starts = [Start({**options, "problem": place}, seed=0, group=place) for place in places]
    pool = EnvPool(make)
    episodes = rollout(pool, Changed(change, calls), starts)
    pool.close()
    failed = [episode.failure for episode in episodes if episode.failure]
    assert not failed, failed[0]
    return compared(episodes, MEASURES)


def make() -> ReasoningEnv:
    """The environment."""
    env = srl_env.make("srl/SWE-v0", split="all").unwrapped
    assert isinstance(env, ReasoningEnv)
    return env


def joined(parts: Sequence[Comparison]) -> Comparison:
    """All rollouts as one comparison."""
    steps, correct = list[MeasuredStep](), dict[int, bool]()
    for place, part in enumerate(parts):
        steps += [replace(step, episode=1000 * place + step.episode) for step in part.steps]
        correct |= {1000 * place + number: value for number, value in part.correct.items()}
    return Comparison(MEASURES, tuple(steps), correct)


def edits_auc(found: Comparison, measure: str) -> float:
    """AUC of single steps at which the expert edits."""
    steps = [step for step in found.steps if is_edit(parse_call(step.expert_action))]
    values = [step.values[measure] for step in steps]
    return auc(values, [found.correct[step.episode] for step in steps])


# -- what the policies do ------------------------------------------------------------------------


def is_edit(call: ToolCall) -> bool:
    """Whether a call changes a file."""
    return call.tool == EDITOR and call.arguments["command"] != "view"


def expert(call: ToolCall, rng: random.Random, calls: Sequence[ToolCall]) -> ToolCall:
    return call


def other_route(call: ToolCall, rng: random.Random, calls: Sequence[ToolCall]) -> ToolCall:
    if call.tool == EDITOR and not is_edit(call):
        return ToolCall("bash", {"command": f"cat {call.arguments['path']}"})
    if call.tool == "bash":
        command = str(call.arguments["command"])
        if command.startswith("grep"):
            return ToolCall("bash", {"command": "grep -rn def --include=*.py . | head -40"})
        if "pytest" in command:
            return ToolCall("bash", {"command": "python -m pytest -x -q"})
        return ToolCall("bash", {"command": "ls -la && git log --oneline | head -3"})
    return call


def noisy(call: ToolCall, rng: random.Random, calls: Sequence[ToolCall]) -> ToolCall:
    if is_edit(call) or call.tool == "submit" or rng.random() < 0.5:
        return call
    return rng.choice([other for other in calls if not is_edit(other) and other.tool != "submit"])


def near_miss(call: ToolCall, rng: random.Random, calls: Sequence[ToolCall]) -> ToolCall:
    if not is_edit(call) or "old_str" not in call.arguments:
        return call
    old, new = (str(call.arguments[name]).split("\n") for name in ("old_str", "new_str"))
    changed = [i for i, line in enumerate(new) if line not in old]
    if len(changed) > 1:
        place = rng.choice(changed)
        new[place] = old[place] if place < len(old) else ""
    elif changed:
        new[changed[0]] = slip(new[changed[0]])
    return ToolCall(EDITOR, {**call.arguments, "new_str": "\n".join(new)})


def slip(line: str) -> str:
    """The line with one sign or word changed; the same syntax."""
    for one, other in (
        ("==", "!="), ("<=", "<"), (">=", ">"), (" < ", " <= "), (" > ", " >= "), (" + ", " - "),
        (" - ", " + "), (" and ", " or "), (" or ", " and "), ("not ", ""), ("True", "False"),
        ("False", "True"), ("if ", "if not "), ("1", "2"), ("0", "1"), ("return ", "return not "),
    ):  # fmt: skip
        if one in line:
            return line.replace(one, other, 1)
    return f"{line}  # as before"


def wrong_place(call: ToolCall, rng: random.Random, calls: Sequence[ToolCall]) -> ToolCall:
    if not is_edit(call) or "old_str" not in call.arguments:
        return call
    old = str(call.arguments["old_str"])
    return ToolCall(EDITOR, {**call.arguments, "new_str": f"{old}  # checked"})


def gives_up(call: ToolCall, rng: random.Random, calls: Sequence[ToolCall]) -> ToolCall:
    return ToolCall("submit", {}) if is_edit(call) else call


def at_random(call: ToolCall, rng: random.Random, calls: Sequence[ToolCall]) -> ToolCall:
    return call if call.tool == "submit" else rng.choice([c for c in calls if c.tool != "submit"])


POLICIES: dict[str, Change] = {
    "expert": expert,
    "other route": other_route,
    "noisy": noisy,
    "near miss": near_miss,
    "wrong place": wrong_place,
    "gives up": gives_up,
    "random": at_random,
}


if __name__ == "__main__":
    main()
