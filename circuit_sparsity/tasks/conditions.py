"""Tasks about conditions: a statement or an expression, with or without a test."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_TERNARY_TEMPLATES = (
    Template(
        "prune",
        """
$n1 = $n2«
if| if» $n3""",
        finish="«    pass\n|»",
    ),
    Template(
        "prune",
        """
def $v1_$n1($n2, $n3):
    $n4 = $d1«
    if| if» $n2""",
        finish="«        pass\n|»",
    ),
    Template(
        "prune",
        """
for $n1 in $s2:
    $n3 = $n1«
    if| if» $n4 > $d1""",
        finish="«        pass\n|»",
    ),
    Template(
        "prune",
        """
print("$p1")
$n1 = "$w1"«
if| if» $n2 == $n3""",
        finish="«    pass\n|»",
    ),
    Template(
        "validation",
        """
class $N1:
    def $v1(self, $n2):
        $n3 = $d1«
        if| if» $n2""",
        finish="«            pass\n|»",
    ),
    Template(
        "validation",
        """
while $n1 < $d1:
    $n2 = $n3«
    if| if» not $n1""",
        finish="«        pass\n|»",
    ),
    Template(
        "test",
        """
def $v1($n1, $n2):
    yield $n1«
    if| if» $n2""",
        finish="«        pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
class $N1:
    def $v1(self, $n2):
        self.$n3 = $n2«
        if| if» self.$n4""",
        finish="«            pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1($n1, $n2):
    $n3 = await $n1«
    if| if» $n2""",
        finish="«        pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1_$n1($n2, $n3):
    $n2["$w1"] = $n3.$n4«
    if| if» $n3 > $d1""",
        finish="«        pass\n|»",
        novel=2,
    ),
)

IF_TERNARY = TemplateTask(
    "if_ternary",
    "What follows the test: `:` in an if statement or `else` in an expression?",
    answers=(":\n", " else $d9\n"),
    templates=_TERNARY_TEMPLATES,
)

_ELSE_TEMPLATES = (
    Template(
        "prune",
        """
if $n1 > $d1:
    print("$p1")
«else|elif»""",
        finish="«| < $d2:\n»    pass\n",
    ),
    Template(
        "prune",
        """
def $v1_$n2($n1):
    if $n1 == $d1:
        return $d3
    «else|elif»""",
        finish="«| < $d2:\n»        pass\n",
    ),
    Template(
        "prune",
        """
for $n1 in $s2:
    if $n1 > $d1:
        $n3 += $d3
    «else|elif»""",
        finish="«| < $d2:\n»        pass\n",
    ),
    Template(
        "prune",
        """
if $n1:
    $n2 = $n3
elif $n1 == $d1:
    $n2 = $d3
«else|elif»""",
        finish="«| < $d2:\n»    pass\n",
    ),
    Template(
        "validation",
        """
class $N2:
    def $v1(self, $n1):
        if $n1 < $d1:
            $s3.append($n1)
        «else|elif»""",
        finish="«| > $d2:\n»            pass\n",
    ),
    Template(
        "validation",
        """
while $n1 < $d1:
    if $n1 == $d3:
        break
    «else|elif»""",
        finish="«| > $d2:\n»        pass\n",
    ),
    Template(
        "test",
        """
def $v1($n1):
    if $n1 > $d1:
        yield $n1 + $d3
    «else|elif»""",
        finish="«| < $d2:\n»        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1_$n2(self, $n1):
    if not $n1:
        self.$n3 -= $n4
    «else|elif»""",
        finish="«| < $d2:\n»        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1($n1, $n2):
    if $n1 == $d1:
        await $n2.$v2($n1)
    «else|elif»""",
        finish="«| > $d2:\n»        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
if $n1 < $d1:
    $n2 = lambda: $n3
«else|elif»""",
        finish="«| > $d2:\n»    pass\n",
        novel=2,
    ),
)

ELSE_ELIF = TemplateTask(
    "else_elif",
    "What comes next: `:` after else or a condition after elif?",
    answers=(":\n", " $n1"),
    templates=_ELSE_TEMPLATES,
)

_EQUALS_TEMPLATES = (
    Template(
        "prune",
        """
$n2 = $d1
«if |»$n1""",
        finish="«:\n    pass|»\n",
    ),
    Template(
        "prune",
        """
def $v1_$n2($n1, $n3):
    print("$p1")
    «if |»$n1""",
        finish="«:\n        pass|»\n",
    ),
    Template(
        "prune",
        """
for $n1 in $s2:
    «if |»$n1""",
        finish="«:\n        pass|»\n",
    ),
    Template(
        "prune",
        """
$s2 = [$D1]
# $p1
«if |»$n1""",
        finish="«:\n    pass|»\n",
    ),
    Template(
        "validation",
        """
class $N2:
    def $v1(self, $n1):
        «if |»$n1""",
        finish="«:\n            pass|»\n",
    ),
    Template(
        "validation",
        """
while $n2:
    $n3 = $n2 - $d1
    «if |»$n1""",
        finish="«:\n        pass|»\n",
    ),
    Template(
        "test",
        """
def $v1($n2):
    global $n1
    «if |»$n1""",
        finish="«:\n        pass|»\n",
        novel=2,
    ),
    Template(
        "test",
        """
import $n2
with $n2.$v1() as $n3:
    «if |»$n1""",
        finish="«:\n        pass|»\n",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1_$n2($n1, $n3):
    await $n3
    «if |»$n1""",
        finish="«:\n        pass|»\n",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1(self, $n1):
    self.$n2, self.$n3 = $d1, $n1
    «if |»$n1""",
        finish="«:\n        pass|»\n",
        novel=2,
    ),
)

IF_EQUALS = TemplateTask(
    "if_equals",
    "Which comes next: `==` in a condition or `=` in an assignment?",
    answers=(" == $d9", " = $d9"),
    templates=_EQUALS_TEMPLATES,
)

CONDITION_TASKS = (IF_TERNARY, ELSE_ELIF, IF_EQUALS)
