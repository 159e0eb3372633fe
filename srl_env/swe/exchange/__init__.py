"""Tasks in the formats of other projects: ``export_tasks`` and ``import_tasks``."""

from srl_env.swe.exchange.formats import FORMATS, Export, export_tasks
from srl_env.swe.exchange.imports import import_tasks

__all__ = ["FORMATS", "Export", "export_tasks", "import_tasks"]
