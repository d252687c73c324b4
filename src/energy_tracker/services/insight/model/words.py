"""Words that state a quantity, which a model's own sentences must not hold: numbers, fractions, units, money.

A list of what is refused can be walked around by a word that is not on it; what makes it hold is that the alphabet is
plain ASCII letters, that misspellings of the long words count as them, and that no value is ever given to the model.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from string import ascii_lowercase


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CARDINALS = _words(
    """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fourty fifty sixty seventy eighty ninety hundred thousand million
    billion trillion gazillion zillion umpteen zero nil minus
    """
)
_ORDINALS = _words(
    """
    third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
    sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth
    eightieth ninetieth hundredth thousandth millionth
    """
)
_MULTIPLES = _words(
    """
    multiply multiplied multiplies squared cubed half halves halve halved halving quarter twice thrice double
    doubled doubles doubling doubly triple tripled triples tripling triply quadruple quadrupled quadruples
    quadrupling quintuple dozen couple pair score majority percent percentage percentages pct permille promille
    fraction fractions fold manifold ratio
    """
)
_UNITS = _words(
    """
    w kw mw gw wh kwh mwh gwh kva va var watt kilowatt megawatt gigawatt milliwatt watthour kilowatthour joule
    kilojoule megajoule h hr min sec kj mj btu therm calorie amp ampere milliamp volt millivolt ohm hertz hz
    lumen lux celsius fahrenheit kelvin degree kg kilogram kilo gram tonne ton pound lb ounce litre liter gallon
    metre mile kilometre kilometer km cm mm inch ms millisecond ppm
    """
)
_MONEY = _words(
    """
    euro eur cent ct dollar usd buck pound gbp sterling pence penny pennies quid yen franc chf krona kronor
    krone kroner tenner fiver grand rupee inr yuan rmb aud cad nzd sek nok dkk zloty pln
    """
)
# The number words of languages that a model may slip into; those that are English words too are left out.
_FOREIGN = _words(
    """
    zwei drei vier fünf funf sechs sieben acht neun zehn elf zwölf zwolf zwanzig dreissig vierzig fünfzig
    funfzig sechzig siebzig achtzig neunzig hundert tausend prozent halb hälfte halfte doppelt dreifach viertel
    drittel deux trois quatre cinq huit neuf onze douze treize quatorze quinze seize vingt trente quarante
    cinquante soixante mille pourcent moitié moitie tiers dos tres cuatro cinco seis siete ocho nueve diez
    veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa cien ciento cientos mil mitad doble
    porciento cento quattro cinque sei sette otto nove dieci venti trenta quaranta cinquanta sessanta settanta
    ottanta novanta percento metà doppio twee drie zes zeven negen tien twintig honderd duizend procent helft
    dubbel dois duas quatro sete oito dez vinte metade dobro
    """
)

QUANTITIES = frozenset((*_CARDINALS, *_ORDINALS, *_MULTIPLES, *_UNITS, *_MONEY, *_FOREIGN))

MIN_MISSPELT = 6
"""Shorter number words have too many English neighbours (seven and even, three and these)."""

_LONG = {
    initial: tuple(
        word
        for word in (*_CARDINALS, *_ORDINALS, *_MULTIPLES)
        if word.startswith(initial) and len(word) >= MIN_MISSPELT
    )
    for initial in ascii_lowercase
}

_NEIGHBOURS = frozenset(
    _words(
        """
        having hauling halting hawing forth thrive thrived doable trouble doubt doubts doubting tripe tripped tripping
        trifling triplet thirsty ration rations action actions faction factions friction traction mobile treble bullion
        mullion minority priority coupled couples
        """
    )
)
"""English words one letter away from a number word."""

_PARTS = (*_CARDINALS, *_ORDINALS, *_FOREIGN, "one", "and", "percent", "fold", "point")
_GLUED = re.compile(rf"(?:{'|'.join(sorted(_PARTS, key=len, reverse=True))})+")
_ROMAN = re.compile(r"m*(?:cm|cd|d?c{0,3})(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})", re.ASCII)
_ROMAN_ENGLISH = frozenset({"i", "mix"})

PHRASES = re.compile(
    r"\b(?:per\s+cent(?:s|um)?|per\s+mille|most\s+of|as\s+much\s+again|order\s+of\s+magnitude|per\s+(?:person|head)|"
    r"(?:nearly|almost|practically|virtually)\s+(?:all|everything|none|nothing)|lion\W?s\s+share|the\s+bulk|to\s+the\s+power|"
    r"an?\s+(?:full\s+)?hour(?!\s+(?:in\s+which|when|of\s+the))|an?\s+(?:minute|second)|"
    r"an?\s+(?:day|week|month|year|night)\s+(?:more|less|longer|shorter|earlier|later|ago|extra)|"
    r"(?:just|only|exactly|about|around|nearly|over|under|some|(?<!one\s)by)\s+one\b(?!\s+(?:of|by))|"
    r"one\s+(?:hour|minute|second|day|week|month|year|night|time)s?|"
    r"times?\s+(?:as|more|less|higher|lower|the)|"
    r"(?:average|typical|normal|similar|comparable|other|most|many|ordinary|standard)\s+(?:\w+\s+)?"
    r"(?:households?|homes?|houses?|famil(?:y|ies)|people|users?|consumers?|flats?|apartments?)|"
    r"neighbou?r(?:s|hood)?|national(?:ly)?|nationwide|country|statistics|studies|experts?|on\s+average|industry)\b",
    re.IGNORECASE,
)
"""Amounts in several words, and comparisons with others, of whom nothing was measured."""


def stated_quantity(word: str) -> bool:
    """Whether a single word (letters only, any case) states a number, a share, a unit or money."""
    lower = word.lower()
    if {lower, lower.removesuffix("s"), lower.removesuffix("ies") + "y"} & QUANTITIES:
        return True
    if _ROMAN.fullmatch(lower) and lower not in _ROMAN_ENGLISH:
        return True
    if lower != "one" and lower not in {"and", "point", "fold"} and _GLUED.fullmatch(lower):
        return True
    if lower.endswith("fold") and _GLUED.fullmatch(lower):
        return True
    return lower not in _NEIGHBOURS and any(_is_near(lower, number) for number in _LONG[lower[0]])


def joins_to_quantity(words: Sequence[str]) -> str | None:
    """Return the first number word that a space was put into, such as `hun dred`."""
    for before, after in pairwise(words):
        joined = (before + after).lower()
        if len(joined) >= MIN_MISSPELT and joined in QUANTITIES:
            return joined
    return None


def _is_near(word: str, number: str) -> bool:
    """Whether one letter was changed, left out, added, or swapped with its neighbour."""
    if abs(len(word) - len(number)) > 1:
        return False
    start = 0
    while start < min(len(word), len(number)) and word[start] == number[start]:
        start += 1
    rest, wanted = word[start:], number[start:]
    if len(word) == len(number):
        swapped = len(rest) > 1 and rest[0] == wanted[1] and rest[1] == wanted[0] and rest[2:] == wanted[2:]
        return rest[1:] == wanted[1:] or swapped
    return rest[1:] == wanted if len(word) > len(number) else rest == wanted[1:]
