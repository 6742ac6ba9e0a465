"""Tasks about a variable's type: a set takes `.add`, a string takes `+=`."""

import dataclasses

from circuit_sparsity.tasks.template import Template, TemplateTask

_ANSWERS = (".add($n9)\n", " += $n9\n")
_FIXED = "current"

# `$n1` is the variable that is asked about; templates with two such variables come after these.
_ONE_VARIABLE = (
    Template(
        "prune",
        """
$n1 = «set()|""»
for $n9 in $s2:
    $n1""",
    ),
    Template(
        "prune",
        """
def $v1_$n3($s2):
    $n1 = «set()|''»
    for $n9 in $s2:
        if $n9 > $d1:
            $n1""",
    ),
    Template(
        "prune",
        """
$n1 = «set()|""»
print("$p1")
$n1""",
    ),
    Template(
        "prune",
        """
def $v1($s2, $n3):
    $n1 = «set()|''»
    for $n9 in $s2:
        $n3 += $d1
        $n1""",
    ),
    Template(
        "validation",
        """
$n1 = «set()|""»
$n2 = $d1
for $n9 in $s3:
    if $n9 == $n2:
        continue
    $n1""",
    ),
    Template(
        "validation",
        """
class $N1:
    def $v1(self, $s2):
        $n1 = «set()|''»
        for $n9 in $s2:
            $n1""",
    ),
    Template(
        "test",
        """
def $v1(self, $n2):
    $n1 = «set()|""»
    for $n9 in self.$s3:
        $n1""",
        novel=2,
    ),
    Template(
        "test",
        """
$n1 = «set()|''»
for $n9 in $s2:
    assert $n9 in $s3
    $n1""",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1($n2):
    $n1 = «set()|""»
    async for $n9 in $n2:
        $n1""",
        novel=2,
    ),
    Template(
        "test",
        """
import $n2
$n1 = «set()|''»
with $n2.$v1() as $n9:
    $n1""",
        novel=2,
    ),
)

_TWO_VARIABLES = (
    Template(
        "prune",
        """
$n1 = set()
$n2 = ""
for $n9 in $s3:
    «$n1|$n2»""",
    ),
    Template(
        "validation",
        """
def $v1($s3):
    $n2 = ''
    $n1 = set()
    for $n9 in $s3:
        «$n1|$n2»""",
    ),
    Template(
        "test",
        """
def $v1_$n4($n5):
    $n1, $n2 = set(), ""
    while $n9 := $n5.$v2():
        «$n1|$n2»""",
        novel=2,
    ),
)


def _with_fixed_name(template: Template) -> Template:
    return dataclasses.replace(template, text=template.text.replace("$n1", _FIXED))


SET_OR_STRING = TemplateTask(
    "set_or_string",
    "How does the variable grow: by `.add` if it is a set or by `+=` if it is a string?",
    answers=_ANSWERS,
    templates=(*_ONE_VARIABLE, *_TWO_VARIABLES),
)

SET_OR_STRING_FIXEDVARNAME = TemplateTask(
    "set_or_string_fixedvarname",
    "How does `current` grow: by `.add` if it is a set or by `+=` if it is a string?",
    answers=_ANSWERS,
    templates=tuple(_with_fixed_name(template) for template in _ONE_VARIABLE),
)

GATHERING_TASKS = (SET_OR_STRING, SET_OR_STRING_FIXEDVARNAME)
