"""Tasks about copying a name: an argument to its attribute, and one of two that change places."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_INIT_TEMPLATES = (
    Template(
        "prune",
        """
class $N4:
    def __init__(self, $n1, $n2):
        self.«$n1|$n2» =""",
    ),
    Template(
        "prune",
        """
class $N4:
    def __init__(self, $n3, $n1, $n2):
        self.$n3 = $n3
        self.«$n1|$n2» =""",
    ),
    Template(
        "prune",
        '''
class $N4:
    """$w1 $p1."""

    def __init__(self, $n1, $n2, $n3):
        self.«$n1|$n2» =''',
    ),
    Template(
        "prune",
        """
class $N4:
    def __init__(self, $n1=None, $n2=None):
        self.«$n1|$n2» =""",
    ),
    Template(
        "validation",
        """
class $N4($N5):
    def __init__(self, $n2, $n3, $n1):
        self.$n3 = $n3
        self.«$n1|$n2» =""",
    ),
    Template(
        "validation",
        """
class $N4:
    $n3 = $d1

    def __init__(self, $n1, $n2):
        self.«$n1|$n2» =""",
    ),
    Template(
        "test",
        """
class $N4($N5):
    def __init__(self, $n1, $n2):
        super().__init__()
        self.«$n1|$n2» =""",
        novel=2,
    ),
    Template(
        "test",
        """
class $N4:
    def __init__(self, $n1: int, $n2: str):
        assert $n1
        self.«$n1|$n2» =""",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1_$n3($n4, $n1, $n2):
    $n4.«$n1|$n2» =""",
        novel=2,
    ),
    Template(
        "test",
        """
class $N4:
    def $v1(self, $n1, $n2):
        self.«$n2, self.$n1 = $n2|$n1, self.$n2 = $n1»,""",
        novel=1,
    ),
    Template(
        "test",
        """
class $N4:
    def __init__(self, *, $n2, $n1):
        self.«$n1|$n2» =""",
        novel=2,
    ),
)

CLASS_INIT = TemplateTask(
    "class_init",
    "Which of the two names is copied: the `x` of `self.x = x`, or the other one?",
    answers=(" $n1\n", " $n2\n"),
    templates=_INIT_TEMPLATES,
)

_SWAPPED = "«$n1, $n2 = $n2|$n2, $n1 = $n1»,"

_SWAP_TEMPLATES = (
    Template(
        "prune",
        f"""
$n1 = $d1
$n2 = $d2
{_SWAPPED}""",
    ),
    Template(
        "prune",
        f"""
def $v1_$n3($n1, $n2):
    if $n1 > $n2:
        {_SWAPPED}""",
    ),
    Template(
        "prune",
        f"""
print("$p1")
{_SWAPPED}""",
    ),
    Template(
        "prune",
        """
if $n3 < $d1:
    $s4[«$n1], $s4[$n2] = $s4[$n2|$n2], $s4[$n1] = $s4[$n1»], $s4""",
        answers=("[$n1]\n", "[$n2]\n"),
    ),
    Template(
        "validation",
        f"""
for $n3 in $s4:
    $v1($n3)
    {_SWAPPED}""",
    ),
    Template(
        "validation",
        f"""
$n2 = "$w1"
# $p1
$n1 = $n2
{_SWAPPED}""",
    ),
    Template(
        "test",
        f"""
def $v1($n3):
    global $n1, $n2
    {_SWAPPED}""",
        novel=2,
    ),
    Template(
        "test",
        """
class $N4:
    def $v1(self):
        self.«$n1, self.$n2 = self.$n2|$n2, self.$n1 = self.$n1», self""",
        answers=(".$n1\n", ".$n2\n"),
        novel=1,
    ),
    Template(
        "test",
        """
import $n4
$n3 = $n4.$v1($d1)
$n3.«$n1, $n3.$n2 = $n3.$n2|$n2, $n3.$n1 = $n3.$n1», $n3""",
        answers=(".$n1\n", ".$n2\n"),
        novel=1,
    ),
    Template(
        "test",
        f"""
import $n3
with $n3.$v1() as $n4:
    {_SWAPPED}""",
        novel=2,
    ),
    Template(
        "test",
        f"""
async def $v1_$n3($n1, $n2):
    await $n1
    {_SWAPPED}""",
        novel=2,
    ),
)

VAR_SWAP = TemplateTask(
    "var_swap",
    "Which variable ends the swap: the `x` of `x, y = y, x`, or the other one?",
    answers=(" $n1\n", " $n2\n"),
    templates=_SWAP_TEMPLATES,
)

COPYING_TASKS = (CLASS_INIT, VAR_SWAP)
