"""What a beam search on a device keeps there: tensors of fixed shapes, most of which every step overwrites.

Names of dimensions in this file:
    batch       inputs, all of them until the end
    beams       hypotheses of an input that are still growing, as many from the first step on
    rows        batch times beams; an input's lie side by side
    vocabulary  tokens
    source      positions that the attention weighs
    lengths     numbers of tokens, from 0; the longest answer rounded up
    block       steps of which the history is kept before it is put aside
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from .decoding import DecoderState, DecodingOptions, Memory

STEPS_PER_LOOK = 8
"""Steps between two looks at whether all is done, and length of a block of history.

Each look makes the host wait for the device. With 8 it waits for one step in eight, and an answer costs at most seven
steps too many, of some tens of microseconds each.
"""
LENGTH_MULTIPLE = 64
"""Longest answers are rounded up to a multiple of this, so that a recorded step serves many."""


@dataclass(frozen=True)
class SearchPlan:
    """What changes which operations a step is made of, not only their numbers."""

    num_beams: int
    vocab_size: int
    end_token_id: int
    no_repeat_ngram_size: int
    has_coverage: bool
    first_ones_do: bool
    """Whether an input is done as soon as it has as many finished hypotheses as beams."""

    @classmethod
    def of(cls, options: DecodingOptions, config: PreTrainedConfig) -> "SearchPlan":
        """Read the options of a call."""
        return cls(
            num_beams=options.num_beams,
            vocab_size=config.vocab_size,
            end_token_id=config.eos_token_id,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            has_coverage=options.coverage_penalty != 0.0,
            first_ones_do=options.early_stopping is True or options.num_beams == 1,
        )


@dataclass(frozen=True)
class SearchRules:
    """Numbers of a call that no step changes."""

    memory: Memory
    mask: Tensor
    """bool (batch, source), True on real positions."""
    last_position: Tensor
    """int64 (1): where the length runs out."""
    denominators: Tensor
    """float64 (lengths): what a hypothesis of so many tokens has its log-probability divided by."""
    reachable_denominators: Tensor
    """float64 (lengths): the most favourable one that a growing hypothesis of so many tokens may get."""
    forced: Tensor
    """int64 (lengths): the token that must come after so many, or -1."""
    forbidden: Tensor
    """float32 (2, vocabulary): minus infinity at what must never come; then the same and the end."""
    min_new_tokens: Tensor
    """int64 (1)."""
    coverage_weight: Tensor
    """float64 (1)."""


@dataclass(frozen=True)
class Finished:
    """Each input's finished hypotheses, best first; every tensor is (batch, beams)."""

    scores: Tensor
    """float64; minus infinity where there is none yet."""
    totals: Tensor
    """float: log-probabilities."""
    coverage_penalties: Tensor
    """float64."""
    positions: Tensor
    """int64: where the last token stands."""
    parents: Tensor
    """int64: the beam that it continues."""
    token_ids: Tensor
    token_log_probabilities: Tensor


@dataclass(frozen=True)
class SearchState:
    """What every step changes."""

    decoder: DecoderState
    position: Tensor
    """int64 (1): tokens written."""
    tokens: Tensor
    """int64 (rows): written last."""
    scores: Tensor
    """float (batch, beams): log-probabilities of the growing hypotheses; minus infinity where there is none."""
    finished: Finished
    done: Tensor
    """bool (batch): no growing hypothesis can beat what was found."""
    coverage: Tensor | None
    """float32 (batch, beams, source): attention received, where there is a penalty for it."""
    written: Tensor | None
    """int64 (rows, 1 + lengths): the start and what was written, where repetitions are looked for."""


@dataclass(frozen=True)
class HistoryBlock:
    """The last steps' tokens, the beams that they continue, their log-probabilities, and where each beam looked."""

    tokens: Tensor
    """int64 (block, batch, beams)."""
    parents: Tensor
    """int64 (block, batch, beams)."""
    log_probabilities: Tensor
    """float (block, batch, beams)."""
    attention: Tensor
    """float32 (block, batch, beams, source)."""


@dataclass(frozen=True)
class SearchFrame:
    """All of it."""

    rules: SearchRules
    state: SearchState
    history: HistoryBlock


def rules_of(options: DecodingOptions, plan: SearchPlan, memory: Memory, mask: Tensor) -> SearchRules:
    """Write a call's options down as tensors."""
    device, longest = mask.device, options.max_new_tokens
    count = 1 + -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
    hopeful = options.early_stopping == "never" and options.length_penalty > 0
    denominators = [1.0, *(options.denominator(length) for length in range(1, count))]
    reachable = [options.denominator(longest)] * count if hopeful else denominators
    forced = [*options.prefix_ids, *[-1] * count][:count]
    forbidden = torch.zeros(2, plan.vocab_size)
    forbidden[:, list(options.suppress_tokens)] = -torch.inf
    forbidden[1, plan.end_token_id] = -torch.inf
    return SearchRules(
        memory=memory,
        mask=mask,
        last_position=torch.tensor([longest - 1], device=device),
        denominators=torch.tensor(denominators, dtype=torch.float64, device=device),
        reachable_denominators=torch.tensor(reachable, dtype=torch.float64, device=device),
        forced=torch.tensor(forced, device=device),
        forbidden=forbidden.to(device),
        min_new_tokens=torch.tensor([options.min_new_tokens], device=device),
        coverage_weight=torch.tensor([options.coverage_penalty], dtype=torch.float64, device=device),
    )


def first_state(
    plan: SearchPlan, decoder: DecoderState, rules: SearchRules, start_token_id: int, dtype: torch.dtype
) -> SearchState:
    """Return the state before the first token: every beam begins in the same way, so only the first one counts.

    Args:
        plan: how to search.
        decoder: its state, one row an input.
        rules: the call's.
        start_token_id: what is read first.
        dtype: of log-probabilities, float32 or float64.
    """
    device, (batch, source), beams = rules.mask.device, rules.mask.shape, plan.num_beams
    scores = torch.full((batch, beams), -torch.inf, dtype=dtype, device=device)
    scores[:, 0] = 0.0
    rows = torch.arange(batch, device=device).repeat_interleave(beams, output_size=batch * beams)
    numbers = torch.zeros(batch, beams, dtype=torch.int64, device=device)
    worst = torch.full((batch, beams), -torch.inf, dtype=torch.float64, device=device)
    written = torch.full((batch * beams, 1 + len(rules.forced)), start_token_id, device=device)
    return SearchState(
        decoder=decoder.select(rows),
        position=torch.zeros(1, dtype=torch.int64, device=device),
        tokens=torch.full((batch * beams,), start_token_id, device=device),
        scores=scores,
        finished=Finished(
            scores=worst,
            totals=scores,
            coverage_penalties=worst,
            positions=numbers,
            parents=numbers,
            token_ids=numbers,
            token_log_probabilities=scores,
        ),
        done=torch.zeros(batch, dtype=torch.bool, device=device),
        coverage=torch.zeros(batch, beams, source, device=device) if plan.has_coverage else None,
        written=written if plan.no_repeat_ngram_size else None,
    )


def empty_block(rules: SearchRules, state: SearchState) -> HistoryBlock:
    """Return a block in which nothing is written yet."""
    shape, device = (STEPS_PER_LOOK, *state.scores.shape), state.scores.device
    return HistoryBlock(
        tokens=torch.zeros(shape, dtype=torch.int64, device=device),
        parents=torch.zeros(shape, dtype=torch.int64, device=device),
        log_probabilities=torch.zeros(shape, dtype=state.scores.dtype, device=device),
        attention=torch.zeros(*shape, rules.mask.shape[1], device=device),
    )
