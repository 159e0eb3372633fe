"""What can go wrong, as types; all of them are TillbookError."""


class TillbookError(Exception):
    """The base of every error raised here."""


class AmountError(TillbookError, ValueError):
    """A text that is no amount, or an amount that is not allowed where it was given."""


class CurrencyMismatch(TillbookError):
    """Two amounts of different currencies where one currency is needed."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"amounts in {one} and {other} cannot be combined")
        self.one = one
        self.other = other


class UnknownRate(TillbookError, LookupError):
    """No exchange rate, or no tax rate, for what was asked."""


class InvoiceError(TillbookError):
    """An invoice used in a way that its state does not allow."""
