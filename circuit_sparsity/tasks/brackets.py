"""Tasks about brackets: how deep a list is nested, and whether it is a dict or a list."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_COUNTING_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n1($n2):
    values =«[[|[»$D1""",
    ),
    Template(
        "prune",
        '''
def $v1_$n1($n2):
    """Returns $p1."""
    $s1 = «[[|[»$D1''',
    ),
    Template(
        "prune",
        """
def $v1($n1):
    $n2 = $n1 * $d1
    return «[[|[»$D1""",
    ),
    Template(
        "prune",
        """
class $N1:
    $n2 = $d1
    $s3 = «[[|[»$D1""",
    ),
    Template(
        "prune",
        """
# $p1
$s1 = «[[|[»$D1«], [|, »$D2""",
    ),
    Template(
        "prune",
        """
for $n1 in $s1:
    if $n1 > $d1:
        $n2 = «[[|[»$M1""",
    ),
    Template(
        "prune",
        """
$n1 = "$p1"
while $n2 < $d1:
    $s3 =«[[|[»$D1«], [|, »$D2""",
    ),
    Template(
        "validation",
        """
$s1 = [$d1, $d2]
while $n1:
    $s1 += «[[|[»$D1""",
        novel=1,
    ),
    Template(
        "validation",
        """
def $v1_$n1($s1):
    return $s1 + «[[|[»$D1«], [|, »$D2""",
        novel=1,
    ),
    Template(
        "test",
        """
def $v1($n1):
    while $n1 > $d1:
        yield «[[|[»$D1""",
        novel=1,
    ),
    Template(
        "test",
        """
def $v1_$n1($s1, $n2):
    $s3 = $s1 if $n2 else «[[|[»$D1""",
        novel=1,
    ),
    Template(
        "test",
        """
import $n1
$v1_$s2 = lambda: «[[|[»$D1""",
        novel=1,
    ),
    Template(
        "test",
        """
$s1 = $v1($n2, $d1)
assert $s1 == «[[|[»$D1«], [|, »$D2""",
        novel=1,
    ),
    Template(
        "test",
        """
class $N1:
    $s2: list = «[[|[»$D1""",
        novel=1,
    ),
    Template(
        "test",
        """
def $v1(self):
    with self.$n1:
        $n2, $s3 = $d1, «[[|[»$D1""",
        novel=1,
    ),
    Template(
        "test",
        """
try:
    $s1 = $n2.$v1()
except KeyError:
    $s1 = $s3 or «[[|[»$M1""",
        novel=1,
    ),
)

BRACKET_COUNTING = TemplateTask(
    "bracket_counting",
    "How many brackets close the list: `]`, or `]]` where it is nested?",
    answers=("]]\n", "]\n"),
    templates=_COUNTING_TEMPLATES,
)

_TEXT_ENTRY = ('": "$w9"', '", "$w9"')
_NUMBER_ENTRY = (": $d9", ", $d9")
_END = "«}|]»\n"

_BRACE_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n1($n2):
    $s3 = «{|[»"$w1«":|",» "$w2", "$w3""",
        finish=_END,
    ),
    Template(
        "prune",
        """
$n1 = $d5
$s2 = «{|[»"$w1«":|",» $d1, "$w2«":|",» $d2, "$w3""",
        answers=('": $d9', '", $d9'),
        finish=_END,
    ),
    Template(
        "prune",
        """
class $N1:
    $n2 = $d1
    $s3 = «{|[»"$w1«":|",» "$w2", "$w3«":|",» "$w4", "$w5""",
        finish=_END,
    ),
    Template(
        "prune",
        """
for $n1 in $s2:
    $s3 = [$D1]
    $s4 = «{|[»"$w1«":|",» "$w2", "$w3""",
        finish=_END,
    ),
    Template(
        "validation",
        """
if $n1 == $d1:
    print('$p1')
    $s2 = «{|[»'$w1«':|',» '$w2', '$w3""",
        answers=("': '$w9'", "', '$w9'"),
        finish=_END,
    ),
    Template(
        "validation",
        """
$s1 = «{|[»
    "$w1"«:|,» "$w2",
    "$w3"«:|,» "$w4",
    "$w5""",
        finish="\n" + _END,
    ),
    Template(
        "test",
        """
def $v1($s1):
    for $n2 in $s1:
        yield «{|[»"$w1«":|",» "$w2", "$w3""",
        finish=_END,
        novel=1,
    ),
    Template(
        "test",
        """
import $n1
$v1_$s2 = lambda: «{|[»$d1«:|,» $d2, $d3""",
        answers=_NUMBER_ENTRY,
        finish=_END,
        novel=1,
    ),
    Template(
        "test",
        """
$n1 = $v1($n2)
assert $n1 == «{|[»"$w1«":|",» "$w2", "$w3«":|",» "$w4", "$w5""",
        finish=_END,
        novel=1,
    ),
    Template(
        "test",
        """
def $v1_$n1($n2, $n3):
    $s4 = $n2 if $n3 else «{|[»"$w1«":|",» $d1, "$w2""",
        answers=('": $d9', '", $d9'),
        finish=_END,
        novel=1,
    ),
)

BRACKET_BRACE = TemplateTask(
    "bracket_brace",
    "What follows an entry: `:` in a dict or `,` in a list?",
    answers=_TEXT_ENTRY,
    templates=_BRACE_TEMPLATES,
)

BRACKET_TASKS = (BRACKET_COUNTING, BRACKET_BRACE)
