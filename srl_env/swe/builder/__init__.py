"""Tasks made from any Python project with tests: bugs are added, tried, described and fixed.

``build_tasks(path, out)`` does all of it; ``srl-env swe build`` is the command. The project's code
runs only in the sandbox.
"""
