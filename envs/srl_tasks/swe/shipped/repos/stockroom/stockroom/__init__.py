"""An inventory in whole units: movements, reservations, valuation, reorder points."""

from stockroom.codes import check_digit, clean_code, is_valid, with_check_digit
from stockroom.errors import CodeError, NotEnough, StockroomError, UnknownOrder
from stockroom.ledger import Ledger, Movement
from stockroom.reorder import Rule, order_quantity, proposals
from stockroom.report import stock_table, turnover
from stockroom.stock import Stock
from stockroom.units import Packing, parse_quantity, spelled_quantity
from stockroom.valuation import Valuation

__all__ = [
    "CodeError",
    "Ledger",
    "Movement",
    "NotEnough",
    "Packing",
    "Rule",
    "Stock",
    "StockroomError",
    "UnknownOrder",
    "Valuation",
    "check_digit",
    "clean_code",
    "is_valid",
    "order_quantity",
    "parse_quantity",
    "proposals",
    "spelled_quantity",
    "stock_table",
    "turnover",
    "with_check_digit",
]
