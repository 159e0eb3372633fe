"""What runs on the far side of the sandbox: launcher, keeper, kernel calls.

These modules use only the standard library and relative imports. A clean interpreter loads them,
which sees this folder and nothing else of the library. It runs in a helper process, in a
container, or as process 1 of a namespace.
"""
