"""Environments on servers that speak OpenEnv's protocol, as ours."""

from srl_tasks.adapters.openenv.env import OpenEnvEnv

__all__ = ["OpenEnvEnv"]
