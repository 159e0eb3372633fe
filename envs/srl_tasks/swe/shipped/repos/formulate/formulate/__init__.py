"""Reads, simplifies, prints and evaluates formulas, and keeps sheets of them up to date."""

from formulate.errors import CycleError, EvaluationError, FormulaError, SyntaxFault, UnknownName
from formulate.evaluator import calculate, evaluate
from formulate.nodes import depth_of, functions_in, names_in
from formulate.parser import parse
from formulate.printer import to_text
from formulate.sheet import Sheet
from formulate.simplifier import simplify
from formulate.tokens import Token, tokenize

__all__ = [
    "CycleError",
    "EvaluationError",
    "FormulaError",
    "Sheet",
    "SyntaxFault",
    "Token",
    "UnknownName",
    "calculate",
    "depth_of",
    "evaluate",
    "functions_in",
    "names_in",
    "parse",
    "simplify",
    "to_text",
    "tokenize",
]
