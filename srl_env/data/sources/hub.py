"""Problems from the Hugging Face ``datasets`` library (extra "data")."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from srl_env.data.rows import Converter, Row, problem_from_row
from srl_env.data.sources.source import RowSource
from srl_env.errors import BadOption, MissingExtra
from srl_env.hub import hub_or_cache

if TYPE_CHECKING:
    from datasets import Dataset


class DatasetSource(RowSource):
    """The problems of a ``datasets.Dataset``, read row by row when they are asked for.

    name: by default the data set's own, with its split. options: those of ``RowSource``.
    """

    def __init__(
        self,
        dataset: Dataset,
        convert: Converter = problem_from_row,
        *,
        name: str | None = None,
        **options: Any,
    ) -> None:
        if not hasattr(dataset, "num_rows") or isinstance(dataset.num_rows, dict):
            raise BadOption(
                "dataset must be a datasets.Dataset, whose rows have numbers; got "
                f"{type(dataset).__name__}. Fix: choose a split, and do not stream"
            )
        self.dataset = dataset
        own = f"{dataset.info.dataset_name or 'dataset'}/{dataset.split or 'all'}"
        super().__init__(own if name is None else name, convert, **options)

    @classmethod
    def from_hub(
        cls,
        path: str,
        convert: Converter = problem_from_row,
        *,
        hub_split: str = "train",
        config: str | None = None,
        revision: str | None = None,
        load: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> DatasetSource:
        """The problems of a data set on the hub, or of a builder such as "json" or "parquet".

        path, config, hub_split, revision and ``load`` (other arguments) go to
        ``datasets.load_dataset``, whose errors are not caught. options: as for the class.
        """
        try:
            from datasets import load_dataset
        except ImportError as error:
            raise MissingExtra("datasets", "data") from error
        with hub_or_cache():
            dataset = load_dataset(path, config, split=hub_split, revision=revision, **(load or {}))
        return cls(dataset, convert, **{"name": f"{path}/{hub_split}"} | options)

    def _locate(self) -> array[int]:
        return array("q", range(self.dataset.num_rows))

    def _row(self, key: int) -> Row:
        row: dict[str, Any] = self.dataset[key]
        return row

    def _place(self, key: int) -> str:
        return f"{self.name}, row {key}"
