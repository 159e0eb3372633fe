"""Money without floats: amounts, discounts, taxes, invoices and who still owes what."""

from tillbook.aging import aging_report, bucket_for, days_overdue, late_fee, reminder_level
from tillbook.discounts import (
    Tier,
    best_of,
    fixed_off,
    in_turn,
    percent_off,
    tiered,
    volume_rate,
)
from tillbook.errors import (
    AmountError,
    CurrencyMismatch,
    InvoiceError,
    TillbookError,
    UnknownRate,
)
from tillbook.invoice import Invoice, LineItem, next_number
from tillbook.money import Money, parse_money, round_half_away, total_of
from tillbook.payments import Account, Payment
from tillbook.rates import RateTable
from tillbook.tax import TaxTable, add_tax, included_tax, standard_table

__all__ = [
    "Account",
    "AmountError",
    "CurrencyMismatch",
    "Invoice",
    "InvoiceError",
    "LineItem",
    "Money",
    "Payment",
    "RateTable",
    "TaxTable",
    "Tier",
    "TillbookError",
    "UnknownRate",
    "add_tax",
    "aging_report",
    "best_of",
    "bucket_for",
    "days_overdue",
    "fixed_off",
    "in_turn",
    "included_tax",
    "late_fee",
    "next_number",
    "parse_money",
    "percent_off",
    "reminder_level",
    "round_half_away",
    "standard_table",
    "tiered",
    "total_of",
    "volume_rate",
]
