"""Whole runs whose episodes Ray's workers sample ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from srl_agents.collection.runners import NoWorkersLeft
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.run import train
from srl_env.errors import BadOption
from tests.srl_agents.letters import lines, updates
from tests.srl_agents.ray_cluster import small_cluster
from tests.srl_agents.training.test_ray import kills_twice

ray = pytest.importorskip("ray")
# Ray leaves files and sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with small_cluster():
        yield


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    rollout = {"engine": "ray", "workers": 2, "max_staleness": 1, "job_groups": 1}
    changes = {"model": {"threads": 1}, "rollout": rollout, "budget": {"updates": 4}}
    return merged(tree, changes)


def run(tree: dict[str, Any], resume: bool = False) -> Path:
    train(make_config(tree), resume=resume)
    return Path(tree["out"])


@pytest.mark.slow
def test_workers_sample_ahead_with_versions_and_continue_on_request(tree: dict[str, Any]) -> None:
    for continues in (False, True):
        changes = {"out": f"{tree['out']}-{continues}", "rollout": {"continue_episodes": continues}}
        folder = run(merged(tree, changes))
        found = updates(folder)
        assert len(found) == 4
        assert max(line["staleness/max"] for line in found) <= 1
        assert all(line["workers/lost"] == 0 for line in found)
        versions = {
            step["generation"]["version"]
            for row in lines(folder, "rollouts")
            for step in row["steps"]
        }
        assert versions <= set(range(4))
        assert max(versions) > 0


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_only_its_job_is_done_again(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    found = updates(run(merged(tree, kills_twice(tmp_path))))
    assert not list(tmp_path.glob("kill-*"))
    assert len(found) == 4
    assert sum(line["workers/lost"] for line in found) == 2
    assert sum(line["failures"] for line in found) == 0


@pytest.mark.slow
def test_workers_that_die_at_their_start_end_the_run_in_one_line_and_it_resumes(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "stillborn.py"
    file.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.srl_agents.letters import Letters\n"
        "class Stillborn(Letters):\n"
        "    def __init__(self, **options):\n"
        "        super().__init__(**options)\n"
        "        if 'ray' in sys.argv[0] and not Path(__file__).with_name('fixed').exists():\n"
        "            os._exit(1)\n",
        encoding="utf-8",
    )
    tree = merged(tree, {"env": {"id": str(file)}, "rollout": {"retries": 1, "workers": 1}})
    with pytest.raises(NoWorkersLeft, match="nothing samples any more, in 2 attempts") as error:
        run(tree)
    assert "\n" not in str(error.value)
    (tmp_path / "fixed").touch()
    assert len(updates(run(tree, resume=True))) == 4


def test_a_cluster_that_is_too_small_is_one_line(tree: dict[str, Any]) -> None:
    with pytest.raises(BadOption, match="rollout.workers: 9 workers"):
        run(merged(tree, {"rollout": {"workers": 9}}))
