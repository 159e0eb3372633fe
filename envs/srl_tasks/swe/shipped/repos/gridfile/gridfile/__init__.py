"""Small tables from CSV text: typed columns, filters, groups, joins and summaries."""

from gridfile.aggregate import count_by, group, pivot
from gridfile.errors import CellError, ColumnError, CsvError, GridError
from gridfile.join import join, stack
from gridfile.query import add_column, distinct, fill_down, where
from gridfile.reader import read_rows, sniff_delimiter
from gridfile.stats import histogram, mean, median, quantile, spread
from gridfile.table import Table, read_table
from gridfile.types import column_kind, convert
from gridfile.writer import to_csv, to_text

__all__ = [
    "CellError",
    "ColumnError",
    "CsvError",
    "GridError",
    "Table",
    "add_column",
    "column_kind",
    "convert",
    "count_by",
    "distinct",
    "fill_down",
    "group",
    "histogram",
    "join",
    "mean",
    "median",
    "pivot",
    "quantile",
    "read_rows",
    "read_table",
    "sniff_delimiter",
    "spread",
    "stack",
    "to_csv",
    "to_text",
    "where",
]
