"""stable-baselines3 agents that choose among candidate steps.

    proposals → candidates (with an encoding) → scorer, trained by PPO → chooser

``candidates``, ``encoding`` and ``proposals`` need no stable-baselines3. They serve any agent
with discrete actions.
"""
