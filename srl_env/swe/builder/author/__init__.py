"""Bugs and sentences that a model writes: untrusted text, of which runs decide what is kept.

``prompt.py`` asks, ``answer.py`` reads a bug, ``sentences.py`` checks a statement's sentences, and
``author.py`` has the policy, the journal of its answers, and the counts.
"""
