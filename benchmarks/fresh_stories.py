"""How well the memory network answers stories that nobody has seen: `python -m benchmarks.fresh_stories`.

The demo's small world writes stories of six kinds, with the true answer; words and forms of sentences are bAbI's, the
stories are not. Ten are shown with what the network answered, and every kind is counted over many.
"""

import argparse

from demo.story_world import KINDS, Story, write_story
from pipelines import EvidencePipeline, pipeline

SHOWN = 10


def answers(pipe: EvidencePipeline, stories: list[Story]) -> list[dict]:
    """Ask the network every story's question."""
    items = [{"context": story.sentences, "question": story.question} for story in stories]
    return [results[0] for results in pipe(items, batch_size=50)]


def main() -> None:
    """Print ten stories and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="memn2n-babi", help="folder, shipped checkpoint or repository")
    parser.add_argument("--number", type=int, default=500, help="stories of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pipe = pipeline("memory-qa", model=options.model, device="cpu")
    names = list(KINDS)
    shown = [write_story(names[n % len(names)], options.seed * 1000 + n) for n in range(SHOWN)]
    for story, answer in zip(shown, answers(pipe, shown), strict=True):
        mark = "right" if answer["answer"] == story.answer else f"wrong: {story.answer}"
        print(f"{' '.join(story.sentences)} {story.question} {answer['answer']} ({answer['score']:.2f}; {mark})\n")
    print(f"| question | like bAbI's task | right of {options.number}, % |\n|---|---|---|")
    for name, kind in KINDS.items():
        stories = [write_story(name, options.seed * 1_000_000 + n) for n in range(options.number)]
        right = sum(a["answer"] == s.answer for a, s in zip(answers(pipe, stories), stories, strict=True))
        print(f"| {name} | {kind.task} | {100 * right / options.number:.1f} |")


if __name__ == "__main__":
    main()
