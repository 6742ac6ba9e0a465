"""Tasks about strings: which quote closes one, and whether a variable is put into it."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_QUOTE_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n1($n2):
    $n3 = $n2 + $d1
    print(«"|'»$p1""",
    ),
    Template(
        "prune",
        """
class $N1:
    def $v1(self, $n2):
        self.$n2 = $n2
        $n3.append(«"|'»$p1""",
    ),
    Template(
        "prune",
        """
for $n1 in $s1:
    if $n1 > $d1:
        $n2 = $v1_$n3(«"|'»$p1""",
    ),
    Template(
        "prune",
        """
def $v1($n1):
    if $n1 is None:
        raise ValueError(«"|'»$p1""",
    ),
    Template(
        "prune",
        """
print("$p2")
$n1 = $v1_$n1('$p3')
$n2.write(«"|'»$p1""",
    ),
    Template(
        "prune",
        """
def $v1_$n1($n2, $n3='$w1'):
    $n4 = $n2.$v2(«"|'»$p1""",
    ),
    Template(
        "validation",
        """
$n1 = $d1
while $n1 < $d2:
    $n1 += len(«"|'»$p1""",
        novel=1,
    ),
    Template(
        "validation",
        """
def $v1_$n1($n2):
    $n3 = $v2($n2)
    assert $n3.startswith(«"|'»$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
$s1 = [$d1, $d2]
$v1_$n2 = lambda: $v2(«"|'»$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
def $v1($n1, $n2):
    $n3 = $n1 if $n2 else $v2(«"|'»$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
def $v1_$s1(self):
    for $n1 in self.$s1:
        yield $n1.$v2(«"|'»$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
import $n1

@$n1.$v1(«"|'»$p1""",
        finish="def $v2():\n    pass\n",
        novel=1,
    ),
    Template(
        "test",
        """
class $N1(Exception):
    def __init__(self, $n2):
        super().__init__(«"|'»$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
$n1 = {"$w1": $d1, '$w2': $d2}
$n2 = $n1 and $v1_$n3(«"|'»$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
async def $v1($n1, $n2):
    $n1.$v2($n2)
    await $n1.$v3(«"|'»$p1""",
        novel=1,
    ),
)

SINGLE_DOUBLE_QUOTE = TemplateTask(
    "single_double_quote",
    "Which quote closes the string and the call around it: `\"` or `'`?",
    answers=('")\n', "')\n"),
    templates=_QUOTE_TEMPLATES,
)

_IN_CALL = (' {$n1}")\n', '")\n')
_IN_SINGLE = (" {$n1}'\n", "'\n")

_BRACE_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n2($n1):
    print(«f|»"$p1""",
        answers=_IN_CALL,
    ),
    Template(
        "prune",
        """
for $n1 in $s1:
    $n2 = «f|»'$p1""",
        answers=_IN_SINGLE,
    ),
    Template(
        "prune",
        """
$n1 = $d1
if $n1 > $d2:
    $n2.append(«f|»"$p1""",
        answers=_IN_CALL,
    ),
    Template(
        "prune",
        """
class $N1:
    def $v1(self, $n1):
        self.$n2 = $n1
        return «f|»"$p1""",
    ),
    Template(
        "validation",
        """
def $v1($n1):
    if not $n1:
        raise ValueError(«f|»"$p1""",
        answers=_IN_CALL,
    ),
    Template(
        "validation",
        """
$n2 = '$p2'
$n1 = $v1($n2)
$n2 += «f|»'$p1""",
        answers=_IN_SINGLE,
    ),
    Template(
        "test",
        """
def $v1($s1):
    for $n1 in $s1:
        yield «f|»"$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
$n1 = $v1_$n2($d1)
assert $n1, «f|»'$p1""",
        answers=_IN_SINGLE,
        novel=1,
    ),
    Template(
        "test",
        """
def $v1_$n2($n1, $n3):
    $n4 = $n3 if $n1 else «f|»"$p1""",
        novel=1,
    ),
    Template(
        "test",
        """
$n1, $n2 = $d1, $d2
$n3 = lambda: «f|»'$p1""",
        answers=_IN_SINGLE,
        novel=1,
    ),
)

FSTRING_BRACE = TemplateTask(
    "fstring_brace",
    "Does a variable come next, as in an f-string, or the end of a plain string?",
    answers=(' {$n1}"\n', '"\n'),
    templates=_BRACE_TEMPLATES,
)

STRING_TASKS = (SINGLE_DOUBLE_QUOTE, FSTRING_BRACE)
