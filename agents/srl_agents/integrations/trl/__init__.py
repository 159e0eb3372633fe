"""TRL's own ``GRPOTrainer`` in any environment::

    task = TRLTask("srl/WordProblem-v0", reward_mode="srl", problems=500)
    trainer = GRPOTrainer(
        model, task.reward, train_dataset=task.dataset(), rollout_func=task.rollout, args=…
    )

TRL samples ``num_generations`` completions of each row and compares them with each other. A row is
one step in SRL and one problem in RLVR (``srl_agents.integrations.rows``), so TRL's groups are
the correct ones. ``task`` steps the environments and ``sampling`` holds the trainer's model.
``tools`` is the other form, ``environment_factory``, for chat templates with tools.

``reward`` returns None for an infrastructure failure. TRL gives such a row no advantage and
excludes it from the group's mean. With several reward functions see ``TRLTask.unless_failed``.
"""
