"""The self-check: every backend passes it, and a backend that lies does not."""

from __future__ import annotations

import pytest

from srl_env.errors import SandboxFailure
from srl_env.sandbox import LandlockSandbox, LocalSandbox, Sandbox, SelfCheck, self_check
from srl_env.sandbox.inside import kernel, landlock
from srl_env.sandbox.native import NamespaceSandbox


def test_the_namespaces_backend_keeps_all_promises(namespaces: Sandbox) -> None:
    result = self_check(NamespaceSandbox)
    result.require()
    assert len(result.held) == 18


@pytest.mark.skipif(
    kernel.landlock_version() < landlock.NEEDED_VERSION, reason="this kernel's Landlock is too old"
)
def test_the_landlock_backend_keeps_the_weaker_promises() -> None:
    result = self_check(LandlockSandbox)
    result.require()
    assert len(result.held) == 13
    assert result.isolation == "weak"


def test_the_local_backend_keeps_the_promises_that_are_not_about_isolation() -> None:
    result = self_check(LocalSandbox)
    result.require()
    assert len(result.held) == 10


def test_a_backend_that_claims_more_than_it_does_is_found_out() -> None:
    class Boastful(LocalSandbox):
        isolation = "weak"

    result = self_check(Boastful)
    broken = {name for name, _ in result.broken}
    assert {"files_of_the_host_are_out_of_reach", "there_is_no_network"} <= broken
    with pytest.raises(SandboxFailure, match=r"the local sandbox breaks its promises:\n- "):
        result.require()


def test_a_check_in_which_nothing_was_checked_does_not_pass() -> None:
    with pytest.raises(SandboxFailure, match="breaks its promises"):
        SelfCheck("empty", "none", (), ()).require()
