"""What is recorded of an expert's way, beside what built tasks show (``test_builder.py``)."""

from __future__ import annotations

import fractions
import sys

from srl_env.swe.builder.expert import without_home


def test_a_traceback_through_the_standard_library_does_not_tell_where_that_lies() -> None:
    line = f'  File "{fractions.__file__}", line 372, in reverse\n'
    usual = f"/usr/lib/python3.{sys.version_info.minor}/fractions.py"
    assert without_home(line) == f'  File "{usual}", line 372, in reverse\n'
