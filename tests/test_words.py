"""Captions: never false, every phrase in use, a closed vocabulary; and sentences that no caption is."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from ldm_core import scenes
from ldm_core.evaluation.free_wording import accuracies, free_sentences
from ldm_core.scenes.thesaurus import bits, phrases_of, thesaurus

# What words claim, told apart from the thesaurus.
CLAIMS = Path(__file__).parent / "claims.txt"


# Turns in which such words claim something else, or nothing.
IDIOMS = re.compile(
    r"\b(sun (baked|scorched)|long shadows fall|(night|evening|dusk|twilight) falls|rain falls|"
    r"two or three|2 or 3|forests of \w+|(fir|oak|birch|palm|pine|spruce|maple) (and \w+|\w+)|"
    r"more than one boat)\b"
)
# A phrase of what is not there is true of these, though what it names is there too.
QUALIFIED = re.compile(
    r"\b(snow on|bare|rocky|snowy|other|leafy|dense|thick|green|third|full|round|clear|empty) "
)


def _claims() -> dict[str, int]:
    """Word -> bits of the values of attributes that it excludes."""
    index = {pair: 1 << i for i, pair in enumerate((n, v) for n, vs in scenes.ATTRIBUTES.items() for v in vs)}
    found: dict[str, int] = defaultdict(int)
    for line in CLAIMS.read_text("utf-8").splitlines()[1:]:
        condition, _, words = line.partition(":")
        name, _, values = condition.partition("=")
        excluded = sum(index[name, v] for v in scenes.ATTRIBUTES[name] if v not in values.split("|"))
        for word in words.split():
            found[word] |= excluded
    return dict(found)


@pytest.fixture(scope="module")
def many() -> list[scenes.Attributes]:
    rng = np.random.default_rng(0)
    return [
        scenes.sample_attributes(rng, look) for _ in range(1500) for look in ("painting", "poster", "poster")
    ]


@pytest.fixture(scope="module")
def said(many: list[scenes.Attributes]) -> dict[tuple[str, str], int]:
    """(slot, phrase) -> bits of all values of all scenes of which it is said."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for attributes in many:
        scene = bits(attributes)
        for (_, slot), phrases in phrases_of(attributes).items():
            for phrase in phrases:
                found[slot, phrase] |= scene
    return found


def test_every_phrase_is_said_of_some_scene(said: dict[tuple[str, str], int]) -> None:
    every = {(r.slot, phrase) for rules in thesaurus().values() for r in rules for phrase in r.phrases}
    assert every - said.keys() == set()
    assert len({phrase for _, phrase in every}) >= 2500


def test_a_phrase_is_said_only_where_what_its_words_claim_is_true(said: dict[tuple[str, str], int]) -> None:
    claims = _claims()
    wrong = [
        (phrase, word)
        for (slot, phrase), scene in said.items()
        if slot != "without" and not re.search(r"\b(no|not|never|nobody)\b", phrase)
        for word in IDIOMS.sub("", phrase).split()
        if scene & claims.get(word, 0)
    ]
    assert not wrong


def test_what_is_said_to_be_missing_is_missing(many: list[scenes.Attributes]) -> None:
    claims = _claims()
    wrong = set()
    for attributes in many[:600]:
        scene = bits(attributes)
        for (_, slot), phrases in phrases_of(attributes).items():
            for phrase in phrases:
                if slot != "without" and not re.search(r"\bno (\w+) ", phrase):
                    continue
                if disc := re.search(r"(?:without|no) (?:a |the )?(moon|sun)", phrase):
                    assert disc[1] not in attributes.disc.replace("crescent", "moon")
                    continue
                if "moon" in phrase:
                    continue  # a full one, a crescent
                named = [claims[word] for word in phrase.split() if word in claims]
                if named and not any(scene & excluded for excluded in named) and not QUALIFIED.search(phrase):
                    wrong.add(phrase)
    assert not wrong


def test_most_nouns_claim_something(said: dict[tuple[str, str], int]) -> None:
    """The table knows the words that matter."""
    claims = _claims()
    things = [phrase for slot, phrase in said if slot == "things"]
    silent = [phrase for phrase in things if not any(word in claims for word in phrase.split())]
    assert len(silent) < 0.25 * len(things)


def test_captions_are_short_and_in_known_words(many: list[scenes.Attributes]) -> None:
    rng = np.random.default_rng(1)
    known, used = set(scenes.vocabulary()), set()
    for attributes in many:
        text = scenes.caption(attributes, rng)
        assert re.fullmatch(r"[a-z0-9]+([,.]? [a-z0-9]+)*\.?", text), text
        words = re.findall(r"[a-z0-9]+", text)
        assert len(words) <= scenes.MAX_WORDS
        assert len(words) + len(re.findall("[,.]", text)) <= scenes.MAX_TOKENS
        used.update(words, re.findall(r"[a-z0-9]+", scenes.describe(attributes)))
    assert used <= known
    assert len(known - used) < 0.2 * len(known)
    assert len(known) <= 2000


def test_a_painting_is_always_said_to_be_one_and_a_poster_now_and_then(many: list[scenes.Attributes]) -> None:
    """So that what names no look is a poster."""
    rng, named = np.random.default_rng(2), []
    styles = {phrase for slot in ("kinds", "tags", "where", "adjectives") for phrase in _all("look", slot)}
    for attributes in many:
        text = scenes.caption(attributes, rng)
        if attributes.look == "painting":
            assert any(re.search(rf"\b{phrase.split(' ', 1)[-1]}\b", text) for phrase in styles), text
        else:
            named.append(any(re.search(rf"\b{phrase}\b", text) for phrase in ("poster", "print", "flat")))
    assert 0.05 < np.mean(named) < 0.5


def _all(topic: str, slot: str) -> set[str]:
    rules = [rule for key, rules in thesaurus().items() if key == (topic, slot) for rule in rules]
    return {phrase for rule in rules for phrase in rule.phrases}


def test_the_same_draw_is_the_same_caption(many: list[scenes.Attributes]) -> None:
    one, same, other = (
        [scenes.caption(a, np.random.default_rng(seed)) for a in many[:50]] for seed in (1, 1, 2)
    )
    assert one == same and one != other


def test_captions_are_drawn_fast_enough_for_every_step_of_a_training(many: list[scenes.Attributes]) -> None:
    rng = np.random.default_rng(3)
    scenes.caption(many[0], rng)  # the thesaurus is read
    start = time.process_time()
    for attributes in many[:2000]:
        scenes.caption(attributes, rng)
    rate = 2000 / (time.process_time() - start)
    print(f"{rate:.0f} captions a second")
    assert rate > 1500  # 6,800 on a core of its own


def test_a_description_tells_counts_and_the_look() -> None:
    a = scenes.Attributes(
        "dawn", "foggy", "autumn", "none", "sea", "birch", "sand", "none", "sailboat", "poster", "lighthouse",
        "few", "two", "none", "sun", "birds",
    )  # fmt: skip
    text = scenes.describe(a)
    assert text == (
        "without mountains, the sea, a few birch trees, sand, a lighthouse, two sailboats, birds, the sun, "
        "at dawn, in autumn, fog"
    )


def test_descriptions_fit_the_context(many: list[scenes.Attributes]) -> None:
    for attributes in many:
        text = scenes.describe(attributes)
        assert len(text.split()) + text.count(",") <= scenes.MAX_TOKENS, text
        assert text.startswith("an oil painting") == (attributes.look == "painting")


# Sentences kept apart -------------------------------------------------------------------------------------


def test_the_sentences_ask_for_scenes_that_there_are(many: list[scenes.Attributes]) -> None:
    sentences = free_sentences()
    assert len({sentence.text for sentence in sentences}) == len(sentences) == 300
    asked = {(name, v) for s in sentences for name, values in s.asked.items() for v in values}
    assert asked - {("house", "house")} >= {
        (name, value)
        for name in ("time", "season", "water", "trees", "building", "boat", "look")
        for value in scenes.ATTRIBUTES[name]
    }
    for sentence in sentences:
        wanted = {name: values[0] for name, values in sentence.asked.items()}
        assert any(_possible(scene, wanted) for scene in many), sentence.text


def _possible(scene: scenes.Attributes, wanted: dict[str, str]) -> bool:
    """Whether there is such a scene with the wanted values."""
    try:
        dataclasses.replace(scene, **{"house": "", **wanted})
    except ValueError:
        return False
    return True


def test_no_caption_is_one_of_the_sentences() -> None:
    """They cannot be put together from phrases of the thesaurus and the words of the forms at all."""
    pieces = set(GLUE.split())
    for rules in thesaurus().values():
        for rule in rules:
            for phrase in rule.phrases:
                pieces |= {phrase, re.sub("^(a|an|the) ", "", phrase)}
    for sentence in free_sentences():
        words = re.findall(r"[a-z0-9]+", re.sub("['’]s\\b", "", sentence.text.lower()))
        reached = [True] + [False] * len(words)
        for end in range(1, len(words) + 1):
            reached[end] = any(
                reached[at] and " ".join(words[at:end]) in pieces for at in range(max(0, end - 9), end)
            )
        assert not reached[-1], sentence.text


GLUE = "a an the of and with over near in which while where very"


def test_accuracies_of_what_is_seen() -> None:
    two = [s for s in free_sentences() if "time" in s.asked and "season" in s.asked][:2]
    seen = {"time": [two[0].asked["time"][0], "none"], "season": [s.asked["season"][0] for s in two]}
    figures = accuracies(two, seen)
    assert figures["time"] == 0.5 and figures["season"] == 1.0 and figures["mean"] == 0.75
    assert "water" not in figures
