"""The names and words that programs and prompts are filled with, in three disjoint splits.

Generated training programs and the prompts circuits are looked for on use the `TRAIN_` lists
only; what is said of a circuit on test prompts is thus about names and words that no generated
program and no such prompt ever held. A word's split hangs on its spelling alone, so it is the
same in every list.
"""

import zlib
from collections.abc import Iterable

_NAMES = """
account action address agent alarm album angle animal answer apple archive area array article asset
author badge balance ball banner barrel basket batch battery beacon bean bell bench bird block board
boat bond book border bottle bottom bound branch brand brick bridge bucket budget buffer building
bundle burner button cabin cable camera candle canvas captain card cargo carrier cart cell center
chain chair channel chapter charge chart circle citizen city claim clerk client clock cloud coach
coat code coin color column comment company component condition contact container contract cookie
corner cost country coupon course cover crane credit crew crop crowd currency cursor customer cycle
dancer date deadline dealer debt delay delta demand deposit depth desk detail device diagram digit
dinner direction discount distance doctor document dollar domain donor door draft dragon drawer
driver drum duration eagle edge editor effect element email employee engine entry event exam expense
factor factory failure farm farmer feature fee fence figure finger flag flight floor flower folder
forest fork form fraction frame friend fruit game garage garden gate gauge gear gift glass goal goat
grade grain graph grid group guard guest guide hall hammer harbor header heap heart height hero hill
hint holder hole holiday home hook horse hotel hour house icon image income infant insect interest
invoice island issue item jacket job journal journey judge jump kernel kettle kitchen knight label
lake lamp language laptop lawyer layer leader league leg lemon lender length lesson letter level
lever lift light limit link lion liquid loan lock locker log lot machine magnet mail manager margin
marker market mask match matrix matter meal measure medal member memory menu merchant message metal
meter metric minute mirror mission model moment monitor month moon motor mountain movie museum
nation needle neighbor nest network node note notebook number nurse ocean offer office officer
offset option orange orbit order organ outcome owner package packet page paint painter pair panel
paper parcel parent park parser part partner party passage patch path patient pattern payment peak
pencil percent period permit person phase phone photo phrase piano picture piece pile pilot pipe
pixel place plan planet plant plate player pocket poem poet point policy pool port position post
potato pound power price printer prize problem process product profile profit program project prompt
proof protein pulse pump pupil puzzle quantity quarter query quest question queue quota rabbit radio
radius rain rank rate ratio reader reason receipt recipe record referee region relation remainder
rental reply request reserve resource response reward rider ring river road robot rocket role roof
room root rope rose route row rule runner salary sale sample scale scene schedule school score
screen script season seat second secret section sector segment seller sender sensor sentence
sequence server service session shade shadow shape share sheet shell ship shirt shop shoulder signal
singer size skill sky slide slot snake soldier song source space speaker species speed spider spoon
square stack staff stage stair stamp star station statue step stone storage store storm story street
strength student studio subject summit supplier surface survey switch symbol system table tail
talent tank target task taxi teacher team temperature temple tenant term ticket tiger tile time
timer title token tool topic tower town toy track tractor trade trail train traveler tree trial
triangle trip truck tunnel turtle unit upgrade user valley variable vector vehicle vendor version
vessel video village visit visitor voice volume voter wagon wall wallet warehouse warning watch wave
weapon weather week weight wheel width window wing winner winter wire worker workshop writer yard
year zone
"""

_WORDS = """
about above across active after again ahead alone already always amazing ancient another around
asleep autumn available awake bad basic beautiful before behind below best better between beyond big
bitter black blank blue bold both brave bread bright broken brown busy butter calm careful careless
cheap cheese cheerful chicken chocolate clean clear clever close closed cloudy coffee cold complete
cool correct crazy curious daily dark dead deep delicious different difficult dirty distant done
double down dry early easy eight eleven empty enough evening every exact excellent expired extra
failed fair famous far fast few fifty fine finished first five flat forever forward four free fresh
friendly full funny future gentle giant glad global gold golden good great green grey half happy
hard hate heavy hello here hidden high hot huge hungry hurry important inactive inside invalid
invisible kind large last late later lazy left less little local long lost loud love low lucky main
many maybe mean milk missing modern monday more morning narrow nearly neat never new next nice night
nine noisy normal north nothing now odd often old once open other outside over past pending perfect
pink plain please polite poor possible previous private proper proud public pure purple quick quiet
quite rare raw ready real red regular rich right rough round sad safe salt same saturday secure
seven shallow sharp short silent silver simple single six slow small smart smooth soft some sorry
sour south special spring strange strong sudden sugar summer sunny sure sweet swift tall tea ten
thank there thick thin third thirty tiny tired today together tomorrow tonight total tough twelve
twenty twice ugly unable under unknown until useful usual valid vast very warm weak welcome west wet
white whole wide wild wise wonderful wooden wrong yellow yes yesterday yet young zero bacon banana
carrot cherry onion pepper tomato turkey salmon honey ginger garlic mango melon olive peach pear
pizza plum rice soup steak berlin boston cairo delhi denver geneva lisbon london madrid moscow
nairobi oslo paris prague quebec rome seattle tokyo toronto venice vienna alice amber bruno carla
carlos daniel diana edgar elena emma felix fiona frank grace hanna harry helen henry irene isaac
jack james jane julia kevin laura leo linda lucas maria martin mary mason nadia nina oliver oscar
paul peter rachel robert rosa samuel sarah simon sofia stella susan thomas victor wendy
"""

_VERBS = """
accept adjust allocate analyze apply approve arrange assign attach balance bind build calculate call
cancel capture change check choose clean clear collect combine compare compute confirm connect
convert create decide decode decrease define delete deliver describe detect display divide draw drop
encode enqueue ensure evaluate examine expand explain explore extract fetch fill finish fix flatten
flip fold follow gather generate give grow handle hide identify improve increase inspect install
invert keep launch learn locate lower make mark measure merge modify monitor move multiply normalize
notify obtain pack parse pause perform pick place plot predict prepare present preview produce
promote publish pull push put reach receive reduce refresh register reject release rename render
repair repeat report resolve restore retry reverse review rotate run save scan schedule search
select send serve shift show shuffle skip solve start stop store submit subtract summarize swap sync
tag test trace transform translate trim upload validate verify visit wait walk warn wrap
"""

# What a file is called tells whether a program reads or writes it. Task prompts of every split
# need the same cues, so these words are in no list above.
READ_STEMS = (
    "input",
    "source",
    "config",
    "settings",
    "original",
    "existing",
    "template",
    "dataset",
)
WRITE_STEMS = ("output", "result", "report", "export", "summary", "generated", "copy", "backup")

# Names with a part in an idiom, common to all splits.
IDIOM_NAMES = ("current", "items", "values", "data", "text", "result")

_VALIDATION_CLASS, _TEST_CLASS, _N_CLASSES = 0, 1, 8


def split_of(word: str) -> str:
    """`train` (six in eight words), `validation` or `test` (one in eight each)."""
    residue = zlib.crc32(word.encode()) % _N_CLASSES
    return {_VALIDATION_CLASS: "validation", _TEST_CLASS: "test"}.get(residue, "train")


def _select(words: Iterable[str], split: str) -> tuple[str, ...]:
    shared = {*READ_STEMS, *WRITE_STEMS, *IDIOM_NAMES}
    return tuple(sorted({w for w in words if w not in shared and split_of(w) == split}))


# Singular nouns for identifiers.
TRAIN_NAMES = _select(_NAMES.split(), "train")
VALIDATION_NAMES = _select(_NAMES.split(), "validation")
TEST_NAMES = _select(_NAMES.split(), "test")

# Words for the inside of strings and comments.
TRAIN_WORDS = _select(_WORDS.split(), "train")
VALIDATION_WORDS = _select(_WORDS.split(), "validation")
TEST_WORDS = _select(_WORDS.split(), "test")

# First words of function names.
TRAIN_VERBS = _select(_VERBS.split(), "train")
VALIDATION_VERBS = _select(_VERBS.split(), "validation")
TEST_VERBS = _select(_VERBS.split(), "test")

HELD_OUT_NAMES = frozenset((*VALIDATION_NAMES, *TEST_NAMES))
HELD_OUT_WORDS = frozenset((*VALIDATION_WORDS, *TEST_WORDS, *VALIDATION_VERBS, *TEST_VERBS))
