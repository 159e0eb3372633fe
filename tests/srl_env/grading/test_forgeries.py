"""Changes that mend nothing and want a pass, each with the levels at which it is stopped.

Numbers are those of the list of attacks. Where a forgery gets through at a level, that is
asserted too: the levels' descriptions must not promise more.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from srl_env.grading import GradingTask, Trust, grade, runs
from srl_env.grading.controls import change_expectations
from srl_env.sandbox import Sandbox
from tests.srl_env.grading.conftest import FAULTY, FILE, GOLD, patch

HOOK = """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
"""
MODULE = "shop/prices.py"
ADDOPTS = "addopts = -p shop.forge --deselect tests/test_prices.py::test_a_discount_is_taken_off"
SPOOF = """
import atexit, json, os
def spoof():
    for descriptor in range(3, 30):
        phases = ("setup", "call", "teardown")
        records = [{"test": TEST, "phase": phase, "outcome": "passed"} for phase in phases]
        for number, record in enumerate([*records, {"end": 0}]):
            try:
                text = json.dumps({"number": number, **record})
                os.write(descriptor, b"0" * 64 + b" " + text.encode() + b"\\n")
            except OSError:
                pass
TEST = "tests/test_prices.py::test_a_discount_is_taken_off"
"""
WITHOUT_TOTAL = FAULTY.replace("def total", "def old_total")

# Before or beside the test process: every level stops them.
OUTSIDE: dict[str, dict[str, str | bytes]] = {
    "22 conftest at root": {"conftest.py": HOOK},
    "22 conftest in tests": {"tests/conftest.py": HOOK},
    "22 conftest in the package": {"shop/conftest.py": HOOK},
    "23 pytest.ini": {"pytest.ini": f"[pytest]\n{ADDOPTS}\n", "shop/forge.py": HOOK},
    "23 tox.ini": {"tox.ini": f"[pytest]\n{ADDOPTS}\n", "shop/forge.py": HOOK},
    "23 setup.cfg": {"setup.cfg": f"[tool:pytest]\n{ADDOPTS}\n", "shop/forge.py": HOOK},
    "23 pyproject": {
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p shop.forge'\n",
        "shop/forge.py": HOOK,
    },
    "24 shadowed pytest": {"pytest.py": "import sys; sys.exit(0)"},
    "24 shadowed pytest package": {"pytest/__init__.py": "", "_pytest/__init__.py": "x = 1"},
    "24 shadowed json": {"json.py": "def load(f): return {}\ndumps = str"},
    "24 shadowed hmac": {"hmac/__init__.py": "raise SystemExit(0)"},
    "24 sitecustomize": {"sitecustomize.py": "import os; os._exit(0)"},
    "24 pth": {"forge.pth": "import os; os._exit(0)"},
    "25 entry point": {
        "forge.egg-info/entry_points.txt": "[pytest11]\nforge = shop.forge\n",
        "forge.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: forge\nVersion: 1\n",
        "shop/forge.py": HOOK,
    },
    "25 planted pyc": {
        "shop/__pycache__/prices.cpython-311.pyc": b"\xa7\r\r\n" + bytes(12),
        "tests/__pycache__/test_prices.cpython-311-pytest-9.2.0.pyc": b"\xa7\r\r\n" + bytes(12),
    },
    "26 exit": {MODULE: "import os\nos._exit(0)"},
    "26 exit with spoofed lines": {MODULE: SPOOF + "spoof()\nos._exit(0)\n"},
    "26 spoofed at exit": {MODULE: SPOOF + "atexit.register(spoof)\n" + FAULTY},
    "26 raised exit": {MODULE: "raise SystemExit(0)"},
    "27 forged JUnit file": {
        "junit.xml": "<testsuite tests='4' failures='0'/>",
        MODULE: FAULTY + "\nopen('junit.xml', 'w').write(\"<testsuite failures='0'/>\")\n",
    },
    "27 tests rewritten by a daemon": {
        MODULE: "import os, time\nif os.fork() == 0:\n    os.setsid()\n    while True:\n"
        f"        open('{FILE}', 'w').write('')\n        time.sleep(0.01)\n{FAULTY}"
    },
    "30 weakened tests": {FILE: "def test_a_discount_is_taken_off(): pass"},
    "30 module-level skip": {MODULE: "import pytest\npytest.skip('x', allow_module_level=True)"},
    "30 skip when called": {
        MODULE: WITHOUT_TOTAL + "\ndef total(*a):\n    import pytest\n    pytest.skip('x')\n"
    },
    "30 xfail when called": {
        MODULE: WITHOUT_TOTAL + "\ndef total(*a):\n    import pytest\n    pytest.xfail('x')\n"
    },
    "31 pytest_plugins of the root": {
        "__init__.py": "pytest_plugins = ['shop.forge']", "shop/forge.py": HOOK,
    },
    "31 hooks of the root": {"__init__.py": f"pytest_plugins = ['__init__']\n{HOOK}"},
    "31 pytest_plugins of the package": {
        "shop/__init__.py": "pytest_plugins = ['shop.forge']", "shop/forge.py": HOOK,
    },
    "31 setup of the root": {"__init__.py": "import os\ndef setup_module(): os._exit(0)"},
    "31 metadata": {
        "shop/forge.dist-info/entry_points.txt": "[pytest11]\nforge = shop.forge\n",
        "shop/forge.dist-info/METADATA": "Metadata-Version: 2.1\nName: forge\nVersion: 1\n",
        "shop/forge.py": HOOK,
    },
    "31 plug-ins of pytest's names": {
        "terminalprogress.py": HOOK, "pytester.py": HOOK, "pytest_shop/__init__.py": HOOK,
    },
    "31 usercustomize": {"usercustomize/__init__.py": "import os; os._exit(0)"},
    "31 argcomplete": {"argcomplete.py": HOOK, "argcomplete/__init__.py": HOOK},
    "31 .pytest.ini": {".pytest.ini": f"[pytest]\n{ADDOPTS}\n", "shop/forge.py": HOOK},
    "31 pytest.toml": {
        "pytest.toml": "[pytest]\naddopts = ['-pshop.forge']", "shop/forge.py": HOOK,
    },
    "30 fork and continue": {MODULE: "import os\nif os.fork():\n    os._exit(0)\n" + FAULTY},
}  # fmt: skip

PATCHED = """
import _pytest.reports as reports
_original = reports.TestReport.from_item_and_call.__func__
def _forged(cls, item, call):
    call.excinfo = None
    return _original(cls, item, call)
reports.TestReport.from_item_and_call = classmethod(_forged)
"""
THROUGH_GC = """
import gc, os
for found in gc.get_objects():
    if type(found).__name__ == "Reporter" and hasattr(found, "_wanted"):
        for test in found._wanted:
            for phase in ("setup", "call", "teardown"):
                found.send({"test": test, "phase": phase, "outcome": "passed"})
        found.send({"end": 0})
        os._exit(0)
"""
EQUAL = """
class Equal(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = float.__hash__
def total(prices, discount=0.0):
    return Equal(sum(prices))
"""
PEEK = """
import ast, sys
def total(prices, discount=0.0):
    frame = sys._getframe(1)
    try:
        source = open(frame.f_code.co_filename).read().splitlines()[frame.f_lineno - 1]
        expected = ast.parse(source.strip()).body[0].test.comparators[0].value
    except Exception:
        expected = sum(prices)
    return JUDGED
"""
# Inside the interpreter that runs the tests: controls stop them, the weakest level does not.
INSIDE: dict[str, dict[str, str | bytes]] = {
    "28 patched pytest": {MODULE: FAULTY + PATCHED},
    "28 the reporter found through gc": {MODULE: THROUGH_GC + FAULTY},
    "29 always-equal object": {MODULE: WITHOUT_TOTAL + EQUAL},
    "29 source peek": {MODULE: WITHOUT_TOTAL + PEEK.replace("JUDGED", "expected")},
}
# Reads the expectation and returns it only where it looks like a true one: 15, but not 14 or 17.
PLAUSIBLE = "expected if expected % 3 == 0 and expected % 5 in (0, 1) else sum(prices)"
ADAPTIVE: dict[str, str | bytes] = {MODULE: WITHOUT_TOTAL + PEEK.replace("JUDGED", PLAUSIBLE)}


NAIVELY_PASSED = [
    "22 conftest at root",
    "23 pytest.ini",
    "24 shadowed pytest",
    "24 sitecustomize",
    "26 exit",
    "30 weakened tests",
]


@pytest.mark.parametrize("name", NAIVELY_PASSED)
def test_a_naive_grader_is_talked_into_a_pass(
    sandbox: Sandbox, task: GradingTask, name: str
) -> None:
    """Exit status 0 of pytest in the workspace: what the other tests here would let through."""
    with sandbox.start(task.tree, mounts=runs.pytest_mounts()) as session:
        session.apply(patch(dict(task.hidden)))
        session.apply(patch(OUTSIDE[name]))
        packages = str(runs._installed("pytest").parent)
        command = ["python3", "-m", "pytest", "-q", FILE]
        done = session.run(command, env={"PYTHONPATH": f".:{packages}"})
    assert done.status == 0, done.text()


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_works_from_outside_the_tests_is_stopped_at_every_level(
    sandbox: Sandbox, task: GradingTask, name: str
) -> None:
    # Controls and oracle only add to what the weakest level requires.
    result = grade(sandbox, replace(task, trust="inprocess", timeout_s=5), patch(OUTSIDE[name]))
    assert not result.resolved, result


@pytest.mark.parametrize("name", [*OUTSIDE, *INSIDE, "adaptive"])
def test_nothing_gets_past_the_oracle(sandbox: Sandbox, task: GradingTask, name: str) -> None:
    files = {**OUTSIDE, **INSIDE, "adaptive": ADAPTIVE}[name]
    result = grade(sandbox, replace(task, timeout_s=5), patch(files))
    assert not result.resolved, result
    assert not result.cases["half off"]


@pytest.mark.parametrize("name", INSIDE)
def test_what_works_inside_the_interpreter_is_stopped_by_controls_only(
    sandbox: Sandbox, task: GradingTask, name: str
) -> None:
    weak = grade(sandbox, replace(task, trust="inprocess"), patch(INSIDE[name]))
    assert weak.resolved, weak  # which is why this level promises nothing against it
    result = grade(sandbox, replace(task, trust="controlled"), patch(INSIDE[name]))
    assert not result.resolved
    assert not result.clean
    assert "passes although its expectation was changed" in result.tamper[0]


# Tests in other words, at which what reads the expectation, or is equal to all, is found out too.
WORDED = {
    "unittest": """
import unittest
from shop.prices import total
class Test(unittest.TestCase):
    def test_half_off(self): self.assertEqual(total([10, 20], 0.5), 15)
    def test_sum(self): self.assertEqual(total([1, 2, 3]), 6)
""",
    "assertTrue": """
import unittest
from shop.prices import total
class Test(unittest.TestCase):
    def test_half_off(self): self.assertTrue(total([10, 20], 0.5) == 15)
    def test_sum(self): self.assertTrue(total([1, 2, 3]) == 6)
""",
    "the expected value first": """
from shop.prices import total
class Test:
    def test_half_off(self): assert 15 == total([10, 20], 0.5)
    def test_sum(self): assert 6 == total([1, 2, 3])
""",
    "and": """
from shop.prices import total
class Test:
    def test_half_off(self): assert total([10, 20], 0.5) == 15 and total([10, 20]) == 30
    def test_sum(self): assert total([1, 2, 3]) == 6 and total([]) == 0
""",
}
READS_ALL = """
import ast, sys
def total(prices, discount=0.0):
    frame = sys._getframe(1)
    line = open(frame.f_code.co_filename).read().splitlines()[frame.f_lineno - 1]
    for node in ast.walk(ast.parse(line.strip())):
        sides = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "self.assertEqual":
            sides = node.args
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "self.assertNotEqual":
            sides = node.args
        for side in sides:
            try:
                return ast.literal_eval(side)
            except ValueError:
                pass
    return sum(prices)
"""


@pytest.mark.parametrize(
    ("worded", "forgery"),
    [*((worded, EQUAL) for worded in WORDED), *((w, READS_ALL) for w in WORDED if w != "and")],
)
def test_controls_change_values_and_not_only_what_is_said_of_them(
    sandbox: Sandbox, task: GradingTask, worded: str, forgery: str
) -> None:
    task = replace(
        task,
        trust="controlled",
        hidden={FILE: WORDED[worded].encode()},
        fail_to_pass=(f"{FILE}::Test::test_half_off",),
        pass_to_pass=(f"{FILE}::Test::test_sum",),
        controls=2,
    )
    assert grade(sandbox, task, patch({MODULE: GOLD})).resolved
    result = grade(sandbox, task, patch({MODULE: WITHOUT_TOTAL + forgery}))
    assert not result.resolved
    assert "passes although its expectation was changed" in result.tamper[0]


@pytest.mark.parametrize("value", ["2.0", "-2.0", "0.5", "1e999", "7", "-1", "'a'", "True"])
def test_a_control_always_changes_the_value_that_is_expected(value: str) -> None:
    source = f"def test(): assert f() == {value}".encode()
    for seed in range(50):
        changed = change_expectations(source, {"test"}, random.Random(seed)).decode()
        assert eval(changed.rpartition("==")[2]) != eval(value)


@pytest.mark.parametrize("kind", ["ValueError", "Exception", "BaseException"])
def test_a_control_always_changes_the_exception_that_is_expected(kind: str) -> None:
    source = f"def test():\n    with raises({kind}): f()".encode()
    for seed in range(20):
        changed = change_expectations(source, {"test"}, random.Random(seed)).decode()
        assert "raises(" in changed
        assert f"({kind})" not in changed


def test_an_adaptive_forgery_gets_past_controls_and_not_past_the_oracle(
    sandbox: Sandbox, task: GradingTask
) -> None:
    levels: list[Trust] = ["inprocess", "controlled", "oracle"]
    found: dict[Trust, bool] = {}
    only = replace(task, pass_to_pass=(), controls=2)
    for trust in levels:
        found[trust] = grade(sandbox, replace(only, trust=trust), patch(ADAPTIVE)).resolved
    assert found == {"inprocess": True, "controlled": True, "oracle": False}


@pytest.mark.parametrize(
    "script",
    [
        "rm -rf tests; ln -s shop tests",  # 30
        "ln -s /etc tests",
        f"mkdir tests; ln shop/prices.py {FILE}",
        "mkfifo shop/pipe; ln -s prices.py shop/link.py",
        "mkdir -p tests; mkfifo tests/test_prices.py",
    ],
)
def test_links_and_pipes_of_the_workspace_never_reach_the_grading(
    sandbox: Sandbox, task: GradingTask, script: str
) -> None:
    with sandbox.start(task.tree) as session:
        assert session.run(script).ok
        snapshot = session.snapshot()
    result = grade(sandbox, replace(task, trust="inprocess"), snapshot)
    assert not result.resolved
    assert result.clean
    assert all(result.pass_to_pass.values()), result.output
    assert result.dropped


SIGNED = """
import gc, hashlib, hmac, os
reporter = next(found for found in gc.get_objects() if type(found).__name__ == "Reporter")
sign = hmac.new(reporter._key, {text!r}, hashlib.sha256).hexdigest().encode()
os.write(reporter._channel, sign + b" " + {text!r} + b"\\n")
"""


@pytest.mark.parametrize(
    "text",
    [b"no json", b"\xff", b"[]", b"{}", b'{"number": 1, "test": []}', b"[" * 20_000, b"9" * 5_000],
)
def test_a_signed_record_of_nonsense_is_unclean_and_no_error(
    sandbox: Sandbox, task: GradingTask, text: bytes
) -> None:
    forged = {MODULE: FAULTY + SIGNED.format(text=text)}
    result = grade(sandbox, replace(task, trust="inprocess"), patch(forged))
    assert result.tamper == ("a record that no reporter writes",)
    assert not result.resolved


SAME_HASH = ",".join(f'{{"int": "{((1 << 61) - 1) * n:x}"}}' for n in range(1, 20_000))


@pytest.mark.parametrize(
    "value",
    ['{"float": "0x1p99999"}', '{"list": null}', f'{{"set": [{SAME_HASH}]}}'],
    ids=["too large", "no list", "numbers with one hash"],
)
def test_an_answer_that_is_hard_to_read_is_wrong_at_once(
    sandbox: Sandbox, task: GradingTask, value: str
) -> None:
    answer = f'{{"name": "half off", "value": {value}}}\n'
    forged = {MODULE: f"{FAULTY}\nwith open(3, 'w', closefd=False) as file: file.write({answer!r})"}
    started = time.monotonic()
    result = grade(sandbox, task, patch(forged))
    assert time.monotonic() - started < 3
    assert result.cases["half off"] is False
    assert not result.resolved


STARRED = "from shop.prices import *\n\ndef test_half_off(): assert total([10, 20], 0.5) == 15\n"
PLANTED = f"""
import sys, types
sys.modules["forge"] = types.ModuleType("forge")
exec({HOOK!r}, vars(sys.modules["forge"]))
pytest_plugins = ["forge"]
"""
MARKED_FROM_BELOW = """
import pytest, sys
frame = sys._getframe()
while "test_" not in frame.f_globals["__name__"]:
    frame = frame.f_back
frame.f_globals["pytestmark"] = pytest.mark.xfail
"""
# What a test module takes over from code under test by a star, or is given by it.
NAMES: dict[str, dict[str, str | bytes]] = {
    "a plug-in": {MODULE: "pytest_plugins = ['shop.forge']\n" + FAULTY, "shop/forge.py": HOOK},
    "itself as a plug-in": {MODULE: f"pytest_plugins = 'shop.prices'\n{HOOK}{FAULTY}"},
    "a package as a plug-in": {
        MODULE: f"import shop\nexec({HOOK!r}, vars(shop))\npytest_plugins = 'shop'\n{FAULTY}"
    },
    "a planted plug-in": {MODULE: PLANTED + FAULTY},
    "a mark": {MODULE: f"import pytest\npytestmark = pytest.mark.xfail\n{FAULTY}"},
    "a mark from below": {MODULE: MARKED_FROM_BELOW + FAULTY},
    "a skip": {MODULE: f"import pytest\npytestmark = pytest.mark.skip\n{FAULTY}"},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_code_under_test_steer_no_test(
    sandbox: Sandbox, task: GradingTask, name: str
) -> None:
    task = replace(
        task, trust="inprocess", hidden={FILE: STARRED.encode()},
        fail_to_pass=(f"{FILE}::test_half_off",), pass_to_pass=(),
    )  # fmt: skip
    result = grade(sandbox, task, patch(NAMES[name]))
    assert not result.resolved, result


PLUGIN = "import pytest\n@pytest.fixture\ndef half():\n    return 0.5\n"
FIXTURE = "from shop.prices import total\ndef test_half(half): assert total([4], half) == 2\n"


@pytest.mark.parametrize(
    ("path", "named"),
    [("shop/testing.py", "shop.testing"), ("shop/testing/__init__.py", "shop.testing")],
)
def test_a_plug_in_of_the_tree_is_loaded_unless_it_was_changed(
    sandbox: Sandbox, task: GradingTask, path: str, named: str
) -> None:
    (task.tree / "conftest.py").write_text(f"pytest_plugins = [{named!r}]\n")
    (task.tree / path).parent.mkdir(exist_ok=True)
    (task.tree / path).write_text(PLUGIN)
    task = replace(
        task, trust="inprocess", hidden={FILE: FIXTURE.encode()}, conftest=True,
        fail_to_pass=(f"{FILE}::test_half",), pass_to_pass=(),
    )  # fmt: skip
    gold = {MODULE: GOLD}
    assert grade(sandbox, task, patch(gold)).resolved
    assert not grade(sandbox, task, patch({path: PLUGIN + HOOK})).resolved
    assert not grade(sandbox, task, patch({"shop/__init__.py": HOOK, path: PLUGIN})).resolved
    assert not grade(sandbox, task, patch({**gold, path: PLUGIN})).resolved


CASE = """
import unittest
from shop.prices import total

class TestTotal(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(total([10, 20], 0.5), 15)

    def test_subtests(self):
        for off, want in [(0, 30), (0.5, 15)]:
            with self.subTest(off=off):
                self.assertEqual(total([10, 20], off), want)

def test_fixture(subtests):
    for off, want in [(0, 30), (0.5, 15)]:
        with subtests.test(off=off):
            assert total([10, 20], off) == want
"""
ENDINGS = [
    "import unittest.case as c; raise c._ShouldStop",
    "import unittest; raise unittest.SkipTest",
    "import pytest; pytest.skip('x')",
    "import pytest; pytest.xfail('x')",
    "import pytest; pytest.exit('x', 0)",
    "import sys; sys.exit(0)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise StopIteration",
    "import os; os._exit(0)",
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "test", ["TestTotal::test_plain", "TestTotal::test_subtests", "test_fixture"]
)
def test_no_way_to_end_a_test_from_within_passes_it(
    sandbox: Sandbox, task: GradingTask, ending: str, test: str
) -> None:
    task = replace(
        task, trust="inprocess", hidden={FILE: CASE.encode()},
        fail_to_pass=(f"{FILE}::{test}",), pass_to_pass=(),
    )  # fmt: skip
    forged = f"{WITHOUT_TOTAL}\ndef total(prices, off=0):\n    {ending}\n"
    result = grade(sandbox, task, patch({MODULE: forged}))
    assert not result.resolved, result
    assert grade(sandbox, task, patch({MODULE: GOLD})).resolved


AROUND: dict[str, dict[str, str | bytes]] = {
    "plug-ins of the package": {
        "shop/__init__.py": "pytest_plugins = ['shop.forge']",
        "shop/forge.py": HOOK,
    },
    "plug-ins of the folder": {
        "shop/checks/__init__.py": f"pytest_plugins = ['shop.checks']\n{HOOK}"
    },
    "set-up of the folder": {
        "shop/checks/__init__.py": "import os\ndef setUpModule(): os._exit(0)"
    },
}


@pytest.mark.parametrize("name", AROUND)
def test_the_packages_around_a_test_are_no_part_of_the_tests(
    sandbox: Sandbox, task: GradingTask, name: str
) -> None:
    path = "shop/checks/test_prices.py"
    task = replace(
        task, trust="inprocess", hidden={path: task.hidden[FILE]},
        fail_to_pass=(f"{path}::test_a_discount_is_taken_off",), pass_to_pass=(),
    )  # fmt: skip
    assert not grade(sandbox, task, patch(AROUND[name])).resolved
    right = grade(sandbox, task, patch({**AROUND[name], MODULE: GOLD}))
    assert right.resolved, right
