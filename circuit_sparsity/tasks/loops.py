"""Tasks about loops: their keywords, what they go through, and the indentation of their bodies."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_FOR_TEMPLATES = (
    Template(
        "prune",
        """
$s2 = [$D1]
«for|while» $n1""",
        finish="    pass\n",
    ),
    Template(
        "prune",
        """
def $v1_$n2($s3):
    «for|while» $n1""",
        finish="        pass\n",
    ),
    Template(
        "prune",
        """
for $n2 in $s3:
    $v1($n2)
    «for|while» $n1""",
        finish="        pass\n",
    ),
    Template(
        "prune",
        """
if $n2 > $d1:
    print("$p1")
«for|while» $n1""",
        finish="    pass\n",
    ),
    Template(
        "validation",
        """
class $N2:
    def $v1(self, $n3):
        $n4 = $n3 * $d1
        «for|while» $n1""",
        finish="            pass\n",
    ),
    Template(
        "validation",
        '''
def $v1($n2, $n3=None):
    """$w1 $p1."""
    «for|while» $n1''',
        finish="        pass\n",
    ),
    Template(
        "test",
        """
import $n2
with $n2.$v1() as $n3:
    «for|while» $n1""",
        finish="        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1_$n2($n3):
    global $n4
    «for|while» $n1""",
        finish="        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1($n2):
    await $n2
    «for|while» $n1""",
        finish="        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
try:
    $v1($n2)
finally:
    «for|while» $n1""",
        finish="        pass\n",
        novel=2,
    ),
)

FOR_WHILE = TemplateTask(
    "for_while",
    "What follows the variable: `in` after for or `:` after while?",
    answers=(" in $s9:\n", ":\n"),
    templates=_FOR_TEMPLATES,
)

_COMPREHENSION = (" enumerate($s9)]\n", " range($d9)]\n")

_ENUMERATE_TEMPLATES = (
    Template(
        "prune",
        """
$s2 = [$D1]
for $n1«, $n2|» in""",
        finish="    pass\n",
    ),
    Template(
        "prune",
        """
def $v1_$n3($s4):
    $n5 = $d1
    for $n1«, $n2|» in""",
        finish="        pass\n",
    ),
    Template(
        "prune",
        """
for $n3 in $s3:
    for $n1«, $n2|» in""",
        finish="        pass\n",
    ),
    Template(
        "prune",
        """
# $p1
print("$p2")
for $n1«, $n2|» in""",
        finish="    pass\n",
    ),
    Template(
        "validation",
        """
if $n3 == $d1:
    print("$p1")
    for $n1«, $n2|» in""",
        finish="        pass\n",
    ),
    Template(
        "validation",
        """
class $N3:
    def $v1(self):
        $s4 = [$D1]
        for $n1«, $n2|» in""",
        finish="            pass\n",
    ),
    Template(
        "test",
        """
import $n3
with $n3.$v1() as $n4:
    for $n1«, $n2|» in""",
        finish="        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1($n3):
    yield [$n1 for $n1«, $n2|» in""",
        answers=_COMPREHENSION,
        novel=1,
    ),
    Template(
        "test",
        """
def $v1_$n3($n4):
    global $n5
    for $n1«, $n2|» in""",
        finish="        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
$n3 = lambda: [$n1 for $n1«, $n2|» in""",
        answers=_COMPREHENSION,
        novel=1,
    ),
    Template(
        "test",
        """
async def $v1($n3):
    await $n3.$v2()
    for $n1«, $n2|» in""",
        finish="        pass\n",
        novel=2,
    ),
)

ENUMERATE_RANGE = TemplateTask(
    "enumerate_range",
    "What does the loop run over: `enumerate` with two variables or `range` with one?",
    answers=(" enumerate($s9):\n", " range($d9):\n"),
    templates=_ENUMERATE_TEMPLATES,
)

# The prompts end with the newline; all statements stand at the depth of a function's body.
_INDENT_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n1($s2):
    $n9 = $d1
    «for $n2 in $s2:|$n2 = $s2»
""",
    ),
    Template(
        "prune",
        """
def $v1($n1, $n9):
    print("$p1")
    «for $n3 in range($n1):|$n3 = $v2($n1)»
""",
    ),
    Template(
        "prune",
        """
if $n1 > $d1:
    «for $n2 in $s3:|$n2 = $s3»
""",
    ),
    Template(
        "prune",
        """
$s1 = [$D1]
while $n9 < $d1:
    «for $n1 in $s1:|$n1 = $s1»
""",
    ),
    Template(
        "validation",
        """
def $v1($n9=None):
    $s1 = [$D1]
    «for $n2, $n3 in enumerate($s1):|$n2, $n3 = $v2($s1)»
""",
    ),
    Template(
        "validation",
        """
for $n9 in $s1:
    «for $n2 in range($d1):|$n2 = $v1($d1)»
""",
    ),
    Template(
        "test",
        """
def $v1(self):
    $n9 = $d1
    «for $n1 in self.$s2:|$n1 = self.$s2»
""",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1_$n1($n2, $n9):
    «for $n3 in $n2.$v2($n9):|$n3 = $n2.$v2($n9)»
""",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1($n1, $n9):
    «async for $n2 in $n1:|$n2 = await $n1»
""",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1($n9, $n1, $n2):
    «for $n3 in $n1[$n2:]:|$n3 = $n1[$n2:]»
""",
        novel=2,
    ),
)

INDENT_FOR = TemplateTask(
    "indent_for",
    "Is the next line indented further, as after a for line, or not?",
    answers=("        $n9 += $d9\n", "    $n9 += $d9\n"),
    templates=_INDENT_TEMPLATES,
)

LOOP_TASKS = (FOR_WHILE, ENUMERATE_RANGE, INDENT_FOR)
