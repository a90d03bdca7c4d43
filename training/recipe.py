"""The one way in which every family is trained: transformers' Trainer, set up here and nowhere else.

A family's recipe adds its own options to `Recipe`, builds a model, data sets and a collator, and calls `train`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler
from transformers import PreTrainedModel, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from .callbacks import AVERAGE_FILE, Stopwatch, TextsBegin, WeightAverage
from .length_buckets import LengthBucketSampler


@dataclass(frozen=True)
class Recipe:
    """Options that every family has; a family's recipe inherits them."""

    data: list[str] | None = None
    """Folder of the published files, or a pair of plain text files; without it the Hub's data set."""
    output: str = "runs/new"
    """Folder for checkpoints, logs and, at the end, the finished model."""
    epochs: float = 20.0
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 500
    schedule: str = "cosine"
    """transformers' name of the learning rate's schedule."""
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    average_decay: float = 0.999
    """Decay of the exponential average of the weights, which is what is evaluated and kept."""
    seed: int = 1
    evaluations_per_epoch: int = 1
    """How often in an epoch the model is measured and saved; more where an epoch takes hours."""
    checkpoints_kept: int = 2
    """How many checkpoints stay in `output`, the best one among them; `python -m training.average` averages them."""
    resume: bool = False
    """Continue from the newest checkpoint in `output`."""
    log_to: str = "tensorboard"
    """"tensorboard", "trackio" or "none"."""
    cpu: bool = False
    """Stay on the CPU although there is a GPU."""
    bf16: bool = False
    """Multiply in bfloat16, keep weights in float32: several times as fast on a GPU and on processors that have such
    products (AVX512-BF16, AMX), slower on others."""
    threads: int = 1
    """Threads of a CPU run; two runs side by side want one each."""


class FamilyTrainer(Trainer):
    """Trainer with length buckets, evaluated on the averaged weights by the family's own metric."""

    def __init__(
        self,
        *args,
        sampler: Sampler | None,
        average: WeightAverage,
        metrics: Callable[[PreTrainedModel], dict],
        learning_rates: dict[str, float],
        validation_collate: Callable[[list[Any]], dict],
        carries_state: bool,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.carries_state = carries_state
        self.carried = None
        self.validation_collate = validation_collate
        self.sampler = sampler
        self.average = average
        self.metrics = metrics
        self.learning_rates = learning_rates

    def create_optimizer(self, model: PreTrainedModel | None = None) -> torch.optim.Optimizer:
        """Make transformers' optimiser and give parts of the model learning rates of their own."""
        optimizer = super().create_optimizer(model)
        for prefix, rate in self.learning_rates.items():
            theirs = {id(parameter) for name, parameter in self.model.named_parameters() if name.startswith(prefix)}
            for group in list(optimizer.param_groups):
                apart = [parameter for parameter in group["params"] if id(parameter) in theirs]
                if apart:
                    group["params"] = [parameter for parameter in group["params"] if id(parameter) not in theirs]
                    optimizer.add_param_group({**group, "params": apart, "lr": rate})
        return optimizer

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        return self.sampler or super()._get_train_sampler(train_dataset)

    def compute_loss(self, model: torch.nn.Module, inputs: dict, return_outputs: bool = False, **kwargs):
        """Go on from the last batch's state where the batches are parts of the same texts."""
        if not self.carries_state:
            return super().compute_loss(model, inputs, return_outputs, **kwargs)
        outputs = model(**inputs, past_key_values=self.carried)
        self.carried = outputs.past_key_values.detach()
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def get_eval_dataloader(self, eval_dataset: Dataset | str | None = None) -> DataLoader:
        """Make validation batches with the validation's collator."""
        training_collate, self.data_collator = self.data_collator, self.validation_collate
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training_collate

    def evaluation_loop(self, *args, metric_key_prefix: str = "eval", **kwargs):
        """Run transformers' loop on the averaged weights and add the family's metrics."""
        raw, self.model = self.model, self.average.model
        carried, self.carried = self.carried, None
        try:
            self.model.eval()
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            metrics = self.metrics(self.model)
        finally:
            self.model, self.carried = raw, carried
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in metrics.items()})
        return output


def training_arguments(recipe: Recipe, metric: str, greater_is_better: bool) -> TrainingArguments:
    """Translate a recipe into transformers' terms.

    Args:
        recipe: the options.
        metric: name of the validation metric that chooses the checkpoint.
        greater_is_better: its direction.
    """
    often = recipe.evaluations_per_epoch > 1
    rhythm, steps = ("steps", 1 / (recipe.epochs * recipe.evaluations_per_epoch)) if often else ("epoch", None)
    return TrainingArguments(
        output_dir=recipe.output,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type=recipe.schedule,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_gradient_norm,
        eval_strategy=rhythm,
        save_strategy=rhythm,
        eval_steps=steps,
        save_steps=steps or 500,
        save_total_limit=recipe.checkpoints_kept,
        metric_for_best_model=metric,
        greater_is_better=greater_is_better,
        logging_steps=100,
        report_to=[] if recipe.log_to == "none" else [recipe.log_to],
        seed=recipe.seed,
        use_cpu=recipe.cpu or not torch.cuda.is_available(),
        bf16=recipe.bf16,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def train(
    recipe: Recipe,
    model: PreTrainedModel,
    train_data: Dataset,
    validation_data: Dataset,
    collate: Callable[[list[Any]], dict],
    metrics: Callable[[PreTrainedModel], dict],
    metric: str,
    greater_is_better: bool = True,
    lengths: list[int] | None = None,
    learning_rates: dict[str, float] | None = None,
    validation_collate: Callable[[list[Any]], dict] | None = None,
    carries_state: bool = False,
) -> tuple[PreTrainedModel, dict]:
    """Train, and return the averaged weights that were best on the validation split.

    Args:
        recipe: the options.
        model: the network, freshly initialised.
        train_data: examples.
        validation_data: examples that choose the checkpoint.
        collate: makes a batch, a dictionary of `forward`'s arguments.
        metrics: measures a model on the validation split.
        metric: the name among them (or "loss") that chooses.
        greater_is_better: its direction.
        lengths: a length for each training example, to batch like with like.
        learning_rates: the peak rates of parts that have their own, by the beginning of their parameters' names.
        validation_collate: makes a validation batch, where training's does something at random.
        carries_state: whether each batch continues the texts of the one before (`TextStreams`), so that `forward`
            takes the state that it returned, and the data keep their order.

    Returns:
        The model and the facts of the run, for training.json.
    """
    torch.set_num_threads(recipe.threads)
    set_seed(recipe.seed)
    average, stopwatch = WeightAverage(model, recipe.average_decay), Stopwatch()
    arguments = training_arguments(recipe, f"eval_{metric}", greater_is_better)
    sampler = None
    if lengths is not None:
        sampler = LengthBucketSampler(lengths, recipe.batch_size, recipe.seed, arguments.world_size)
    if carries_state:
        sampler = SequentialSampler(train_data)
    trainer = FamilyTrainer(
        model,
        arguments,
        data_collator=collate,
        train_dataset=train_data,
        eval_dataset=validation_data,
        sampler=sampler,
        average=average,
        metrics=metrics,
        learning_rates=learning_rates or {},
        validation_collate=validation_collate or collate,
        carries_state=carries_state,
        callbacks=[average, stopwatch],
    )
    if carries_state:
        if trainer.args.world_size > 1:
            raise ValueError("The state is carried from batch to batch: train this family in one process.")
        trainer.add_callback(TextsBegin(trainer))
    trainer.train(resume_from_checkpoint=get_last_checkpoint(recipe.output) if recipe.resume else None)
    best = trainer.state.best_model_checkpoint
    load_model(average.model, str(Path(best, AVERAGE_FILE)), device=str(model.device))
    facts = {
        "options": _recorded_options(recipe),
        "device": _device(model, recipe, arguments.world_size),
        "hours": round(stopwatch.hours, 2),
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "learning_curve": [entry for entry in trainer.state.log_history if f"eval_{metric}" in entry],
    }
    return average.model.eval(), facts


def _device(model: PreTrainedModel, recipe: Recipe, processes: int) -> str:
    """Name what a run was on."""
    one = torch.cuda.get_device_name() if model.device.type == "cuda" else f"CPU, {recipe.threads} thread(s)"
    return one if processes == 1 else f"{processes} processes, each: {one}"


def _recorded_options(recipe: Recipe) -> dict:
    """Return a run's options without what belongs to the machine and the sitting; of the data only the names."""
    options = dataclasses.asdict(recipe)
    for name in ("output", "resume"):
        del options[name]
    return options | {"data": recipe.data and [Path(path).name for path in recipe.data]}
