"""The Python of docs/swe.md is one program, and runs as a reader would run it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/swe.md"


def test_the_page_on_software_engineering_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    Path("page.py").write_text("\n".join(blocks), "utf-8")
    runpy.run_path("page.py", run_name="__main__")
    assert "0.0 False oracle {'sandbox': 'namespaces'" in capsys.readouterr().out
