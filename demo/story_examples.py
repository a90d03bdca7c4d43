"""Stories to begin with: three as lectures tell them, and one for each of the 20 bAbI tasks, with the truth.

All are ours, in the words and the sentence forms of the bAbI tasks (Weston et al. 2015, arXiv:1502.05698).
"""

from dataclasses import dataclass

from .story_world import Story


@dataclass(frozen=True)
class Example:
    """A story with its question and the truth, and what a visitor should know about it."""

    title: str
    story: Story
    note: str = ""


def _read(text: str) -> Story:
    """Read a sentence a line; the last line is question | answer | numbers, from 1, of the supporting sentences."""
    *sentences, last = text.strip().splitlines()
    question, answer, facts = last.split(" | ")
    return Story(sentences, question, answer, [int(number) - 1 for number in facts.split()])


LECTURE = (
    Example(
        "Where is the apple?",
        _read("""
Daniel went to the kitchen.
Daniel picked up the apple.
Daniel went to the bedroom.
Daniel dropped the apple.
Where is the apple? | bedroom | 3 4"""),
        "The lecture tells of Sam, who “walks into” rooms. The model never saw these words; here they are Daniel, and "
        "“went to”.",
    ),
    Example(
        "What color is Brian?",
        _read("""
Brian is a lion.
Julius is a lion.
Julius is white.
Bernhard is green.
What color is Brian? | white | 1 2 3"""),
        "Word for word as in the lecture.",
    ),
    Example(
        "Where was the milk?",
        _read("""
Mary went to the hallway.
Mary got the milk there.
Mary journeyed to the garden.
Mary went back to the kitchen.
John journeyed to the bedroom.
Mary discarded the milk.
Where was the milk before the garden? | hallway | 1 2 3"""),
        "The lecture tells of a den, a word that the model never saw: here it is the garden. And it tells the end "
        "only: we added the first two sentences, without which nobody can know the answer.",
    ),
)

_DIRECTIONS = "The answer is a way in two steps: n, e, s and w are north, east, south and west."

TASKS = (
    Example(
        "1. Single supporting fact",
        _read("""
Mary moved to the hallway.
Daniel travelled to the office.
Mary went back to the garden.
Sandra journeyed to the kitchen.
Where is Mary? | garden | 3"""),
    ),
    Example(
        "2. Two supporting facts",
        _read("""
John went to the bedroom.
John grabbed the football there.
Sandra moved to the office.
John journeyed to the garden.
Sandra went back to the kitchen.
Where is the football? | garden | 2 4"""),
    ),
    Example(
        "3. Three supporting facts",
        _read("""
Daniel went to the office.
Daniel got the milk there.
Mary travelled to the bathroom.
Daniel moved to the hallway.
Mary went to the kitchen.
Daniel journeyed to the bedroom.
Daniel dropped the milk.
Where was the milk before the bedroom? | hallway | 2 4 6"""),
    ),
    Example(
        "4. Two-argument relations",
        _read("""
The kitchen is north of the garden.
The bedroom is south of the garden.
What is the garden north of? | bedroom | 2"""),
    ),
    Example(
        "5. Three-argument relations",
        _read("""
Mary went to the kitchen.
Bill went to the kitchen.
Jeff moved to the kitchen.
Jeff picked up the milk there.
Jeff gave the milk to Mary.
Mary passed the milk to Bill.
Who gave the milk to Mary? | Jeff | 5"""),
    ),
    Example(
        "6. Yes or no questions",
        _read("""
Sandra went to the hallway.
John moved to the bathroom.
Sandra travelled to the garden.
John took the apple there.
Is Sandra in the hallway? | no | 3"""),
    ),
    Example(
        "7. Counting",
        _read("""
Daniel went to the kitchen.
Daniel picked up the apple there.
Daniel grabbed the milk there.
Daniel moved to the garden.
Daniel put down the milk.
How many objects is Daniel carrying? | one | 2 3 5"""),
    ),
    Example(
        "8. Lists",
        _read("""
Mary travelled to the office.
Mary took the football there.
John went to the bedroom.
Mary got the apple there.
What is Mary carrying? | football,apple | 2 4"""),
        "A list names things in the order in which they were taken.",
    ),
    Example(
        "9. Simple negation",
        _read("""
Sandra travelled to the office.
John is in the bathroom.
Sandra is no longer in the office.
Mary went to the kitchen.
Is Sandra in the office? | no | 3"""),
    ),
    Example(
        "10. Indefinite knowledge",
        _read("""
Bill is in the cinema.
Julie is either in the park or the school.
Fred went back to the office.
Is Julie in the school? | maybe | 2"""),
    ),
    Example(
        "11. Basic coreference",
        _read("""
Daniel went back to the garden.
Then he moved to the office.
Sandra journeyed to the bathroom.
After that she went to the kitchen.
Where is Daniel? | office | 1 2"""),
    ),
    Example(
        "12. Conjunction",
        _read("""
John and Mary travelled to the hallway.
Sandra and Daniel moved to the kitchen.
Mary and Sandra went to the bedroom.
Where is John? | hallway | 1"""),
    ),
    Example(
        "13. Compound coreference",
        _read("""
Mary and John went to the kitchen.
Then they moved to the garden.
Daniel and Sandra travelled to the office.
After that they went back to the hallway.
Where is Sandra? | hallway | 3 4"""),
    ),
    Example(
        "14. Time reasoning",
        _read("""
Julie went to the school this morning.
Yesterday Julie moved to the park.
This afternoon Julie travelled to the cinema.
Bill went to the office yesterday.
Where was Julie before the cinema? | school | 1 3"""),
    ),
    Example(
        "15. Basic deduction",
        _read("""
Mice are afraid of cats.
Emily is a mouse.
Sheep are afraid of wolves.
Cats are afraid of sheep.
Winona is a sheep.
Wolves are afraid of mice.
Gertrude is a cat.
Jessica is a mouse.
What is Winona afraid of? | wolf | 3 5"""),
    ),
    Example(
        "16. Basic induction",
        _read("""
Lily is a swan.
Bernhard is a lion.
Greg is a frog.
Greg is yellow.
Julius is a swan.
Bernhard is white.
Julius is gray.
Lily is gray.
Brian is a frog.
What color is Brian? | yellow | 3 4 9"""),
    ),
    Example(
        "17. Positional reasoning",
        _read("""
The red square is above the blue square.
The blue square is to the right of the triangle.
Is the red square to the right of the triangle? | yes | 1 2"""),
    ),
    Example(
        "18. Size reasoning",
        _read("""
The chocolate fits inside the box.
The box is bigger than the chest.
The box fits inside the suitcase.
The suitcase is bigger than the container.
Is the chocolate bigger than the suitcase? | no | 1 3"""),
    ),
    Example(
        "19. Path finding",
        _read("""
The bedroom is north of the office.
The garden is east of the bedroom.
The kitchen is west of the office.
The hallway is south of the kitchen.
The bathroom is east of the garden.
How do you go from the office to the garden? | n,e | 1 2"""),
        _DIRECTIONS,
    ),
    Example(
        "20. Agents' motivations",
        _read("""
Antoine is hungry.
Jason is bored.
Antoine went to the kitchen.
Jason journeyed to the garden.
Why did Jason go to the garden? | bored | 2"""),
    ),
)
"""One for each bAbI task, in their order."""
