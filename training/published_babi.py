"""Published errors on the bAbI tasks, in percent, to stand beside ours."""

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

FAILED_ABOVE = 5.0
"""Percent of wrong answers above which a task counts as failed (Weston et al. 2015)."""
MANY_QUESTIONS = 3000
"""Training questions a task above which a network is compared with those of 10,000, and not of 1,000."""


@dataclass(frozen=True)
class Published:
    """What was published for one amount of training questions; tasks 1 to 20."""

    alone: Sequence[float]
    """Each task trained alone; 3 hops, PE LS RN, best of ten by training error (Sukhbaatar et al. 2015)."""
    joint: Sequence[float]
    """The same, all tasks trained jointly."""
    others: tuple[tuple[str, str], ...]
    """Other systems' mean errors of all twenty tasks."""

    def systems(self, tasks: Collection[int]) -> tuple[tuple[str, str], ...]:
        """Return what ours is compared with: the paper's mean and failed tasks of the same tasks, and other systems."""
        names = {
            "MemN2N, 3 hops, PE LS RN, joint (Sukhbaatar et al. 2015, best of 10 by training error)": self.joint,
            "MemN2N, 3 hops, PE LS RN, each task alone": self.alone,
        }
        rows = [(name, _summary([column[task - 1] for task in sorted(tasks)])) for name, column in names.items()]
        return (*rows, *(self.others if len(tasks) == len(self.joint) else ()))


def published(questions_per_task: float) -> Published:
    """Return the published errors of networks that learnt from about as many questions."""
    return TEN_THOUSAND if questions_per_task > MANY_QUESTIONS else THOUSAND


def num_failed(errors: Collection[float]) -> int:
    """Count the tasks that failed."""
    return sum(error > FAILED_ABOVE for error in errors)


def _summary(errors: Sequence[float]) -> str:
    return f"{statistics.mean(errors):.1f}, {num_failed(errors)} failed"


THOUSAND = Published(  # Sukhbaatar et al. 2015, table 1
    alone=(
        *(0.0, 8.3, 40.3, 2.8, 13.1, 7.6, 17.3, 10.0, 13.2, 15.1),
        *(0.9, 0.2, 0.4, 1.7, 0.0, 1.3, 51.0, 11.1, 82.8, 0.0),
    ),
    joint=(
        *(0.0, 11.4, 21.9, 13.4, 14.4, 2.8, 18.3, 9.3, 1.9, 6.5),
        *(0.3, 0.1, 0.2, 6.9, 0.0, 2.7, 40.4, 9.4, 88.0, 0.0),
    ),
    others=(("Query-reduction network (Seo et al. 2017)", "9.9"),),
)
TEN_THOUSAND = Published(  # Sukhbaatar et al. 2015, appendix
    alone=(
        *(0.0, 0.3, 9.3, 0.0, 0.8, 0.0, 3.7, 0.8, 0.8, 2.4),
        *(0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 40.7, 6.7, 66.5, 0.0),
    ),
    joint=(
        *(0.0, 1.0, 6.8, 0.0, 6.1, 0.1, 6.6, 2.7, 0.0, 0.5),
        *(0.0, 0.1, 0.0, 0.0, 0.2, 0.2, 41.8, 8.0, 75.7, 0.0),
    ),
    others=(),
)
