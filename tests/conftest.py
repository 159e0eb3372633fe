"""Ctrl-C arrives in every test, also where the tests run as a job in the background.

A shell starts such a job with SIGINT ignored, and its children would inherit that.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
