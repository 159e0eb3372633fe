"""What checks find, and the report of all checks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from srl_env.errors import UserError
from srl_env.text.unicode import escaped


class CheckError(UserError):
    """An environment breaks a promise; the message says what was seen and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what was seen, what was expected, what to do.

    where: "file:line" of the code or data, if known. similar: how many more findings differ only in
    their values.
    """

    seen: str
    expected: str
    advice: str
    where: str | None = None
    similar: int = 0

    def __str__(self) -> str:
        more = f" (and {self.similar:,} more like this)" if self.similar else ""
        lines = [f"seen: {self.seen}{more}", f"expected: {self.expected}", f"to do: {self.advice}"]
        shown = lines if self.where is None else [*lines, f"where: {self.where}"]
        return escaped("\n  ".join(shown))

    @property
    def mistake(self) -> tuple[str, ...]:
        """The same for all findings that differ only in names, numbers and quoted texts."""
        return _VALUE.sub("…", self.seen), self.expected, self.advice


_VALUE = re.compile(
    r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""  # quoted, as repr() does
    r"""|\{[^{}]*\}|-?\d[\d,.]*(?:e[+-]?\d+)?|\b(?:True|False|None)\b|(?<=mode )\w+|(?<= and )\w+"""
)


def one_per_mistake(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first finding of each mistake, with the number of others."""
    kinds: dict[tuple[str, ...], list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        kinds.setdefault(finding.mistake, []).append(finding)
    return tuple(replace(alike[0], similar=len(alike) - 1) for alike in kinds.values())


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on a check, e.g. how much of it was done. skipped: it could not be made at all."""

    text: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check. skipped: it could not be made."""

    name: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def mark(self) -> str:
        """ "ok", "skip" or "FAIL"."""
        return "FAIL" if self.findings else "skip" if self.skipped else "ok"

    def __str__(self) -> str:
        notes = f" ({escaped('; '.join(self.notes))})" if self.notes else ""
        lines = [f"{self.mark:4} {self.name}{notes}"]
        return "\n".join([*lines, *(f"  {finding}" for finding in self.findings)])


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All checks of one environment."""

    environment: str
    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(result.passed for result in self.results)

    def __str__(self) -> str:
        return "\n".join([self.environment, *map(str, self.results)])
