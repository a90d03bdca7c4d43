"""Everyday sentences that are in no training data, for somebody to read: `python -m benchmarks.everyday --data DATA`.

It refuses sentences that stand in the data, whatever their case and punctuation, translates the others as the shipped
checkpoint of several directions does by default, and prints a table without verdicts: those are a reader's.
"""

import argparse
from pathlib import Path

from pipelines import pipeline
from training.directed_text import load_directions
from training.parallel_text import folded

CHECKPOINT = "attention-nmt-tatoeba"
SENTENCES = {
    "en-de": (
        "Where did you park the car this morning?",
        "I would like two cups of coffee, please.",
        "My sister starts her new job on Monday.",
        "Could you turn the music down a little?",
        "We missed the last train and took a taxi.",
        "It will probably rain in the afternoon.",
        "He never answers his phone after ten.",
        "Is there a pharmacy near the hotel?",
        "I forgot to buy bread and milk.",
        "They are moving to a bigger apartment next month.",
    ),
    "de-en": (
        "Wann fährt der nächste Bus in die Stadt?",
        "Ich habe gestern Abend viel zu viel gegessen.",
        "Könnten Sie das bitte noch einmal erklären?",
        "Meine Eltern besuchen uns am Wochenende.",
        "Der Schlüssel liegt auf dem Küchentisch.",
        "Es tut mir leid, dass wir so spät kommen.",
        "Warum hast du mir nichts davon erzählt?",
        "Das Restaurant ist montags geschlossen.",
        "Sie lernt seit drei Jahren Klavier.",
        "Wir sollten heute früher ins Bett gehen.",
    ),
    "en-fr": (
        "What time does the shop open on Sundays?",
        "I have been waiting here for an hour.",
        "Can you help me carry this box upstairs?",
        "Our neighbors have a very noisy dog.",
        "She is afraid of flying.",
        "I think I left my umbrella at your place.",
        "The soup is still too hot to eat.",
        "Do you know where I can buy stamps?",
        "He broke his leg while skiing last winter.",
        "We are going to the beach if the weather is nice.",
    ),
    "fr-en": (
        "Où sont les toilettes dans ce restaurant ?",
        "J'ai perdu mes clés en rentrant à la maison.",
        "Combien coûte ce petit livre ?",
        "Nous avons mangé dans un petit restaurant italien.",
        "Il fait trop chaud pour travailler aujourd'hui.",
        "Ma voiture est en panne depuis hier.",
        "Tu devrais te reposer un peu plus.",
        "Elle ne veut pas parler de son nouveau travail.",
        "Le film commence à huit heures et demie.",
        "Pouvez-vous me recommander un bon médecin ?",
    ),
}


def seen(data: list[str]) -> list[str]:
    """Return the sentences that stand in a split of the data that was trained on or chosen by."""
    known = {
        folded(text)
        for split in ("train", "validation")
        for one in load_directions(data, split, list(SENTENCES))
        for text in one.split.sources
    }
    return [text for texts in SENTENCES.values() for text in texts if folded(text) in known]


def table(checkpoint: str) -> str:
    """Translate every sentence; return a Markdown table."""
    translate = pipeline("attention-translation", model=checkpoint, device="cpu")
    rows = ["| | sentence | translation | score |", "| --- | --- | --- | --- |"]
    for direction, texts in SENTENCES.items():
        source, target = direction.split("-")
        for text in texts:
            best = translate(text, src_lang=source, tgt_lang=target, return_evidence=True)[0]
            sign = " (unfamiliar)" if best["evidence"]["unfamiliar"] else ""
            rows.append(f"| {direction} | {text} | {best['translation_text']} | {best['score']:.2f}{sign} |")
    return "\n".join(rows)


def main() -> None:
    """Check, translate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", required=True, help="folders that the checkpoint was trained on")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--output", type=Path, help="a file for the table")
    options = parser.parse_args()
    found = seen(options.data)
    if found:
        raise SystemExit(f"These are in the data: {found}")
    text = table(options.checkpoint)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
