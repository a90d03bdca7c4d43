"""What a visitor meets of each character model: its name, beginnings to try, a text to look into, and its limits."""

from dataclasses import dataclass
from html import escape

HAMLET = """HAMLET:
To be, or not to be, that is the question:
Whether 'tis nobler in the mind to suffer
The slings and arrows of outrageous fortune,
Or to switch off my telephone and sleep.
"""
KERNEL = """/* Counts the users of a device. */
static int count_users(struct device *dev, const char *name)
{
	int users = 0;

	if (!dev || !name) {
		pr_err("no device named \\"%s\\"\\n", name);
		return -EINVAL;
	}
	list_for_each_entry(user, &dev->users, node)
		users += strcmp(user->name, name) == 0;
	return users; // and a cup of tea
}
"""
JOKES = """Why did the chicken cross the road? To get to the other side.
A priest, a rabbi and a recurrent neural network walk into a bar. "Is this a joke?" says the barman.
"""


@dataclass(frozen=True)
class CharModel:
    """A checkpoint as visitors meet it."""

    title: str
    beginnings: tuple[str, ...]
    """To try, the first one first."""
    own_text: str
    """To look into; nothing the network was trained on."""
    note: str
    """What it learnt from, and what it therefore cannot do."""


MODELS = {
    "char-lstm-shakespeare": CharModel(
        "Shakespeare",
        ("ROMEO:\n", "To be, or not to be", "First Citizen:\nThe king ", "KATHARINA:\nMy telephone "),
        HAMLET,
        "It read a million characters of Shakespeare's plays and nothing else, letter by letter. It has no idea of "
        "words but what it found there, and makes some up.",
    ),
    "char-lstm-linux": CharModel(
        "Linux",
        ("static int ", "/*\n * This function ", "#include <linux/", "struct device *", "\tif (!"),
        KERNEL,
        "It read five million characters of the Linux kernel's C code and nothing else. What it writes looks like C "
        "and does nothing.",
    ),
    "char-lstm-jokes": CharModel(
        "Jokes",
        ("Why did the ", "What do you call a ", "Knock knock", "My wife told me ", "A man walks into a bar"),
        JOKES,
        "It read short jokes from the web and nothing else, and learnt their sound, rarely their sense. A filter keeps "
        "out the worst words, not every insult: what it writes is nobody's opinion.",
    ),
}


def char_model(checkpoint: str) -> CharModel:
    """Return what is known of a checkpoint; of one that this file does not know, its name."""
    return MODELS.get(checkpoint) or CharModel(checkpoint, ("The ",), "The ", "")


def note_html(checkpoint: str) -> str:
    """Say what a checkpoint learnt from, and what it therefore cannot do."""
    return f'<p class="fine-print">{escape(char_model(checkpoint).note)}</p>'
