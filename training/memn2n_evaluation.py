"""Evaluation and card of the memory network: errors by task, restarts, and whether hops find the supporting facts."""

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Pipeline, PreTrainedTokenizerFast

from models.configuration_memn2n import Memn2nConfig
from models.modeling_memn2n import Memn2nForQuestionAnswering

from .babi_stories import TASK_NAMES, Example, StorySplit, load_split
from .card import CardFacts
from .memn2n import EVALUATION_BATCH, RESTARTS_FOLDER
from .metric import Metric
from .published_babi import FAILED_ABOVE, Published, num_failed, published
from .story_batches import StoryCollator, StoryQuestions

HARD_ABOVE = 25.0
"""Percent of wrong answers above which the card warns of a task."""
LOSSES = ("training", "validation")
"""By which a restart can be chosen; the paper's way is the first."""
HEADLINES = ("Mean error %", "Failed tasks")
"""Metrics that the README's table shows."""


@dataclass(frozen=True)
class Evaluation:
    """Options of `python -m training.evaluate` on a memory network."""

    data: list[str] | None = None
    """As in training."""
    run: str | None = None
    """Folder that training wrote; all its restarts are measured."""
    single_runs: str | None = None
    """Folder with task-1 to task-20, each the output of a training on one task; they are measured too."""
    device: str = "cpu"


@dataclass(frozen=True)
class Reading:
    """What a network made of some questions."""

    is_right: Tensor
    """Bool (questions)."""
    most_attended: Tensor
    """Int64 (questions, hops), the sentence that each hop attended to most, by its place among those read."""


def evaluate(pipe: Pipeline, options: Evaluation) -> dict:
    """Measure a checkpoint on the test split, and the other restarts of its run where they are named.

    Returns:
        What goes into evaluation.json.
    """
    training = _training_facts(Path(pipe.model.name_or_path))
    learnt = sorted(map(int, training["data"]["train"]["tasks"]))
    split, whole = load_split(options.data, "test", learnt), load_split(options.data, "test")
    tasks = {str(task): measure(pipe.model, pipe.tokenizer, split.of_task(task)) for task in learnt}
    others = {
        str(task): _percent(~read_through(pipe.model, pipe.tokenizer, whole.of_task(task)).is_right)
        for task in sorted(whole.sha256.keys() - split.sha256.keys())
    }
    errors = [numbers["error"] for numbers in tasks.values()]
    result = {
        "split": "test",
        "questions": len(split.examples),
        "training_questions": sum(training["data"][part]["questions"] for part in ("train", "validation")),
        "missing_tasks": split.facts()["missing_tasks"],
        "sha256": {str(task): digest for task, digest in split.sha256.items()},
        "parameters": sum(parameter.numel() for parameter in pipe.model.parameters()),
        "decoding": {"hops": pipe.model.config.num_hops, "memory": pipe.model.config.memory_size},
        "metrics": [dataclasses.asdict(metric) for metric in _metrics(errors, training)],
        "tasks": tasks,
        "errors_of_tasks_not_learnt": others,
    }
    if options.run is not None:
        result["restarts"] = measure_restarts(Path(options.run), split)
    if options.single_runs is not None:
        result["single"] = measure_single_runs(Path(options.single_runs), split)
    return result


@torch.inference_mode()
def read_through(
    model: Memn2nForQuestionAnswering, tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]
) -> Reading:
    """Let a network answer questions; an answer that it does not know is wrong."""
    questions = StoryQuestions(examples, tokenizer, model.config.id2label, model.config.memory_size)
    is_right, most_attended = [], []
    for batch in DataLoader(questions, EVALUATION_BATCH, collate_fn=StoryCollator()):
        numbers = (batch.stories, batch.questions)
        output = model(*(questions.word_ids[each].to(model.device) for each in numbers))
        is_right.append(output.logits.argmax(dim=1).cpu() == batch.labels)
        most_attended.append(output.attention.argmax(dim=2).cpu())
    return Reading(torch.cat(is_right), torch.cat(most_attended))


def measure(model: Memn2nForQuestionAnswering, tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]) -> dict:
    """Return the percentage of wrong answers of a task, and how its hops agree with the labelled supporting facts."""
    reading = read_through(model, tokenizer, examples)
    facts = [_facts_read(example, model.config.memory_size) for example in examples]
    return {"error": _percent(~reading.is_right), **agreement(reading.most_attended, facts)}


def agreement(most_attended: Tensor, facts: Sequence[frozenset[int]]) -> dict:
    """Compare where hops look with what an answer follows from.

    Args:
        most_attended: int64 (questions, hops).
        facts: of each question the places of its supporting facts; questions without one do not count.

    Returns:
        `supporting_fact_by_hop`, for each hop the percentage of questions whose most attended sentence is a
        supporting fact; `all_supporting_facts`, the percentage in which each supporting fact is some hop's.
    """
    counted = [(row, places) for row, places in zip(most_attended.tolist(), facts, strict=True) if places]
    hits = torch.tensor([[place in places for place in row] for row, places in counted]).view(
        -1, most_attended.shape[1]
    )
    found = torch.tensor([places <= set(row) for row, places in counted])
    return {
        "supporting_fact_by_hop": [_percent(column) for column in hits.t()],
        "all_supporting_facts": _percent(found),
    }


def measure_restarts(run: Path, split: StorySplit) -> list[dict]:
    """Measure every restart of a run, in the order of their seeds.

    Args:
        run: what training wrote.
        split: the questions.

    Returns:
        For each its `seed`, its losses and errors on the splits of training, `errors` by task and their `mean_error`.
    """
    config, tokenizer = Memn2nConfig.from_pretrained(run), PreTrainedTokenizerFast.from_pretrained(run)
    measured = []
    for facts in _training_facts(run)["restarts"]:
        model = Memn2nForQuestionAnswering(config).eval()
        model.load_state_dict(load_file(run / RESTARTS_FOLDER / f"seed-{facts['seed']}.safetensors"))
        errors = {
            str(task): _percent(~read_through(model, tokenizer, split.of_task(task)).is_right)
            for task in sorted(split.sha256)
        }
        mean = round(statistics.mean(errors.values()), 2)
        measured.append(facts | {"mean_error": mean, "failed": num_failed(errors.values()), "errors": errors})
    return measured


def measure_single_runs(folder: Path, split: StorySplit) -> dict[str, dict]:
    """Measure trainings on one task each: the restarts of lowest training and validation loss, and all."""
    measured = {}
    for task in sorted(split.sha256):
        restarts = measure_restarts(folder / f"task-{task}", StorySplit(split.of_task(task), {task: ""}))
        best, validated = (min(restarts, key=lambda restart: restart[f"{name}_loss"]) for name in LOSSES)
        measured[str(task)] = {
            "error": best["mean_error"],
            "seed": best["seed"],
            "chosen_by_validation": validated["mean_error"],
            "restarts": [restart["mean_error"] for restart in restarts],
        }
    return measured


def published_results(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the published systems, and their numbers, that a checkpoint is compared with."""
    evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return _published(evaluation).systems([int(task) for task in evaluation["tasks"]])


def _published(evaluation: dict) -> Published:
    return published(_questions_per_task(evaluation))


def _questions_per_task(evaluation: dict) -> float:
    return evaluation["training_questions"] / len(evaluation["tasks"])


def card_facts(pipe: Pipeline, evaluation: dict) -> CardFacts:
    """Say what the card needs to and the files do not."""
    return CardFacts(
        title=f"Memory network, bAbI, {_questions_per_task(evaluation):,.0f} questions a task",
        summary="Answers a question about a story of simple sentences, and shows which sentences it looked at in each "
        "of its hops.",
        languages=("en",),
        dataset_id="facebook/babi_qa",
        dataset_name=f"bAbI in English, {len(evaluation['tasks'])} tasks, "
        f"{evaluation['training_questions']:,} questions to learn from{_missing(evaluation)}",
        dataset_licence="Trained on the bAbI tasks (Weston et al. 2015, arXiv:1502.05698), version 1.2, which Facebook "
        "published under Creative Commons Attribution 3.0.",
        licence_name="cc-by-3.0",
        paper_results=_published(evaluation).systems([int(task) for task in evaluation["tasks"]]),
        limits=f"It knows {len(pipe.known_words)} words and the forms of bAbI's sentences, and refuses any other word. "
        f"It holds {pipe.model.config.memory_size} sentences; of a longer story the newest are read. It always answers "
        f"with one of {pipe.model.config.num_labels} answers, also to a question that a story does not answer. "
        f"{_not_learnt(evaluation)}More than {HARD_ABOVE:g} % of its answers are wrong in: "
        f"{_hard_tasks(evaluation)}. The table above says how far to trust it elsewhere.",
        example='{"context": "Mary went to the kitchen.", "question": "Where is Mary?"}',
        unit="questions",
        seeds=_seeds(evaluation),
        details=_details(evaluation),
    )


def _metrics(errors: Sequence[float], training: dict) -> list[Metric]:
    together = "jointly" if len(training["data"]["train"]["tasks"]) > 1 else "alone"
    chosen = f"{training['chosen_by']}, of {len(training['restarts'])}"
    signature = f"tasks:{len(errors)}|trained:{together}|restart:{chosen}|failed:error above {FAILED_ABOVE:g}"
    values = (("error", round(statistics.mean(errors), 2)), ("failed", num_failed(errors)))
    return [Metric(name, title, value, signature) for (name, value), title in zip(values, HEADLINES, strict=True)]


def _missing(evaluation: dict) -> str:
    tasks = [f"{task} ({TASK_NAMES[task]})" for task in evaluation["missing_tasks"]]
    return f", without task {', '.join(tasks)}" if tasks else ""


def _not_learnt(evaluation: dict) -> str:
    errors = [
        f"{TASK_NAMES[int(task)]} ({task}), {error} %"
        for task, error in evaluation["errors_of_tasks_not_learnt"].items()
    ]
    return f"It never learnt these tasks, and answers them wrong in: {'; '.join(errors)}. " if errors else ""


def _hard_tasks(evaluation: dict) -> str:
    hard = [task for task, numbers in evaluation["tasks"].items() if numbers["error"] > HARD_ABOVE]
    return ", ".join(f"{TASK_NAMES[int(task)]} ({task})" for task in hard) or "no task"


def _training_facts(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))


def _facts_read(example: Example, memory_size: int) -> frozenset[int]:
    """Return the places of an example's supporting facts among the sentences that are read."""
    dropped = max(0, len(example.sentences) - memory_size)
    return frozenset(fact - dropped for fact in example.supporting_facts if fact >= dropped)


def _percent(values: Tensor) -> float:
    return round(100 * values.double().mean().item(), 2) if len(values) else 0.0


def _seeds(evaluation: dict) -> str:
    restarts = evaluation.get("restarts", [])
    if len(restarts) < 2:
        return ""
    errors = [restart["mean_error"] for restart in restarts]
    best = min(restarts, key=lambda restart: restart["training_loss"])
    spread = f"{statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f}, {min(errors)} to {max(errors)}"
    return (
        f"Of {len(errors)} trainings with different seeds the one with the lowest loss on the training split, seed "
        f"{best['seed']}, as in the paper; mean error of all of them {spread}"
    )


def _details(evaluation: dict) -> tuple[str, ...]:
    hops = evaluation["decoding"]["hops"]
    header = ["task", "this model", "all restarts", "paper, joint", "alone", "alone, restarts", "paper, alone"]
    header += [f"fact in hop {hop}" for hop in range(1, hops + 1)] + ["all facts"]
    rows = [_row(task, evaluation) for task in evaluation["tasks"]]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))
    return (
        "Wrong answers in percent by task. *All restarts*: mean and standard deviation. *Alone*: a network trained on "
        "this task only, the restart with the lowest training loss. *Fact in hop k*: in how many percent of the "
        "questions the sentence that the hop attends to most is one of the labelled supporting facts, which training "
        f"never saw; *all facts*: every supporting fact is some hop's.{_alone(evaluation)}\n\n{table}",
    )


def _alone(evaluation: dict) -> str:
    """Sum up the networks that were trained on one task each."""
    single = evaluation.get("single", {}).values()
    if not single:
        return ""
    errors, restarts = [task["error"] for task in single], [task["restarts"] for task in single]
    numbers = sorted({len(errors) for errors in restarts})
    means = [statistics.mean(restart) for restart in zip(*restarts, strict=False)]  # of seeds that all tasks have
    spread = f", all restarts {_spread(means)}" if len(means) > 1 else ""
    validated = statistics.mean(task["chosen_by_validation"] for task in single)
    return (
        f" Alone, best of {' or '.join(map(str, numbers))}, the mean error is {statistics.mean(errors):.2f} %{spread}, "
        f"with {num_failed(errors)} failed tasks; "
        f"with the restarts of the lowest validation loss {validated:.2f} %."
    )


def _row(task: str, evaluation: dict) -> list[str]:
    number, numbers = int(task), evaluation["tasks"][task]
    single = evaluation.get("single", {}).get(task)
    return [
        f"{task}: {TASK_NAMES[number]}",
        f"**{numbers['error']}**",
        _spread([restart["errors"][task] for restart in evaluation.get("restarts", [])]),
        f"{_published(evaluation).joint[number - 1]}",
        f"{single['error']}" if single else "",
        _spread(single["restarts"]) if single else "",
        f"{_published(evaluation).alone[number - 1]}",
        *map(str, numbers["supporting_fact_by_hop"]),
        f"{numbers['all_supporting_facts']}",
    ]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
