"""What holds for every test.

Ctrl-C arrives, also where the tests run as a job in the background: a shell starts such a job with
SIGINT ignored, and its children would inherit that. And no test leaves torch's own generator or
number of threads to the next: runs set them.
"""

import signal
import sys
from collections.abc import Iterator

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def as_at_first() -> Iterator[None]:
    torch = sys.modules.get("torch")  # the core never imports it
    if torch is None:
        yield
        return
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
