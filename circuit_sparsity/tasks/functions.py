"""Tasks about the heads of functions: defaults, and what follows a lambda's argument or a name."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_KWARG_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n1($n2«=None|», $n3""",
        finish="    pass\n",
    ),
    Template(
        "prune",
        """
print("$p1")

def $v1($n1, $n2«=None|», $n3""",
        finish="    pass\n",
    ),
    Template(
        "prune",
        """
class $N1:
    def $v1(self, $n2«=None|», $n3""",
        finish="        pass\n",
    ),
    Template(
        "prune",
        """
def $v1($n1):
    return $n1 + $d1

def $v2_$n2($n3«=None|», $n4«=None|», $n5""",
        finish="    pass\n",
    ),
    Template(
        "validation",
        """
def $v1_$n1($n2=None):
    return $n2

def $v2($n3, $n4«=None|», $n5""",
        finish="    pass\n",
    ),
    Template(
        "validation",
        """
class $N1:
    def __init__(self, $n2«=None|», $n3«=None|», $n4""",
        finish="        pass\n",
    ),
    Template(
        "test",
        """
async def $v1_$n1($n2«=None|», $n3""",
        finish="    pass\n",
        novel=1,
    ),
    Template(
        "test",
        """
import $n1

@$n1.$v1
def $v2($n2, $n3«=None|», $n4""",
        finish="    pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
class $N1:
    @staticmethod
    def $v1($n2«=None|», $n3«=None|», $n4""",
        finish="        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1($n1):
    global $n2
    def $v2_$n2($n3«=None|», $n4""",
        finish="        pass\n",
        novel=2,
    ),
    Template(
        "test",
        """
class $N1:
    $n2: int = $d1
    def $v1(self, $n3, $n4«=None|», $n5""",
        finish="        pass\n",
        novel=2,
    ),
)

FINAL_KWARG = TemplateTask(
    "final_kwarg",
    "Does the last argument get a default, as the earlier ones did, or not?",
    answers=("=None):\n", "):\n"),
    templates=_KWARG_TEMPLATES,
)

_RETURNS = "«|    return $d9\n»"
_METHOD_RETURNS = "«|        return $d9\n»"
_CALLED = (": $n9 + $d9)\n", "($d9))\n")

_LAMBDA_TEMPLATES = (
    Template(
        "prune",
        """
$n2 = $d1
«$n3 = lambda|def» $n9""",
        finish=_RETURNS,
    ),
    Template(
        "prune",
        """
print("$p1")
$s1.append($n2)
«$n3 = lambda|def» $n9""",
        finish=_RETURNS,
    ),
    Template(
        "prune",
        """
def $v1_$n1($s2):
    $s2.sort(key=«lambda |»$n9""",
        answers=_CALLED,
    ),
    Template(
        "prune",
        """
if $n1 == $d1:
    print("$p1")
«$n3 = lambda|def» $n9""",
        finish=_RETURNS,
    ),
    Template(
        "validation",
        """
def $v1($n1):
    print("$p1")
    return $n1

«$n3 = lambda|def» $n9""",
        finish=_RETURNS,
    ),
    Template(
        "validation",
        """
# $p1
$s1 = [$D1]
«$n3 = lambda|def» $n9""",
        finish=_RETURNS,
    ),
    Template(
        "test",
        """
class $N1:
    @staticmethod
    def $v1($n2):
        return $n2
    $n4: int = $d1
    «$n3 = lambda|def» $n9""",
        finish=_METHOD_RETURNS,
        novel=2,
    ),
    Template(
        "test",
        """
def $v1_$n1($n2):
    global $n3
    «$n4 = lambda|def» $n9""",
        finish=_METHOD_RETURNS,
        novel=2,
    ),
    Template(
        "test",
        """
def $v1($s1):
    for $n2 in $s1:
        yield «lambda |»$n9""",
        answers=(": $n9 + $d9\n", "($d9)\n"),
        novel=1,
    ),
    Template(
        "test",
        """
$n1 = {}
$n1["$w1"] = «lambda |»$n9""",
        answers=(": $n9 + $d9\n", "($d9)\n"),
        novel=1,
    ),
    Template(
        "test",
        """
$n1 = $v1($d1)
$n2 = $n1 if $n3 else «lambda |»$n9""",
        answers=(": $n9 + $d9\n", "($d9)\n"),
        novel=1,
    ),
)

LAMBDA_FUNC = TemplateTask(
    "lambda_func",
    "What comes next: `:` in a lambda or `(` after a function's name?",
    answers=(": $n9 + $d8\n", "():\n"),
    templates=_LAMBDA_TEMPLATES,
)

FUNCTION_TASKS = (FINAL_KWARG, LAMBDA_FUNC)
