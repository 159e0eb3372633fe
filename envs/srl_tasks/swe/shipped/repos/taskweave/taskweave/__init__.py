"""Plans: tasks that need one another, in order, on a critical path, shared out to workers."""

from taskweave.chart import gantt, tree
from taskweave.critical import Window, critical_path, total_hours, windows
from taskweave.durations import format_hours, parse_hours
from taskweave.errors import CycleFound, PlanError, UnknownTask
from taskweave.graph import Graph
from taskweave.order import find_cycle, levels, sort_tasks
from taskweave.plan import Plan, Task, read_plan
from taskweave.progress import Progress
from taskweave.schedule import Assignment, Schedule, make_schedule

__all__ = [
    "Assignment",
    "CycleFound",
    "Graph",
    "Plan",
    "PlanError",
    "Progress",
    "Schedule",
    "Task",
    "UnknownTask",
    "Window",
    "critical_path",
    "find_cycle",
    "format_hours",
    "gantt",
    "levels",
    "make_schedule",
    "parse_hours",
    "read_plan",
    "sort_tasks",
    "total_hours",
    "tree",
    "windows",
]
