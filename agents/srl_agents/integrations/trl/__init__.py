"""TRL's own ``GRPOTrainer`` on any of our environments::

    task = TRLTask("srl/WordProblem-v0", reward_mode="srl", problems=500)
    trainer = GRPOTrainer(
        model, task.reward, train_dataset=task.dataset(), rollout_func=task.rollout, args=…
    )

TRL samples ``num_generations`` completions of each row and compares them with each other; a row
here is one step in SRL and one problem in RLVR (``srl_agents.integrations.rows``), so its groups
are the right ones. ``task`` drives the environments, ``sampling`` the trainer's model, and
``tools`` is the other form, ``environment_factory``, for chat templates that can call tools.

What TRL makes of None, which ``reward`` gives for a failure of ours: no advantage, and left out of
the group's mean. Where other reward functions are summed with it, see ``TRLTask.unless_failed``.
"""

from srl_agents.integrations.rows import RowsDropped, StepRewardsSpread
from srl_agents.integrations.trl.task import TRLTask
from srl_agents.integrations.trl.tools import TRLTools

__all__ = ["RowsDropped", "StepRewardsSpread", "TRLTask", "TRLTools"]
