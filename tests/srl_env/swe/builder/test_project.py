"""What is found out about a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from srl_env.errors import BadOption
from srl_env.sandbox import Sandbox
from srl_env.swe.builder.project import Project, copy_repository, find_checkout, inspect_project
from tests.srl_env.swe.builder.conftest import SHOP, Write


def inspected(sandbox: Sandbox, path: Path, **settings: float) -> Project:
    return inspect_project(path, "shop", sandbox, **settings)


def test_functions_tests_and_calls_are_found(sandbox: Sandbox, repository: Write) -> None:
    project = inspected(sandbox, repository(SHOP))
    assert project.checkout.repository.python_path == (".",)
    assert len(project.tests) == 6
    assert project.excluded == {}
    assert {target.id: len(target.tests) for target in project.targets} == {
        "shop/prices.py:dearest": 2,
        "shop/prices.py:total": 2,
    }
    assert "dearest([3, 1, 2], 2)" in {call["expression"] for call in project.calls}
    assert project.visible_files == ("tests/test_import.py", "tests/test_prices.py")


def test_unreliable_tests_are_excluded_with_the_reason(sandbox: Sandbox, repository: Write) -> None:
    odd = """
import pytest, shop.gone
"""
    flaky = """
import pytest
from shop.prices import total

def test_fails():
    assert total([1]) == 2

@pytest.mark.skip
def test_is_skipped():
    pass

SEEN = []

@pytest.mark.parametrize("number", range(6))
def test_order(number):
    SEEN.append(number)
    assert SEEN[: number + 1] == list(range(number + 1))
"""
    files = {**SHOP, "tests/test_odd.py": odd, "tests/test_flaky.py": flaky}
    project = inspected(sandbox, repository(files))
    reasons = {name.rpartition("::")[2]: why for name, why in project.excluded.items()}
    assert "No module named 'shop.gone'" in reasons.pop("tests/test_odd.py")
    assert "assert 1.0 == 2" in reasons.pop("test_fails")
    assert reasons.pop("test_is_skipped") == "skipped, or passes although it is expected to fail"
    assert len(reasons) >= 3
    assert all("does not always pass" in why for why in reasons.values())
    assert len([test for test in project.tests if "flaky" not in test]) == 6


def test_a_src_layout_and_helpers_beside_the_tests(sandbox: Sandbox, repository: Write) -> None:
    files = {
        "src/shop/__init__.py": "def one():\n    return 1\n",
        "tests/helper.py": "def twice(value):\n    return 2 * value\n",
        "tests/conftest.py": "import pytest\n\n@pytest.fixture\ndef two():\n    return 2\n",
        "tests/test_one.py": (
            "from helper import twice\nfrom shop import one\n\n"
            "def test_one(two):\n    assert twice(one()) == two\n"
        ),
        "setup.py": "raise SystemExit\n",
    }
    project = inspected(sandbox, repository(files))
    assert project.checkout.repository.python_path == ("src", "tests")
    assert project.checkout.repository.conftest
    assert [target.id for target in project.targets] == ["src/shop/__init__.py:one"]


def test_packages_in_folders_of_their_own_are_found(repository: Write) -> None:
    files = {
        "libs/shop/__init__.py": "import tools\n",
        "more/tools/__init__.py": "",
        "docs/absent/__init__.py": "",
        "tests/shop/test_one.py": "import absent\nfrom shop import tools\n",
    }
    found = find_checkout(repository(files))
    assert found.repository.python_path == ("libs", "more")
    assert found.foreign == ("absent",)


def test_an_installed_package_is_shown(sandbox: Sandbox, repository: Write) -> None:
    files = {
        "shop.py": "import iniconfig\n\ndef name():\n    return iniconfig.__name__\n",
        "test_a.py": "from shop import name\n\ndef test_a():\n    assert name() == 'iniconfig'\n",
    }
    project = inspected(sandbox, repository(files))
    assert project.checkout.repository.packages == ("iniconfig",)
    assert len(project.tests) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README": ""}, "no Python file"),
        ({"shop.py": "x = 1\n"}, r"no tests in it; their files must be named test_\*\.py"),
        ({"test_a.py": "x = 1\n"}, "pytest finds no test in test_a.py"),
        (
            {"test_a.py": "import absent_module\n\ndef test_a(): pass\n"},
            r"(?s)test_a.py cannot be imported.*No module named 'absent_module'.*pip install",
        ),
        (
            {"test_a.py": "def test_a():\n    assert 'this' == 'that'\n"},
            r"(?s)none of its 1 tests passes.*'this' == 'that'",
        ),
        ({"test_a.py": "def test_a():\n    pass\n"}, "tests run none of its own functions"),
        (
            {"test_a.py": "def test_a():\n    pass\n", "shop.py": "print 'Python 2'\n"},
            r"none of its own functions.*Python 3\.\d+ cannot read: shop\.py",
        ),
        (
            {".gitmodules": "", "test_a.py": "import vendored\n\ndef test_a(): pass\n"},
            r"(?s)No module named 'vendored'.*git submodule update --init",
        ),
        ({"test_a.py": "import os\nos._exit(3)\n"}, "exit status 3 before the end"),
    ],
)
def test_repositories_without_usable_tests_are_reported(
    sandbox: Sandbox, repository: Write, files: dict[str, str], message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        inspected(sandbox, repository(files))


def test_tests_that_do_not_end_are_reported(sandbox: Sandbox, repository: Write) -> None:
    files = {"test_a.py": "def test_a():\n    while True: pass\n"}
    with pytest.raises(BadOption, match=r"did not end within 1 s.*--test-timeout-s"):
        inspected(sandbox, repository(files), timeout_s=1)


def test_a_missing_path_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="does not exist"):
        copy_repository(tmp_path / "nowhere", tmp_path / "copy")
    (tmp_path / "file.tar.gz").write_text("")
    with pytest.raises(BadOption, match=r"no folder.*unpack"):
        copy_repository(tmp_path / "file.tar.gz", tmp_path / "copy")


def test_a_copy_has_no_history_caches_environments_or_cases(
    tmp_path: Path, repository: Write
) -> None:
    more = {
        "oracle_cases.toml": "",
        ".venv/lib/a.py": "",
        "odd-env/pyvenv.cfg": "",
        "build/lib/shop.py": "",
        "shop/build/__init__.py": "",
        "shop.egg-info/PKG-INFO": "",
        "out/dataset.json": "",  # tasks of an earlier build of the same repository
        "out/tasks.jsonl": "",
        "out/repos/shop/prices.py": "",
    }
    copy_repository(repository({**SHOP, **more}), tmp_path / "copy")
    found = {
        path.relative_to(tmp_path / "copy").as_posix()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }
    assert found == {
        "shop/__init__.py",
        "shop/prices.py",
        "shop/build/__init__.py",
        "tests/test_prices.py",
        "tests/test_import.py",
    }


def test_a_package_that_is_not_installed_is_no_error_until_a_test_needs_it(
    repository: Write,
) -> None:
    files = {**SHOP, "shop/extra.py": "try:\n    import absent\nexcept ImportError: pass\n"}
    assert find_checkout(repository(files)).repository.packages == ()
