"""Looking at runs: one self-contained page, or the terminal.

``sources`` finds what lies in a folder; ``index`` reads its rollouts into columns; ``page``
writes the page, whose three parts are ``page.html``, ``page.css`` and ``page.js``; ``terminal``
shows the same in a terminal. Nothing here loads a model or makes an environment.
"""
