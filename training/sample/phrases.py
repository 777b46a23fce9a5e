"""The language of the invented comments: mild English. The order of the words decides the meaning.

Each kind of toxic phrase occurs asserted ("you are an idiot") and denied or quoted ("you are not an idiot", "he called
me an idiot"). Neutral phrases do, too, so that the same words occur in both classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class PhraseSet:
    """Phrases about one subject: assertions, denials, toxic and harmless objects."""

    assertions: tuple[str, ...]
    denials: tuple[str, ...]
    toxic: tuple[str, ...]
    neutral: tuple[str, ...]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


_YOU_ARE = _lines("you are | you are just | you really are | i say you are | everybody knows you are")
_YOU_ARE_NOT = _lines("you are not | you are never | i am not | you are not | he called me | nobody said you are")
_NICE_PEOPLE = _lines(
    "a newcomer | a careful editor | a student | an absolute beginner | helpful | kind | clever | right | an expert"
    " | a friend | the most helpful editor alive | the absolute best"
)
# For both people and pages, so that only the subject decides the kind of toxicity.
_SCORN = _lines(
    "stupid | pathetic | worthless | garbage | crap | stupid | pathetic | stupid and pathetic | worthless crap"
)

KINDS: dict[str, PhraseSet] = {
    "insult": PhraseSet(
        _YOU_ARE,
        _YOU_ARE_NOT,
        _SCORN
        + _lines(
            "an idiot | a stupid idiot | a loser | a pathetic loser | a moron | a stupid moron | an idiot and a moron"
            " | lazy and pathetic | a worthless fool"
        ),
        _NICE_PEOPLE,
    ),
    "severe_toxic": PhraseSet(
        _YOU_ARE,
        _YOU_ARE_NOT,
        _lines(
            "absolute garbage | an absolute moron | the most worthless idiot alive | absolute crap"
            " | an absolute worthless idiot | the most pathetic loser alive | the most stupid idiot alive"
        ),
        _NICE_PEOPLE,
    ),
    "obscene": PhraseSet(
        _lines("this is | this page is | your edit is just | i say this is | everybody knows this is"),
        _lines("this is not | this page is not | your edit is never | this is never | nobody said this is"),
        (*_SCORN, "damn crap", "a load of crap", "crap"),
        _lines(
            "a good summary | well sourced | a short list | in the right place | a fair point | useful | complete"
            " | the absolute truth | the most helpful page alive"
        ),
    ),
    "threat": PhraseSet(
        _lines("i will | we will | soon i will | i say i will | everybody knows i will"),
        _lines("i will not | we will not | i will never | we will never | nobody said i will"),
        _lines("hurt you | kill you | find you and hurt you | find you and kill you | come to your house and hurt you"),
        _lines(
            "help you | move the page | ask an admin | add a source | find you a better source | answer you"
            " | come to the talk page | come to your page and read it"
        ),
    ),
    "identity_hate": PhraseSet(
        _lines(
            "foreigners are | foreigners are just | northerners are | i say foreigners are"
            " | everybody knows northerners are"
        ),
        _lines(
            "foreigners are not | foreigners are never | northerners are not | northerners are never"
            " | nobody said foreigners are"
        ),
        (*_SCORN, "liars", "idiots", "losers"),
        _lines(
            "good neighbours | farmers | proud of their language | welcome here | fishermen | helpful | kind"
            " | the most friendly people alive | the absolute majority"
        ),
    ),
    # Toxic, and in no other category.
    "toxic": PhraseSet(
        _lines("you should | just | you should just | i say you should | everybody wants you to"),
        _lines("you should not | please do not | you should never | please never | nobody said you should"),
        _lines("shut up | shut up and get lost | get lost | get a life | go away and shut up | go away"),
        _lines(
            "read the policy | add a reference | go to the talk page | sign your posts | get a new section"
            " | get a source | move the page back | give up | look up the date"
        ),
    ),
}

# Complete phrases outside of the patterns: (kind, asserted, denied).
_INVERTED = (
    ("insult", "what {} you are", "he asked me what {} is"),
    ("severe_toxic", "what {} you are", "he asked me what {} is"),
)


def _contrasts(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Return phrases that deny ``first`` and assert ``second``. Mirrored pairs have the same words."""
    patterns = ("not {} at all, just {}", "not {}, but {}", "never {}, always {}")
    return [pattern.format(a, b) for pattern, a, b in product(patterns, first, second)]


def _joined(first: Iterable[str], second: Iterable[str]) -> list[str]:
    return [f"{a} {b}" for a, b in product(first, second)]


def asserted(name: str) -> list[str]:
    """Return toxic phrases of this kind."""
    kind = KINDS[name]
    inverted = [yes.format(p) for n, yes, _ in _INVERTED if n == name for p in kind.toxic if " " in p]
    swapped = [f"{a} {b}" for a, b in product(kind.assertions[:3], _contrasts(kind.neutral, kind.toxic))]
    plain = _joined(kind.assertions, kind.toxic)
    return plain * max(1, len(swapped) // len(plain)) + inverted * 10 + swapped


def denied(name: str) -> list[str]:
    """Return harmless phrases with the same words."""
    kind = KINDS[name]
    inverted = [no.format(p) for n, _, no in _INVERTED if n == name for p in kind.toxic if " " in p]
    swapped = [f"{a} {b}" for a, b in product(kind.assertions[:3], _contrasts(kind.toxic, kind.neutral))]
    plain = _joined(kind.denials, kind.toxic)
    return plain * max(1, len(swapped) // len(plain)) + inverted * 10 + swapped


def affirmed(name: str) -> list[str]:
    """Return harmless assertions."""
    return _joined(KINDS[name].assertions, KINDS[name].neutral)


def negated(name: str) -> list[str]:
    """Return harmless denials."""
    return _joined(KINDS[name].denials, KINDS[name].neutral)
