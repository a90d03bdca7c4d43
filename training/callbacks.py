"""What happens beside a training: an average of the weights, the hours, and the beginning of texts."""

import json
import time
from pathlib import Path

from safetensors.torch import load_model, save_model
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import PreTrainedModel, Trainer, TrainerCallback

from .json_files import write_json

AVERAGE_FILE = "weight_average.safetensors"
HOURS_FILE = "hours.json"


class WeightAverage(TrainerCallback):
    """Keeps an exponential average of the weights beside them, in every checkpoint too."""

    def __init__(self, model: PreTrainedModel, decay: float):
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))

    @property
    def model(self) -> PreTrainedModel:
        """The model with the averaged weights."""
        return self.average.module

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.average.to(next(model.parameters()).device)
        checkpoint = Path(args.output_dir, f"checkpoint-{state.global_step}", AVERAGE_FILE)
        if state.global_step > 0:
            load_model(self.model, str(checkpoint))
            self.average.n_averaged.fill_(state.global_step)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.average.update_parameters(model)

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            save_model(self.model, str(Path(args.output_dir, f"checkpoint-{state.global_step}", AVERAGE_FILE)))


class Stopwatch(TrainerCallback):
    """Adds up the hours of all sittings of a run."""

    def __init__(self) -> None:
        self.earlier_hours = 0.0
        self.started = time.monotonic()

    @property
    def hours(self) -> float:
        """Hours of training so far."""
        return self.earlier_hours + (time.monotonic() - self.started) / 3600

    def on_train_begin(self, args, state, control, **kwargs):
        self.started = time.monotonic()
        path = Path(args.output_dir, f"checkpoint-{state.global_step}", HOURS_FILE)
        if path.is_file():
            self.earlier_hours = json.loads(path.read_text(encoding="utf-8"))["hours"]

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            write_json(Path(args.output_dir, f"checkpoint-{state.global_step}", HOURS_FILE), {"hours": self.hours})


class TextsBegin(TrainerCallback):
    """Forgets the carried state when an epoch begins its texts anew, and lets the data set know the epoch."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.carried = None
        self.trainer.train_dataset.set_epoch(round(state.epoch))
