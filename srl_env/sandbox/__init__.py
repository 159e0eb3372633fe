"""Runs code that a policy wrote, and lets it reach nothing else.

A sandbox starts *sessions* on a read-only tree. A session has a workspace, which begins as the tree
and can be changed, listed, saved and restored, and runs commands in it under limits::

    sandbox = open_sandbox()          # tried out; SandboxUnavailable says what is missing
    with sandbox.start(Path("checkout")) as session:
        done = session.run("python3 -m unittest", timeout_s=20)
        print(done.ended, done.status, done.text(), session.changes())
    sandbox.close()

When a command ends, by itself or at a limit (wall time, CPU time, memory, processes, files, inodes,
bytes of output), all it started is killed and reaped before the result comes back. A sandbox that
dies or cannot be set up is a SandboxFailure, never a result. Files of a workspace are never opened
through a link, and reading them cannot block.

**namespaces** (isolation "full"): user, mount, PID, network, IPC, UTS and cgroup namespaces, no
capabilities, a system-call filter. A root controller first becomes a user that no account has.
It stops: reading or changing files of the host beyond /usr (without /usr/local and /usr/src),
the interpreter, and what the task names; seeing or signalling other processes; any network,
unix sockets of the host included; more memory, processes, disk or inodes than `Limits`;
mounts, nested namespaces, ptrace, bpf, io_uring, keyrings, kernel modules.
It does NOT stop:

- faults of the kernel itself, which all sessions share;
- use of memory above `memory_bytes` for about 30 ms; see "Memory" for what else remains;
- a channel to the host and between sessions through files that are shown read-only (/usr, the
  interpreter, mounts): their locks, and the reads that inotify reports, are the machine's;
- use of all cores until the time limit, at lower priority, which slows down its neighbours;
- reading facts about the machine: /proc/cpuinfo, meminfo, the kernel's version, the clock, the
  sources of its mounts (paths, not contents), what lies in /usr;
- timing and cache side channels;
- a command's influence on later commands of the same session through the workspace and /tmp: a
  verdict must come from a fresh session;
- lying: output and exit status come from the code under test.

Memory. Every session has a memory cgroup of its own where this process may make one
(`session.cgroup`). The kernel then bounds memory, files in memory and nearly all kernel memory
together by `memory_bytes + workspace_bytes + 2 * scratch_bytes`. Elsewhere the keeper adds up from
/proc what each process holds; the filter refuses shared anonymous mappings above 1 MiB and switches
huge pages off. A command killed for either has ended by "memory". Both refuse what nobody counts:
memfd, System V memory, huge pages of the machine's pool, vmsplice, io_setup, Landlock rules,
further filters, a futex table of its own, and locks of open file descriptions. What remains:

- with a cgroup: file locks, which no cgroup counts (about 15 MB, checked every 30 ms), and parts
  of huge pages that were given back, up to the sum above: the kernel takes them when it needs them;
- without: kernel memory that is not in proportion to open descriptors, namely queues of unix
  sockets (up to about 110 MB: SO_SNDBUF is ignored), of pipes (64 MB) and of inotify
  (8 instances, 64 MB), and inodes of the files that `files` allows (about 1 KB each). Many
  processes that make many mappings are noticed late, up to ten seconds on a busy machine.

**landlock** (isolation "weak", only when asked for): Landlock 6 and the same filter, no
namespaces. Other processes' existence, and names and metadata of host files, can be seen. A
plain user's own files outside can be chmod'ed or have their times set. The workspace is a copy
on disk without a bound on all its bytes or inodes. Process and memory bounds are checked, not
enforced by the kernel (a root controller, which drops to a user of its own, has the former; a
cgroup enforces the latter). Sockets and file locks are not counted, and inotify has the machine's
limits: without a cgroup, 128 queues of up to 8 MB each.

**docker** (isolation "full", only when an image is named): what the engine promises, with every
capability dropped, no network, a read-only root and sized tmpfs; the same keeper inside. The
engine's memory limit is the sum above and includes the keeper: a command that reaches it may end
the whole session. Inside, memory is added up and the filter refuses as without a cgroup.

**local** (isolation "none", only when named): no isolation at all, for your own trusted code.
Without a cgroup and the filter, memory in large shared mappings is not counted.
"""

from srl_env.sandbox.backends import BACKENDS, Sandbox, open_sandbox
from srl_env.sandbox.command import CommandResult, printable
from srl_env.sandbox.docker import DockerSandbox
from srl_env.sandbox.limits import Isolation, Limits, Mount, Preload
from srl_env.sandbox.native import LandlockSandbox, LocalSandbox, NamespaceSandbox
from srl_env.sandbox.selfcheck import SelfCheck, self_check
from srl_env.sandbox.session import Session
from srl_env.sandbox.snapshot import Change, Snapshot

__all__ = [
    "BACKENDS",
    "Change",
    "CommandResult",
    "DockerSandbox",
    "Isolation",
    "LandlockSandbox",
    "Limits",
    "LocalSandbox",
    "Mount",
    "NamespaceSandbox",
    "Preload",
    "Sandbox",
    "SelfCheck",
    "Session",
    "Snapshot",
    "open_sandbox",
    "printable",
    "self_check",
]
