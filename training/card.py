"""The model card, README.md of a checkpoint folder: written from facts that were measured, never by hand."""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tasks import Task


@dataclass(frozen=True)
class CardFacts:
    """What a family knows about a checkpoint and the files do not."""

    title: str
    summary: str
    """What the model does, in a sentence."""
    languages: tuple[str, ...]
    dataset_id: str
    """The data set's identifier on the Hub."""
    dataset_name: str
    dataset_licence: str
    licence_name: str
    """Short name of the condition under which the weights may be used."""
    paper_results: tuple[tuple[str, str], ...]
    """Published systems and their numbers, to stand beside ours."""
    limits: str
    example: str
    """The example's input, as Python writes it."""
    unit: str = "sentences"
    """What the test split has; also the key of their number in evaluation.json."""
    seeds: str = ""
    """How many models were trained, how this one was chosen, and how far they differ; "" where there is one alone."""
    details: tuple[str, ...] = ()
    """Further results, a paragraph or a table each."""


TEMPLATE = """---
{{ card_data }}
---

# {{ title }}

{{ summary }} A model of the family in {{ paper }}, part of Hindsight, which returns the evidence for each answer.

```python
from transformers import pipeline

pipe = pipeline("{{ task }}", model="{{ name }}", trust_remote_code=True)
pipe({{ example }}, return_evidence=True)
```

## Results

{{ dataset_name }}, split `{{ split }}`, {{ size }}, {{ decoding }}. {{ seeds }}.

| system | metric | value | signature |
|---|---|---|---|
{{ rows }}

{{ details }}

## Training

{{ training }}

Every option stands in `training.json`, every measurement in `evaluation.json`.

## Data and licence

{{ dataset_licence }}

## Limits

{{ limits }}
"""


def write_card(folder: Path, task: Task, facts: CardFacts) -> None:
    """Write README.md from evaluation.json, training.json and the family's facts.

    Args:
        folder: the checkpoint.
        task: its row in tasks.py.
        facts: what the family adds.
    """
    evaluation = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    seed = training.get("options", {}).get("seed", "unknown")
    card = ModelCard.from_template(
        _card_data(folder.name, task, facts, evaluation),
        template_str=TEMPLATE,
        title=facts.title,
        summary=facts.summary,
        paper=task.paper,
        task=task.name,
        name=folder.name,
        example=facts.example,
        dataset_name=facts.dataset_name,
        split=evaluation["split"],
        size=f"{evaluation[facts.unit]:,} {facts.unit}",
        decoding=", ".join(f"{name} {value}" for name, value in evaluation["decoding"].items()),
        seeds=facts.seeds or f"One model, one seed\n({seed}): the spread between seeds was not measured",
        rows="\n".join(_rows(facts, evaluation)),
        details="\n\n".join(facts.details),
        training=_training(training),
        dataset_licence=facts.dataset_licence,
        limits=facts.limits,
    )
    card.save(folder / "README.md")


def _card_data(name: str, task: Task, facts: CardFacts, evaluation: dict) -> ModelCardData:
    results = [
        EvalResult(
            task_type=task.hub_pipeline_tag,
            dataset_type=metric.get("dataset_id", facts.dataset_id),
            dataset_name=facts.dataset_name,
            dataset_split=evaluation["split"],
            metric_type=metric["name"],
            metric_name=metric["title"],
            metric_value=metric["value"],
            metric_config=metric["signature"],
        )
        for metric in evaluation["metrics"]
    ]
    return ModelCardData(
        language=list(facts.languages),
        license="other",
        license_name=facts.licence_name,
        library_name="transformers",
        pipeline_tag=task.hub_pipeline_tag,
        tags=["hindsight", "custom_code", task.name],
        datasets=sorted({result.dataset_type for result in results}),
        model_name=name,
        eval_results=results,
    )


def _rows(facts: CardFacts, evaluation: dict) -> list[str]:
    ours = [
        f"| **this model** | {metric['title']} | **{metric['value']}** | {_cell(metric['signature'])} |"
        for metric in evaluation["metrics"]
    ]
    greedy = [f"| this model, greedy | {m['title']} | {m['value']} | same |" for m in evaluation.get("greedy", [])]
    papers = [f"| {system} | as published | {value} | |" for system, value in facts.paper_results]
    return [*ours, *greedy, *papers]


def _cell(text: str) -> str:
    """Write code into a table's cell, where a bar would end it."""
    return "`" + text.replace("|", r"\|") + "`"


def _training(training: dict) -> str:
    stages = [training]
    while "before" in stages[0]:
        stages.insert(0, stages[0]["before"])
    sentences = []
    if "parameters" in training:
        sentences.append(f"{training['parameters']:,} parameters.")
    for number, stage in enumerate(stages, start=1):
        if "hours" in stage:
            name = f"Stage {number} of {len(stages)}: " if len(stages) > 1 else ""
            sentences.append(f"{name}{stage['hours']} hours on {stage['device']}, {stage['steps']} steps.")
        if "best_step" in stage:
            sentences.append(f"Chosen on the validation split: step {stage['best_step']}.")
    return " ".join(sentences)


def pairs(values: dict) -> str:
    """Write names and values as a list in a sentence."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
