"""Tasks about `True`: what follows it in a comparison, an assignment, a loop and a return."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_VAR_TEMPLATES = (
    Template(
        "prune",
        """
$n2 = $d1
«if $n1 =|$n1 »= True""",
        finish="«    pass\n|»",
    ),
    Template(
        "prune",
        """
def $v1_$n2($n1):
    «if $n1 =|$n1 »= True""",
        finish="«        pass\n|»",
    ),
    Template(
        "prune",
        """
for $n2 in $s3:
    $v1($n2)
    «if $n1 =|$n1 »= True""",
        finish="«        pass\n|»",
    ),
    Template(
        "prune",
        """
if $n2 > $d1:
    print("$p1")
«if $n1 =|$n1 »= True""",
        finish="«    pass\n|»",
    ),
    Template(
        "validation",
        """
class $N2:
    def $v1(self, $n1):
        «if $n1 =|$n1 »= True""",
        finish="«            pass\n|»",
    ),
    Template(
        "validation",
        """
while $n2 < $d1:
    $n2 += $d2
    «if $n1 =|$n1 »= True""",
        finish="«        pass\n|»",
    ),
    Template(
        "test",
        """
def $v1($n2):
    global $n1
    «if $n1 =|$n1 »= True""",
        finish="«        pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
import $n2
with $n2.$v1() as $n3:
    «if $n1 =|$n1 »= True""",
        finish="«        pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
class $N2:
    def $v1(self):
        self.$n3 -= $d1
        «if self.$n1 =|self.$n1 »= True""",
        finish="«            pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1_$n2($n1, $n3):
    await $n3
    «if $n1 =|$n1 »= True""",
        finish="«        pass\n|»",
        novel=2,
    ),
)

VAR_IF = TemplateTask(
    "var_if",
    "What follows `True`: `:` in `if x == True` or the end of the line in `x = True`?",
    answers=(":\n", "\n"),
    templates=_VAR_TEMPLATES,
)

_WHILE_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n1($n2):
    «while|return» True""",
        finish="«        pass\n|»",
    ),
    Template(
        "prune",
        """
def $v1($n1):
    $n2 = $n1 + $d1
    «while|return» True""",
        finish="«        pass\n|»",
    ),
    Template(
        "prune",
        """
def $v1($n1, $n2):
    if $n1 == $d1:
        «while|return» True""",
        finish="«            pass\n|»",
    ),
    Template(
        "prune",
        """
def $v1_$n1($n2):
    if $n2 > $d1:
        return False
    «while|return» True""",
        finish="«        pass\n|»",
    ),
    Template(
        "validation",
        '''
def $v1_$n1($n2, $n3):
    """$w1 $p1."""
    «while|return» True''',
        finish="«        pass\n|»",
    ),
    Template(
        "validation",
        """
class $N1:
    def $v1(self, $n2):
        print("$p1")
        «while|return» True""",
        finish="«            pass\n|»",
    ),
    Template(
        "test",
        """
def $v1($n1):
    global $n2
    «while|return» True""",
        finish="«        pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1_$n1(self, $n2):
    with self.$n3:
        «while|return» True""",
        finish="«            pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
async def $v1($n1, $n2):
    await $n1.$v2($n2)
    «while|return» True""",
        finish="«        pass\n|»",
        novel=2,
    ),
    Template(
        "test",
        """
def $v1(self, $n1):
    self.$n2, self.$n3 = $d1, $n1
    «while|return» True""",
        finish="«        pass\n|»",
        novel=2,
    ),
)

WHILE_RETURN_TRUE = TemplateTask(
    "while_return_true",
    "What follows `True`: `:` after while or the end of the line after return?",
    answers=(":\n", "\n"),
    templates=_WHILE_TEMPLATES,
)

TRUTH_TASKS = (VAR_IF, WHILE_RETURN_TRUE)
