"""Environment ids, and what else the name of an environment may stand for."""

from srl_env.registration.ids import (
    UnknownEnvironment,
    environment_ids,
    make,
    make_vec,
    offline_arguments,
    register_installed,
)
from srl_env.registration.names import environments_in, locate

__all__ = [
    "UnknownEnvironment",
    "environment_ids",
    "environments_in",
    "locate",
    "make",
    "make_vec",
    "offline_arguments",
    "register_installed",
]
