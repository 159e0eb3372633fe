"""Every exception that this library raises on purpose.

There are two branches, which must never be confused::

    SrlEnvError
    ├── UserError(ValueError)      the caller's mistake; the message says how to fix it
    │   ├── UnknownName            an id, mode, option or key that does not exist
    │   ├── BadOption              a known option with a value that cannot work
    │   ├── BadData                a row of data that cannot be read (file and line)
    │   ├── MissingExtra           an optional package that is not installed
    │   ├── SandboxUnavailable     no isolation is available here; says what is missing
    │   ├── CallError              in srl_env.text.tool_calls: a text that is not a tool call
    │   ├── LimitReached           the limit of a policy's requests or of its cost
    │   └── CheckError, InputEnded in srl_env.check and srl_agents.policies
    ├── CheckpointError(RuntimeError), TrainingDiverged(RuntimeError) in srl_agents
    └── Failure(RuntimeError)      an infrastructure failure: never a reward of 0
        ├── VerifierTimeout        a verifier missed its deadline
        ├── VerifierCrash          a verifier's process died or raised
        ├── WorldFailure           the world behind an environment is gone
        │   └── WorldTimeout       a step of the world took longer than world_timeout_s
        ├── SandboxFailure         a sandbox died, hangs or could not be set up
        │   └── SandboxDied        … while it was in use; a WorldFailure too
        └── PolicyFailure          the server or engine behind a policy gave no completion;
            │                      more kinds in srl_agents.policies
            └── PromptRefused      … because of the prompt's content or length

A ``Failure`` while an environment steps ends that episode with ``info["failure"]`` and a reward of
NaN, which evaluation, baselines and loss discard and count. A failure that the policy's text, code
or workspace caused is a wrong answer instead: ``srl_env.verifiers.responsibility`` decides.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 24
"""A message lists at most this many known names; of more, only the nearest."""


class SrlEnvError(Exception):
    """Base of all errors of this library."""


class UserError(SrlEnvError, ValueError):
    """A mistake of the caller; the message says how to fix it."""


class UnknownName(UserError):
    """An unknown name. The message suggests the nearest known name, or lists the known names."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], meant: str | None = None
    ) -> None:
        """kind: what was looked for, e.g. "environment"; known: the names that exist; meant: the
        suggestion, if the caller knows it."""
        self.kind, self.name, self.known, self.meant = kind, name, sorted(known), meant
        super().__init__(f"no {kind} {name!r}. {self._hint()}")

    def _hint(self) -> str:
        if self.meant is not None:
            return f"Did you mean {self.meant!r}?"
        name, names = self.name.lower(), {known.lower(): known for known in self.known}
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        longer = [known for known in names if name and known.startswith(name)]
        if near or len(longer) == 1:
            return f"Did you mean {names[(near or longer)[0]]!r}?"
        if not self.known:
            return "None are known."
        if len(self.known) <= LISTED:
            return f"Known: {', '.join(self.known)}."
        some = difflib.get_close_matches(self.name, self.known, n=3, cutoff=0.0)
        return f"{len(self.known):,} are known, e.g. {', '.join(some)}."

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, str, list[str], str | None]]:
        return type(self), (self.kind, self.name, self.known, self.meant)


class BadOption(UserError):
    """A known option with a value that cannot work."""


class BadData(UserError):
    """A row of data that cannot be read; the message starts with ``file:line:``."""


class MissingExtra(UserError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, alone: bool = False) -> None:
        """package: the missing package; extra: the extra that installs it; alone: whether it needs
        an environment without our other extras."""
        self.package, self.extra, self.alone = package, extra, alone
        place = " in an environment of its own" if alone else ""
        super().__init__(
            f"{package} is not installed; install it{place} with: pip install 'srl-env[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, bool]]:
        return type(self), (self.package, self.extra, self.alone)


class SandboxUnavailable(UserError):
    """The requested kind of sandbox cannot run here; the message says what is missing."""


class LimitReached(UserError):
    """The limit of requests or of cost is reached."""


class Failure(SrlEnvError, RuntimeError):
    """An infrastructure failure: the library or the machine failed, not the policy."""


class VerifierTimeout(Failure):
    """A verifier did not answer before its deadline."""


class VerifierCrash(Failure):
    """A verifier's process died or raised."""


class WorldFailure(Failure):
    """The world behind an environment (a sandbox, a server) is gone."""


class WorldTimeout(WorldFailure):
    """A step of the world did not end in time."""


class SandboxFailure(Failure):
    """A sandbox died, hangs, or could not be set up. It says nothing about the code inside."""


class SandboxDied(SandboxFailure, WorldFailure):
    """A sandbox died or hangs, or its workspace cannot be used, after something ran in it."""


class PolicyFailure(Failure):
    """The server or engine behind a policy gave no completion for a prompt."""


class PromptRefused(PolicyFailure):
    """A prompt was refused for its content or length."""
