"""Recipe for the End-To-End Memory Network (Sukhbaatar et al. 2015, arXiv:1503.08895, section 4.2) on bAbI.

The defaults are those of the authors' released code (github.com/facebookarchive/MemNN, MemN2N-babi-matlab) for all
tasks jointly, but for the noise and the ages' weights, which make no difference there. For one task alone they are
`--tasks N --embedding_size 20 --epochs 100 --halve_every 25 --linear_start_epochs 20 --noise gaps --weighted_ages
True`. The paper says otherwise: position encoding by a sentence's own length, a softmax over the sentences alone, a
learning rate of 0.01 after the linear start, and a linear start that ends when the validation loss stops falling. With
that two restarts had 16.2 and 17.8 % wrong on the validation split, where ten with these defaults have 11.4 to 16.7.
Restarts differ by their seeds, and the one with the lowest loss on the training split is kept.

A step takes a few milliseconds, to which transformers' Trainer adds more than half as much again: hence a loop of its
own. Restarts are trained together (training/stacked_memn2n.py): they begin with the weights of their own seeds and see
the same batches, in the order that the first one's seed draws.
"""

import dataclasses
import json
import math
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, set_seed

from models.configuration_memn2n import Memn2nConfig
from models.modeling_memn2n import Memn2nForQuestionAnswering

from .babi_stories import load_split
from .stacked_memn2n import StackedMemn2n
from .story_batches import StoryCollator, StoryQuestions
from .story_vocabulary import answer_token_id, answers_of, build_tokenizer, words_as_answers

EVALUATION_BATCH = 200
SECONDS_BETWEEN_SAVES = 60.0
"""Of a group of restarts that is under way."""
RESTARTS_FOLDER = "restarts"
"""In a run's output: every restart's weights and facts, so that an interrupted run goes on, and all can be measured."""


@dataclass(frozen=True)
class Recipe:
    """Options of `python -m training memory-qa`."""

    data: list[str] | None = None
    """Folder of the published files, such as en/ or en-10k/, or a tar archive of one."""
    output: str = "runs/new"
    """Folder for the finished model."""
    tasks: list[int] | None = None
    """Numbers of the tasks, trained on jointly; without it all that `data` has."""
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 0.005
    """Of plain stochastic gradient descent on the loss of a batch, summed over its questions."""
    halve_every: int = 15
    """Epochs after which the learning rate is halved, again and again."""
    max_gradient_norm: float = 40.0
    linear_start_epochs: int = 30
    """Epochs without the hops' softmax, before the others. The paper ends them when the validation loss stops falling,
    the authors' released code after this number; a validation loss of one epoch is noisy."""
    linear_start_rate: float = 0.005
    noise_share: float = 0.1
    """Empty memories among a story's sentences, so that its ages vary."""
    noise: str = field(default="empty_memories", metadata={"help": "empty_memories, or gaps as in the authors' code"})
    embedding_size: int = 50
    num_hops: int = 3
    memory_size: int = 50
    """At most; a network for shorter stories holds as many sentences as the longest one has, as in the authors' code:
    its null memories are fewer then."""
    sentence_encoding: str = field(
        default="fixed_position", metadata={"help": "position, fixed_position or bag_of_words"}
    )
    null_memories: bool = True
    """Whether a hop can look at nothing."""
    temporal_encoding: bool = True
    weighted_ages: bool = False
    """Whether an age is weighted as a sentence's last word."""
    tying: str = field(default="adjacent", metadata={"help": "adjacent or layer_wise"})
    hop_activation: str = field(default="none", metadata={"help": "none or relu"})
    gated: bool = False
    any_word_answers: bool = True
    """Whether every word is a possible answer, as in the paper, and not only what training has as an answer."""
    restarts: int = 1
    together: int = 5
    """Restarts that share a process and their batches."""
    processes: int = 1
    """Groups of restarts that run side by side, each on `threads` threads of the CPU."""
    seed: int = 1
    """Of the first restart; the others have the numbers that follow."""
    threads: int = 1


@dataclass(frozen=True)
class Material:
    """The data of a run, in numbers."""

    train: StoryQuestions
    validation: StoryQuestions
    tokenizer: PreTrainedTokenizerFast
    answers: dict[int, str]
    facts: dict

    @property
    def longest_sentence(self) -> int:
        """Words, and one for the age, which the authors' released code counts as a sentence's last."""
        return 1 + max(split.word_ids.shape[1] for split in (self.train, self.validation))

    @property
    def longest_story(self) -> int:
        """Sentences that are read."""
        return max(len(question.story) for split in (self.train, self.validation) for question in split.questions)


@dataclass(frozen=True)
class Run:
    """What one restart came to."""

    weights: dict[str, Tensor]
    steps: int
    learning_curve: list[dict]
    facts: dict
    """Seed, seconds, and loss and error on both splits."""

    @property
    def training_loss(self) -> float:
        """What restarts are chosen by; infinite where a run diverged."""
        loss = self.facts["training_loss"]
        return loss if math.isfinite(loss) else math.inf


def prepare(recipe: Recipe) -> Material:
    """Load and number the recipe's data."""
    splits = {name: load_split(recipe.data, name, recipe.tasks) for name in ("train", "validation")}
    published = splits["train"].examples + splits["validation"].examples
    tokenizer = build_tokenizer(published)
    answers = words_as_answers(tokenizer, published) if recipe.any_word_answers else answers_of(published)
    questions = [StoryQuestions(split.examples, tokenizer, answers, recipe.memory_size) for split in splits.values()]
    return Material(*questions, tokenizer, answers, {name: split.facts() for name, split in splits.items()})


def build_model(recipe: Recipe, material: Material) -> Memn2nForQuestionAnswering:
    """Make the network with fresh weights, for sentences and stories as long as the data's."""
    names = Memn2nConfig.__dataclass_fields__.keys() & Recipe.__dataclass_fields__.keys()
    tokenizer, answers, is_adjacent = material.tokenizer, material.answers, recipe.tying == "adjacent"
    options = {name: getattr(recipe, name) for name in names}
    config = Memn2nConfig(
        **options | {"memory_size": material.longest_story, "longest_sentence": material.longest_sentence},
        vocab_size=len(tokenizer),
        id2label=answers,
        label2id={answer: number for number, answer in answers.items()},
        answer_token_ids=[answer_token_id(tokenizer, answer) for answer in answers.values()] if is_adjacent else None,
    )
    return Memn2nForQuestionAnswering(config)


@torch.inference_mode()
def measure(network: StackedMemn2n, questions: StoryQuestions, linear_attention: bool = False) -> list[dict]:
    """Return each network's mean loss in nats and its share of wrong answers in percent.

    A question whose answer training never showed is wrong, and has no loss.
    """
    losses, is_right, num_scored = [], [], 0
    for batch in DataLoader(questions, EVALUATION_BATCH, collate_fn=StoryCollator()):
        loss, right = network.losses(questions.word_ids, batch, linear_attention)
        losses.append(loss.sum(dim=1))
        is_right.append(right.sum(dim=1))
        num_scored += int((batch.labels != -100).sum())
    measured = zip(sum(losses) / max(num_scored, 1), sum(is_right), strict=True)
    return [{"loss": float(loss), "error": 100 * (1 - int(right) / len(questions))} for loss, right in measured]


class Training:
    """A group of restarts under way, which an interruption does not lose."""

    def __init__(self, recipe: Recipe, material: Material, seeds: Sequence[int], state: Path | None = None):
        models = []
        for seed in seeds:
            set_seed(seed)
            models.append(build_model(recipe, material))
        set_seed(seeds[0])
        self.recipe, self.material, self.seeds, self.state = recipe, material, list(seeds), state
        self.network = StackedMemn2n(models)
        self.curves: list[list[dict]] = [[] for _ in seeds]
        """Of each restart, after every epoch its loss and error on the validation split."""
        self.seconds = 0.0

    @property
    def num_epochs(self) -> int:
        """Of which the first ones are the linear start."""
        return self.recipe.linear_start_epochs + self.recipe.epochs

    def fit(self) -> None:
        """Do the epochs that are left."""
        self._load()
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        for number in range(len(self.curves[0]), self.num_epochs):
            self._epoch(number)
            self.seconds = time.monotonic() - started
            if self.state and time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                saved = time.monotonic()

    def _epoch(self, number: int) -> None:
        recipe, material = self.recipe, self.material
        is_linear, later = number < recipe.linear_start_epochs, number - recipe.linear_start_epochs
        rate = recipe.linear_start_rate if is_linear else recipe.learning_rate * 0.5 ** (later // recipe.halve_every)
        collate = StoryCollator(recipe.noise_share, recipe.noise)
        for batch in DataLoader(material.train, recipe.batch_size, shuffle=True, collate_fn=collate):
            self.network.step(material.train.word_ids, batch, is_linear, rate, recipe.max_gradient_norm)
        measured = measure(self.network, material.validation, is_linear)
        entry = {"epoch": number + 1, "linear": is_linear, "learning_rate": rate}
        for curve, numbers in zip(self.curves, measured, strict=True):
            curve.append(entry | {f"eval_{name}": round(value, 4) for name, value in numbers.items()})
        errors = " ".join(f"{curve[-1]['eval_error']:.1f}" for curve in self.curves)
        print(f"seeds {self.seeds[0]} to {self.seeds[-1]}: {entry}, validation error {errors}", flush=True)

    def finish(self) -> list[Run]:
        """Measure, and return what each restart came to."""
        splits = (("training", self.material.train), ("validation", self.material.validation))
        measured = {name: measure(self.network, questions) for name, questions in splits}
        steps = self.num_epochs * math.ceil(len(self.material.train) / self.recipe.batch_size)
        runs = []
        for network, (seed, curve) in enumerate(zip(self.seeds, self.curves, strict=True)):
            facts = {"seed": seed, "seconds": round(self.seconds / len(self.seeds), 1)}
            for name, numbers in measured.items():
                facts |= {f"{name}_{key}": round(value, 4) for key, value in numbers[network].items()}
            runs.append(Run(self.network.weights_of(network), steps, curve, facts))
        return runs

    def _identity(self) -> dict:
        return {"options": _options_of_a_restart(self.recipe, self.seeds), "data": self.material.facts}

    def _save(self) -> None:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        partial = self.state.with_suffix(".partial")
        kept = {"curves": self.curves, "seconds": self.seconds, "random": torch.get_rng_state()}
        torch.save(kept | {"weights": self.network.state_dict(), "identity": self._identity()}, partial)
        partial.replace(self.state)

    def _load(self) -> None:
        if not (self.state and self.state.is_file()):
            return
        kept = torch.load(self.state, weights_only=True)
        if kept["identity"] != self._identity():
            return
        self.network.load_state_dict(kept["weights"])
        self.curves, self.seconds = kept["curves"], kept["seconds"]
        torch.set_rng_state(kept["random"])


def run(recipe: Recipe, seeds: Sequence[int]) -> list[Run]:
    """Train a group of restarts and measure them, in this process; a process of its own loads its own data.

    What the restarts came to is kept in the output folder, and found there when the same run is started again.
    """
    torch.set_num_threads(recipe.threads)
    folder, options = Path(recipe.output) / RESTARTS_FOLDER, _options_of_a_restart(recipe, seeds)
    finished = [_load_run(folder / f"seed-{seed}", options) for seed in seeds]
    if None not in finished:
        return finished
    training = Training(recipe, prepare(recipe), seeds, folder / f"seeds-{seeds[0]}-to-{seeds[-1]}.pt")
    training.fit()
    runs = training.finish()
    for each in runs:
        _save_run(folder / f"seed-{each.facts['seed']}", each, options)
    training.state.unlink(missing_ok=True)
    return runs


def _save_run(stem: Path, finished: Run, options: dict) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    save_file(finished.weights, stem.with_suffix(".safetensors"))
    record = {name: getattr(finished, name) for name in ("steps", "learning_curve", "facts")}
    stem.with_suffix(".json").write_text(json.dumps({"options": options} | record), encoding="utf-8")  # last: complete


def _load_run(stem: Path, options: dict) -> Run | None:
    """Return a finished restart; None where there is none of these options."""
    if not stem.with_suffix(".json").is_file():
        return None
    record = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    return Run(load_file(stem.with_suffix(".safetensors")), **record) if record.pop("options") == options else None


def run_all(recipe: Recipe) -> list[Run]:
    """Train all restarts, side by side where the recipe says so; return them in the order of their seeds."""
    seeds = list(range(recipe.seed, recipe.seed + recipe.restarts))
    groups = [seeds[first : first + recipe.together] for first in range(0, len(seeds), recipe.together)]
    if min(recipe.processes, len(groups)) == 1:
        finished = [run(recipe, group) for group in groups]
    else:  # spawn: a forked process can wait for ever on threads that torch had before
        with ProcessPoolExecutor(recipe.processes, multiprocessing.get_context("spawn")) as pool:
            finished = list(pool.map(run, repeat(recipe), groups))
    return [each for group in finished for each in group]


def train(recipe: Recipe) -> tuple[Memn2nForQuestionAnswering, list[PreTrainedTokenizerFast], dict]:
    """Train all restarts; return the model with the lowest training loss, its tokenizer and the facts of the run."""
    runs = run_all(recipe)
    best, material = min(runs, key=lambda each: each.training_loss), prepare(recipe)
    model = build_model(recipe, material)
    model.load_state_dict(best.weights)
    return (
        model.eval(),
        [material.tokenizer],
        {
            "options": _recorded_options(recipe),
            "device": f"CPU, {recipe.threads} thread(s), {recipe.processes} process(es)",
            "hours": round(sum(each.facts["seconds"] for each in runs) / 3600, 3),  # of all restarts together
            "steps": best.steps,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "chosen_by": "lowest loss on the training split",
            "chosen_seed": best.facts["seed"],
            "restarts": [each.facts for each in runs],
            "learning_curve": best.learning_curve,
            "data": material.facts,
        },
    )


def _recorded_options(recipe: Recipe) -> dict:
    """Return a run's options without the folder that it wrote to; of the data only the names."""
    options = dataclasses.asdict(recipe)
    del options["output"]
    return options | {"data": recipe.data and [Path(path).name for path in recipe.data]}


def _options_of_a_restart(recipe: Recipe, seeds: Sequence[int]) -> dict:
    """Return what decides how one restart ends: not where and how many there are, but which ones are together."""
    others = {"restarts", "together", "processes", "seed", "threads"}
    options = {name: value for name, value in _recorded_options(recipe).items() if name not in others}
    return options | {"seeds": list(seeds)}
