"""The tasks circuits are looked for on, by name."""

from collections.abc import Mapping

from circuit_sparsity.tasks.brackets import BRACKET_TASKS
from circuit_sparsity.tasks.strings import STRING_TASKS
from circuit_sparsity.tasks.template import TemplateTask

TASKS: Mapping[str, TemplateTask] = {task.name: task for task in (*STRING_TASKS, *BRACKET_TASKS)}
