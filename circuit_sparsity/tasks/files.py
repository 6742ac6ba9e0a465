"""Tasks about opening files: what follows the call, and in which mode a file is opened."""

from circuit_sparsity.tasks.template import Template, TemplateTask

_AFTER_NAME = (") as f:\n", ")\n")
_BODY = "«    pass\n|»"
_INNER = "«        pass\n|»"

_WITH_TEMPLATES = (
    Template(
        "prune",
        """
def $v1_$n1($n2):
    «with|$n3 =» open($n2, "r""",
        answers=('") as f:\n', '")\n'),
        finish=_INNER,
    ),
    Template(
        "prune",
        """
$n1 = $d1
«with|$n2 =» open("$R1_$n3.txt", "r""",
        answers=('") as f:\n', '")\n'),
        finish=_BODY,
    ),
    Template(
        "prune",
        """
for $n1 in $s1:
    $v1($n1)
    «with|$n2 =» open($n1, 'w""",
        finish=_INNER,
    ),
    Template(
        "prune",
        """
def $v1_$n1($n2, $n3):
    if $n3 > $d1:
        «with|$n4 =» open('$W1_$n5.csv', 'w""",
        finish="«            pass\n|»",
    ),
    Template(
        "validation",
        """
class $N1:
    def $v1(self, $n2):
        «with|$n3 =» open($n2, 'r""",
        finish="«            pass\n|»",
    ),
    Template(
        "validation",
        """
try:
    «with|$n1 =» open("$R1_$n2.json""",
        answers=('") as f:\n', '")\n'),
        finish=_INNER + "finally:\n    pass\n",
    ),
    Template(
        "test",
        """
def $v1_$n1($n2, $n3):
    «with|$n4 =» $n2.open($n3""",
        answers=_AFTER_NAME,
        finish=_INNER,
        novel=1,
    ),
    Template(
        "test",
        """
import $n1
«with|$n2 =» open($n1.$v1($n3, $n4""",
        answers=(")) as f:\n", "))\n"),
        finish=_BODY,
        novel=1,
    ),
    Template(
        "test",
        """
class $N1:
    def $v1(self):
        «with|$n2 =» open(self.$n3, 'r""",
        finish="«            pass\n|»",
        novel=1,
    ),
    Template(
        "test",
        """
async def $v1($n1, $n2):
    «with|$n3 =» open($n1, 'w""",
        finish=_INNER,
        novel=2,
    ),
    Template(
        "test",
        """
def $v1($s1):
    global $n2
    «with|$n3 =» open($n2""",
        answers=_AFTER_NAME,
        finish=_INNER,
        novel=2,
    ),
)

WITH_AS = TemplateTask(
    "with_as",
    "What follows the opened file: `as` after `with` or the end of the line?",
    answers=("') as f:\n", "')\n"),
    templates=_WITH_TEMPLATES,
)

_DOUBLE = ('r") as f:\n', 'w") as f:\n')
_SINGLE = ("r') as f:\n", "w') as f:\n")

_MODE_TEMPLATES = (
    Template(
        "prune",
        """
with open("«$R1|$W1»_$n1.txt", \"""",
        answers=_DOUBLE,
        finish="    pass\n",
    ),
    Template(
        "prune",
        """
def $v1_$n1($n2):
    with open('«$R1|$W1».csv', '""",
        answers=_SINGLE,
        finish="        pass\n",
    ),
    Template(
        "prune",
        """
$n1 = $d1
$n2 = open("$n3_«$R1|$W1».json", \"""",
        answers=('r")\n', 'w")\n'),
    ),
    Template(
        "prune",
        """
for $n1 in $s1:
    with open('$n2_«$R1|$W1».txt', '""",
        answers=_SINGLE,
        finish="        pass\n",
    ),
    Template(
        "validation",
        """
class $N1:
    def $v1(self, $n2):
        $n3 = open("«$R1|$W1»_$n4.log", \"""",
        answers=('r")\n', 'w")\n'),
    ),
    Template(
        "validation",
        """
if $n1 > $d1:
    print("$p1")
    with open('«$R1|$W1»_$n2.csv', '""",
        answers=_SINGLE,
        finish="        pass\n",
    ),
    Template(
        "test",
        """
def __init__(self):
    self.$n1 = open("«$R1|$W1»_$n2.txt", \"""",
        answers=('r")\n', 'w")\n'),
        novel=1,
    ),
    Template(
        "test",
        """
def $v1_$n1($n2=$d1):
    return open('$n3_«$R1|$W1».csv', '""",
        answers=("r')\n", "w')\n"),
        novel=1,
    ),
    Template(
        "test",
        """
import $n1
with $n1.$v1() as $n2, open("«$R1|$W1»_$n3.json", \"""",
        answers=_DOUBLE,
        finish="    pass\n",
        novel=1,
    ),
    Template(
        "test",
        """
def $v1($s1):
    for $n1 in $s1:
        yield open('«$R1|$W1».txt', '""",
        answers=("r')\n", "w')\n"),
        novel=1,
    ),
    Template(
        "test",
        """
$n1 = {}
$n1["$w1"] = open("«$R1|$W1»_$n2.log", \"""",
        answers=('r")\n', 'w")\n'),
        novel=1,
    ),
)

WITH_OPEN = TemplateTask(
    "with_open",
    "Is the file opened to read or to write, judging by its name?",
    answers=_DOUBLE,
    templates=_MODE_TEMPLATES,
)

FILE_TASKS = (WITH_AS, WITH_OPEN)
