"""The tasks circuits are looked for on, by name."""

from collections.abc import Mapping

from circuit_sparsity.tasks.brackets import BRACKET_TASKS
from circuit_sparsity.tasks.conditions import CONDITION_TASKS
from circuit_sparsity.tasks.copying import COPYING_TASKS
from circuit_sparsity.tasks.files import FILE_TASKS
from circuit_sparsity.tasks.functions import FUNCTION_TASKS
from circuit_sparsity.tasks.gathering import GATHERING_TASKS
from circuit_sparsity.tasks.loops import LOOP_TASKS
from circuit_sparsity.tasks.strings import STRING_TASKS
from circuit_sparsity.tasks.template import TemplateTask
from circuit_sparsity.tasks.truth import TRUTH_TASKS

_FAMILIES = (
    STRING_TASKS,
    FUNCTION_TASKS,
    GATHERING_TASKS,
    COPYING_TASKS,
    FILE_TASKS,
    BRACKET_TASKS,
    LOOP_TASKS,
    CONDITION_TASKS,
    TRUTH_TASKS,
)

TASKS: Mapping[str, TemplateTask] = {task.name: task for family in _FAMILIES for task in family}
