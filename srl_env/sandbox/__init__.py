"""sandbox"""
from srl_env.sandbox.interface import (Change, CommandResult, Limits, Mount, Sandbox, Session, Snapshot, printable)
from srl_env.sandbox.launched import LandlockSandbox, LocalSandbox, NamespaceSandbox
