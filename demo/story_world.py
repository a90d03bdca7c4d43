"""A small world of people, places and things that writes stories nobody has seen, with the true answer.

Its words and the forms of its sentences are those of the bAbI tasks (Weston et al. 2015, arXiv:1502.05698); the stories
are made here, by chance.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

PEOPLE = ("Daniel", "John", "Mary", "Sandra")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
THINGS = ("apple", "football", "milk")
NUMBERS = ("none", "one", "two", "three")
FORMS = {
    "move": ("{who} {verb} to the {what}.", ("moved", "went", "journeyed", "travelled", "went back")),
    "take": ("{who} {verb} the {what} there.", ("took", "got", "grabbed", "picked up")),
    "drop": ("{who} {verb} the {what}.", ("dropped", "left", "discarded", "put down")),
    "give": ("{who} {verb} the {what} to {whom}.", ("gave", "handed", "passed")),
}
WEIGHTS = {"move": 3, "take": 9, "drop": 2, "give": 3}
"""How likely each is among what someone can do."""
MOST_SENTENCES = 40
"""A longer story is begun anew; the shipped networks hold 50 sentences."""


@dataclass(frozen=True)
class Event:
    """What a sentence tells."""

    kind: str
    """"move", "take", "drop" or "give"."""
    who: str
    what: str
    """A place to move to, else a thing."""
    whom: str = ""
    """Who is given it."""


@dataclass(frozen=True)
class Story:
    """A story, a question about its end, and the truth."""

    sentences: list[str]
    question: str
    answer: str
    supporting_facts: list[int]
    """Places in `sentences` of those that the answer follows from, in their order."""


@dataclass(frozen=True)
class Question:
    """A question, its true answer, and the events that it follows from."""

    text: str
    answer: str
    facts: set[int]


@dataclass
class World:
    """Where everybody and everything is, and what happened so far."""

    cast: list[str]
    """Those of the people whom the story is about."""
    things: dict[str, str]
    """The place of each thing that nobody holds; a reader knows it only once it has been taken."""
    people: dict[str, str] = field(default_factory=dict)
    """The place of each person of whom the story has told."""
    hands: dict[str, list[str]] = field(default_factory=lambda: {person: [] for person in PEOPLE})
    """What each person holds, in the order in which it came first; so bAbI has it, though it may come again."""
    events: list[Event] = field(default_factory=list)
    arrivals: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: {thing: [] for thing in THINGS})
    """Of each thing that was ever taken its places, one after the other, each with the event that told of it."""

    def possible(self, who: str, kinds: tuple[str, ...]) -> list[Event]:
        """List what someone can do, of the kinds named."""
        here = self.people.get(who)
        events = [Event("move", who, place) for place in PLACES if place != here]
        if here is not None:
            events += [Event("take", who, thing) for thing, place in self.things.items() if place == here]
            events += [Event("drop", who, thing) for thing in self.hands[who]]
            others = [person for person, place in self.people.items() if place == here and person != who]
            events += [Event("give", who, thing, whom) for thing in self.hands[who] for whom in others]
        return [event for event in events if event.kind in kinds]

    def happen(self, event: Event) -> None:
        """Let an event happen."""
        self.events.append(event)
        if event.kind == "move":
            self.people[event.who] = event.what
            for thing in self.hands[event.who]:
                self.arrivals[thing].append((event.what, len(self.events) - 1))
        elif event.kind == "take":
            if not self.arrivals[event.what]:
                self.arrivals[event.what].append((self.things[event.what], len(self.events) - 1))
            del self.things[event.what]
            self._hold(event.who, event.what)
        elif event.kind == "drop":
            self.hands[event.who].remove(event.what)
            self.things[event.what] = self.people[event.who]
        else:
            self.hands[event.who].remove(event.what)
            self._hold(event.whom, event.what)

    def _hold(self, who: str, thing: str) -> None:
        """Take a thing into someone's hands; its event has been noted already."""
        theirs = [self.events[n] for n in self.transfers(who)]
        came = [event.what for event in theirs if (event.whom or event.who) == who and event.kind != "drop"]
        self.hands[who] = sorted([*self.hands[who], thing], key=came.index)

    def last_move(self, who: str, before: int | None = None) -> int:
        """Return the number of the last event, or of the last one before another, in which someone moved."""
        return max(n for n, event in enumerate(self.events[:before]) if event.kind == "move" and event.who == who)

    def transfers(self, name: str, before: int | None = None) -> list[int]:
        """Number the events in which a thing, or a thing of a person's, changed hands."""
        return [
            n
            for n, event in enumerate(self.events[:before])
            if event.kind != "move" and name in (event.who, event.what, event.whom)
        ]


def where_is_someone(world: World, chooser: random.Random) -> Question | None:
    """Ask where a person is: one supporting fact."""
    who = chooser.choice(list(world.people))
    return Question(f"Where is {who}?", world.people[who], {world.last_move(who)})


def is_someone_there(world: World, chooser: random.Random) -> Question | None:
    """Ask whether a person is at a place; half of the answers are yes."""
    who = chooser.choice(list(world.people))
    here = world.people[who]
    is_yes = chooser.random() < 0.5
    place = here if is_yes else chooser.choice([place for place in PLACES if place != here])
    return Question(f"Is {who} in the {place}?", "yes" if is_yes else "no", {world.last_move(who)})


def where_is_something(world: World, chooser: random.Random) -> Question | None:
    """Ask where a thing is: who has it, or had it last, and where they went."""
    known = [thing for thing in THINGS if world.arrivals[thing]]
    if not known:
        return None
    thing = chooser.choice(known)
    last = world.transfers(thing)[-1]
    event = world.events[last]
    move = world.last_move(event.who, last) if event.kind == "drop" else world.last_move(event.whom or event.who)
    return Question(f"Where is the {thing}?", world.arrivals[thing][-1][0], {last, move})


def where_was_something(world: World, chooser: random.Random) -> Question | None:
    """Ask where a thing was before it came, for the first time, to where it is."""
    tracks = {thing: [place for place, _ in world.arrivals[thing]] for thing in THINGS}
    known = [thing for thing, track in tracks.items() if len(track) > 1 and track.count(track[-1]) == 1]
    if not known:
        return None
    thing = chooser.choice(known)
    (before, _), (here, move) = world.arrivals[thing][-2:]
    facts = {world.last_move(world.events[move].who, move), move, world.transfers(thing, move)[-1]}
    return Question(f"Where was the {thing} before the {here}?", before, facts)


def _someone_with_hands(world: World, chooser: random.Random) -> str | None:
    people = [person for person in PEOPLE if world.transfers(person)]
    return chooser.choice(people) if people else None


def how_many_things(world: World, chooser: random.Random) -> Question | None:
    """Ask how many things a person holds."""
    who = _someone_with_hands(world, chooser)
    if who is None:
        return None
    answer = NUMBERS[len(world.hands[who])]
    return Question(f"How many objects is {who} carrying?", answer, set(world.transfers(who)))


def which_things(world: World, chooser: random.Random) -> Question | None:
    """Ask what a person holds; the answer lists it in the order in which it came first."""
    who = _someone_with_hands(world, chooser)
    if who is None:
        return None
    answer = ",".join(world.hands[who]) or "nothing"
    return Question(f"What is {who} carrying?", answer, set(world.transfers(who)))


@dataclass(frozen=True)
class Kind:
    """A kind of question, and the stories that lead to it."""

    task: int
    """The bAbI task that it is like."""
    ask: Callable[[World, random.Random], Question | None]
    events: tuple[str, ...]
    fewest: int
    most: int
    """Sentences after which the question comes, or the first one later that allows it."""


KINDS = {
    "Where is somebody? (one fact)": Kind(1, where_is_someone, ("move",), 2, 10),
    "Where is something? (two facts)": Kind(2, where_is_something, ("move", "take", "drop"), 5, 16),
    "Where was it before? (three facts)": Kind(3, where_was_something, ("move", "take", "drop"), 8, 24),
    "Is somebody there? (yes or no)": Kind(6, is_someone_there, ("move", "take", "drop"), 2, 12),
    "How many things? (counting)": Kind(7, how_many_things, ("move", "take", "drop", "give"), 6, 20),
    "Which things? (lists)": Kind(8, which_things, ("move", "take", "drop"), 6, 20),
}
"""By what a menu says."""


def write_story(name: str, seed: int | None = None) -> Story:
    """Write a story with a question of a kind.

    Args:
        name: of the kind, a key of `KINDS`.
        seed: the same one writes the same story; None: a new one each time.
    """
    kind, chooser = KINDS[name], random.Random(seed)
    while True:
        cast = chooser.sample(PEOPLE, chooser.randint(2, len(PEOPLE)))
        world = World(cast, {thing: chooser.choice(PLACES) for thing in THINGS})
        length = chooser.randint(kind.fewest, kind.most)
        while len(world.events) < MOST_SENTENCES:
            world.happen(_choose(world, kind.events, chooser))
            question = kind.ask(world, chooser) if len(world.events) >= length else None
            if question is not None:
                sentences = [_tell(event, chooser) for event in world.events]
                return Story(sentences, question.text, question.answer, sorted(question.facts))


def _choose(world: World, kinds: tuple[str, ...], chooser: random.Random) -> Event:
    """Choose who does something, then what kind of thing, then which."""
    possible = world.possible(chooser.choice(world.cast), kinds)
    found = sorted({event.kind for event in possible})
    (kind,) = chooser.choices(found, [WEIGHTS[kind] for kind in found])
    return chooser.choice([event for event in possible if event.kind == kind])


def _tell(event: Event, chooser: random.Random) -> str:
    form, verbs = FORMS[event.kind]
    return form.format(who=event.who, verb=chooser.choice(verbs), what=event.what, whom=event.whom)
