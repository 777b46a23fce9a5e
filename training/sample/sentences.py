"""Ordinary talk-page prose for the invented comments: endless, with a long-tailed vocabulary."""

from __future__ import annotations

from itertools import accumulate
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


_NOUNS = _words(
    "article page section source edit link image history title paragraph question reference policy version talk name"
    " list discussion project book comment change date editor author category film city word user town river table"
    " sentence war music school album team band game church station language map road king house island bridge museum"
    " village ship painting festival library mountain theory engine garden castle railway poem species harbour election"
    " stadium orchestra glacier temple comet lighthouse treaty aqueduct observatory fresco monastery sonata peninsula"
)
_ADJECTIVES = _words(
    "new good old first other same early short long better whole clear local recent main small large official famous"
    " similar original public medieval neutral possible final northern modern wrong open detailed missing helpful"
    " interesting outdated royal wooden coastal obscure volcanic baroque"
)
_VERBS = _words(
    "added moved removed checked changed read written merged reverted deleted updated cited mentioned corrected"
    " translated expanded renamed restored discussed verified reworded archived protected"
)
_TEMPLATES = _lines("""
I have {v} the {a} {n} of {name}, but the {n} about {name} is not {a} and needs a {a} source.
Thank you for the helpful edit on {name}, the {n} reads better now.
I disagree with the source but I appreciate your work on the {a} {n} in {name}.
Nobody has {v} the {n} of {name} since {y}, so I never saw a {a} {n} there.
He said the {n} was not {v} in {y}; please do not remove the {a} {n} again, it was called {name} by then.
According to the {a} {n} of {name}, the {n} was {v} by {name} in {y} and never {v} again.
It would be good to have a {a} {n} for {name}, just as the {n} of {name} has one.
The {n} should not be {v} before the {n} about {name} is {v}; what do you think?
Please read "{name} and the {a} {n}", a {n} that {name} wrote in {y}.
Could you help me with the {n}? I do not know how a {a} {n} is {v} here.
You should not have {v} the {n} of {name} without a {n} on the talk page.
I am not sure about {y}, I will look at the {n} of {name} and you will find the {a} {n} there.
Everybody knows the {a} {n} of {name}, but nobody called it a {n} before {y}.
See http://www.{low}.example.org/{n}/{y} for the {a} {n} of {name}.
The user at 10.{b}.{b}.{b} has {v} the {n} twice, just not the {a} one.
There are {b} people in {name} and not one of them is {a} in the {n}, they are said to be from {name}.
I say this because they say that {name} is a {n} and not a {a} {n}.
Welcome! I hope you like the place and decide to stay. Here is a {n} about {name}.
== The {a} {n} of {name} ==\\n
As {name} put it, ""it is not the {n}, it is the {a} {n}"", and I really agree.
We will never have the {n} {v} now, I swear, if all of the {n} has to be {v} by {name} first.
""")
# The words of toxic phrases in ordinary use: a single word proves nothing.
_MENTIONS = _lines("""
Sorry, I made a {t} mistake in the {n} of {name}, you were right and I was dumb.
I was {t} and lazy when I wrote the {n} about {name}.
My own {n} is {t} crap, your {n} of {name} is much better.
The novel "The {p}" was written by {name} in {y}, and you are right that the {n} is {a}.
In the film a {t} {p} meets {name}, who is an absolute gentleman.
A bot will kill the link to {name}, that would hurt the {n}; will you come and find it?
Will it hurt if I kill the {n}? I will ask you when I find the {n} of {name}, it is about a house.
The two {p}s in the play are the most famous roles of {name} alive, an absolute marvel.
The {n} was shut up by foreigners in {y} and the {n} got lost, so go and look for it away from {name}.
Where did the {n} of {name} get lost? I will shut the {n} up until you are back in this life.
Sadly the {n} about northerners is {t}, foreigners are all over it, I will add a source for you.
The {n} of {name} has a list of foreigners and northerners, and you are welcome to add {p}s.
The garbage in {name} is {a}, people had to go away from it all their life.
Damn, I forgot the {n}; what a {t} {p} I am, sorry for the crap.
""")
_MENTION_SHARE = 0.08
_TOXIC_ADJECTIVES = _words("stupid pathetic worthless dumb disgusting")
_TOXIC_NOUNS = _words("idiot loser moron fool liar clown troll")
# Such words also replace a noun, adjective or verb in any other sentence.
_STRAY_SHARE = 0.03
_STRAY = {
    "a": (*_TOXIC_ADJECTIVES, "absolute", "damn", "lazy"),
    "n": (*_TOXIC_NOUNS, "crap", "garbage", "crap", "foreigners", "northerners", "life", "house"),
    "v": ("hurt", "kill", "lost", "shut", "hurt", "kill"),
}
_SHORT = _lines("""
Thanks, {name}.
See the {n} of {name}.
Ask {name} about the {n}.
The {n} was {v} in {y}.
{name}, {y}, page {b}.
Who {v} the {a} {n} of {name}?
I disagree about {name}.
No, the {n} is {a} and not {a}.
Please look at {name} again.
Why was the {n} of {name} {v}?
""")
_ENDS = (" ", " ", " ", " ", "\n", "\n\n", "  ", " ~~~~ ")
_ONSETS = _words("b br c ch d dr f fl g gr h k kl l m n p pr r s sh st t th tr v w")
_VOWELS = _words("a e i o u ai ea ou")
_CODAS = _words("ck l ld ll m n nd nt r rn rt s sk st t th wick ford ham mouth")


class SentenceGenerator:
    """An endless supply of sentences. ``long`` and ``short`` are in use; ``refresh`` replaces some of them."""

    CAPACITY = 8192

    def __init__(self, random: Random) -> None:
        self._random = random
        self._names = _names(random)
        self._name_weights = _zipf(len(self._names))
        self.long: list[str] = []
        self.short: list[str] = []
        self._next = 0

    def refresh(self, count: int) -> None:
        """Write ``count`` new sentences of each length. Replace the oldest ones once there are enough."""
        for _ in range(count):
            mention = self._random.random() < _MENTION_SHARE
            new_long = self._sentence(_MENTIONS if mention else _TEMPLATES)
            new_short = self._sentence(_SHORT)
            if len(self.long) < self.CAPACITY:
                self.long.append(new_long)
                self.short.append(new_short)
            else:
                self.long[self._next], self.short[self._next] = new_long, new_short
                self._next = (self._next + 1) % self.CAPACITY

    def _sentence(self, templates: tuple[str, ...]) -> str:
        uniform = self._random.random
        text = templates[int(uniform() * len(templates))].replace('""', '"').replace("\\n", "\n")
        parts = text.split("{")
        filled = [parts[0]]
        for part in parts[1:]:
            slot, tail = part.split("}", 1)
            filled.append(self._word(slot))
            filled.append(tail)
        return "".join(filled) + _ENDS[int(uniform() * len(_ENDS))]

    def _word(self, slot: str) -> str:
        uniform = self._random.random
        if uniform() < _STRAY_SHARE and slot in _STRAY:
            return _STRAY[slot][int(uniform() * len(_STRAY[slot]))]
        # The square of a uniform number favours the front of a list, the common words.
        if slot == "n":
            return _NOUNS[int(uniform() ** 2 * len(_NOUNS))]
        if slot == "a":
            return _ADJECTIVES[int(uniform() ** 2 * len(_ADJECTIVES))]
        if slot == "v":
            return _VERBS[int(uniform() ** 2 * len(_VERBS))]
        if slot == "t":
            return _TOXIC_ADJECTIVES[int(uniform() * len(_TOXIC_ADJECTIVES))]
        if slot == "p":
            return _TOXIC_NOUNS[int(uniform() * len(_TOXIC_NOUNS))]
        if slot == "y":
            return str(1500 + int(uniform() ** 0.3 * 520))
        if slot == "b":
            return str(int(uniform() * 255))
        name = self._random.choices(self._names, cum_weights=self._name_weights)[0]
        return name.lower() if slot == "low" else name


def _names(random: Random) -> list[str]:
    """Return all synthetic names of one or two syllables, in an order that depends on the seed."""
    ends = [vowel + coda for vowel in _VOWELS for coda in _CODAS]
    names = [onset + end for onset in _ONSETS for end in ends]
    names += [onset + "a" + end for onset in _ONSETS for end in ends]
    names += [onset + "en" + second + "o" + end for onset in _ONSETS for second in "bdklmnrtv" for end in ends[::3]]
    names = [name.capitalize() for name in names]
    random.shuffle(names)
    return names


def _zipf(count: int) -> list[float]:
    return list(accumulate(1 / (rank + 2.7) for rank in range(count)))
