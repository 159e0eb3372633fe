"""What runs on the far side of the sandbox: launcher, keeper, kernel calls.

Only the standard library, and only relative imports: these modules are loaded by a clean
interpreter (``python -I -S``) that sees this folder and nothing else of the library, in a
helper process, in a container, or as process 1 of a namespace.
"""
