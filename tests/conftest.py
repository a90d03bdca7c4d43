"""Fixtures that several test files share: each family's tiny checkpoint, written once."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines import EvidencePipeline, pipeline
from tasks import TASKS, Task
from training.export import save_checkpoint

from .tiny import TINY, TinyFamily


@dataclass(frozen=True)
class TinyCheckpoint:
    """A family's tiny model in a complete folder."""

    task: Task
    family: TinyFamily
    folder: Path

    def pipeline(self) -> EvidencePipeline:
        """Load it as a user would."""
        return pipeline(self.task.name, model=str(self.folder), device="cpu")


@pytest.fixture(scope="session", params=sorted(TASKS))
def tiny_checkpoint(request, tmp_path_factory) -> TinyCheckpoint:
    """Every family's tiny checkpoint, one after the other."""
    folder = tmp_path_factory.mktemp(request.param)
    family = TINY[request.param]
    model, processors = family.build(folder)
    save_checkpoint(folder / "tiny", TASKS[request.param], model, list(processors.values()), {})
    return TinyCheckpoint(TASKS[request.param], family, folder / "tiny")
