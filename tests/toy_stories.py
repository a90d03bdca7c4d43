"""A toy task in the form of bAbI's files."""

import random

PEOPLE, ROOMS = ("Mary", "John"), ("kitchen", "garden", "office")


def toy_task(num_stories, seed):
    """Write stories of three moves and a question each."""
    generator, lines = random.Random(seed), []
    for _ in range(num_stories):
        places = {}
        for number in range(1, 4):
            who, place = generator.choice(PEOPLE), generator.choice(ROOMS)
            places[who] = (place, number)
            lines.append(f"{number} {who} went to the {place}.")
        who = generator.choice(sorted(places))
        lines.append(f"4 Where is {who}? \t{places[who][0]}\t{places[who][1]}")
    return "\n".join(lines) + "\n"
