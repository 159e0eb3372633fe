"""Whether a training may be evaluated on a split: it exists, and nothing in it is trained on."""

from __future__ import annotations

from contextlib import closing

from srl_agents.evaluation.plan import ChosenProblems, choose_problems, split_maker
from srl_agents.runs.config import RunConfig
from srl_agents.runs.evaluation import EvaluationConfig
from srl_agents.runs.history import check_unseen, training_runs
from srl_env.errors import BadOption, UnknownName


def check_split(run: RunConfig, settings: EvaluationConfig, section: str, place: str) -> None:
    """Raises BadOption for a split that does not exist, or with problems that were trained on.

    These are the problems that the run trains on, and those in the history of its model.
    section: of the configuration, for messages. place: what messages call the run, which has no
    folder yet.
    """
    trained = run.model_copy(update={"out": place})
    try:
        for each in run.environments.values():
            with closing(split_maker(each.id, each.options, settings.split)()) as env:
                chosen = choose_problems(env.problems, settings)
                problems = ChosenProblems(env.problems, chosen)
                check_unseen(problems, [trained, *training_runs(run.model.path)])
    except (BadOption, UnknownName) as error:
        raise BadOption(f"{section}.split is {settings.split!r}: {error}") from error
