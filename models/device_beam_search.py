"""Beam search whose every step stays on the device; it finds what `beam_search` finds.

The host only starts steps. It looks at the device once in `STEPS_PER_LOOK` steps, and reads the answers off once, at
the end. On a CUDA device a step (the network's and the search's together) is one recorded graph.

Names of dimensions: as in device_search_frame.py.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from .beam_history import BeamHistory, FinishedBeam
from .captured_step import PlainStep, StepInPlace, step_cache, weights_of
from .decoding import DecodingOptions, Hypothesis
from .device_search_frame import (
    STEPS_PER_LOOK,
    HistoryBlock,
    SearchFrame,
    SearchPlan,
    SearchState,
    empty_block,
    first_state,
    rules_of,
)
from .device_search_step import search_step
from .tensor_trees import mapped, shapes_of, tensors_of
from .token_stepper import TorchStepper

SOURCE_MULTIPLE = 16
"""Sources are padded to a multiple of this where steps are recorded, so that few shapes occur."""


@torch.inference_mode()
def device_beam_search(
    stepper: TorchStepper,
    mask: Tensor,
    options: DecodingOptions,
    config: PreTrainedConfig,
    recorded_for: nn.Module | None = None,
) -> list[list[Hypothesis]]:
    """Find the best hypotheses of each input; one beam is greedy search.

    Args:
        stepper: the network before the first token, with one row an input. Its state and memory are dataclasses of
            tensors; it is left as it is.
        mask: bool (batch, source), True on real positions, on the stepper's device.
        options: how to search.
        config: names the start and the end token, and how many tokens there are.
        recorded_for: the model whose recorded steps to use; without it every step is called.

    Returns:
        For each input at most `num_return_sequences` hypotheses, best first.
    """
    num_inputs, lengths = len(mask), mask.sum(dim=1)
    plan = SearchPlan.of(options, config)
    memory, decoder = stepper.memory, stepper.state
    if recorded_for is not None:
        memory, mask = memory.padded(mask, SOURCE_MULTIPLE)
        items = _rounded_up(num_inputs, mask.device)
        memory, decoder, mask = memory.select(items), decoder.select(items), mask[items]
    rules = rules_of(options, plan, memory, mask)
    is_double = any(tensor.dtype == torch.float64 for tensor in tensors_of(decoder))
    dtype = torch.float64 if is_double else torch.float32
    state = first_state(plan, decoder, rules, config.decoder_start_token_id, dtype)
    state.done[num_inputs:] = True  # what was added to round up
    frame = SearchFrame(rules, state, empty_block(rules, state))
    step = partial(search_step, plan=plan, step=stepper.step)
    with _taken(frame, plan, step, recorded_for) as taken:
        blocks = _run(taken, step, options.max_new_tokens)
        return _read_off(taken.frame.state, blocks, lengths, options)


@contextmanager
def _taken(frame: SearchFrame, plan: SearchPlan, step: StepInPlace, recorded_for: nn.Module | None) -> Iterator:
    """Have a step for this frame: a new one that is called, or one that was recorded."""
    if recorded_for is None:
        yield PlainStep(mapped(frame, torch.clone))  # some of its tensors are the same one until now
        return
    key = (plan, shapes_of(frame), weights_of(recorded_for))
    with step_cache(recorded_for).taken(key, step, frame) as taken:
        yield taken


def _rounded_up(num_inputs: int, device: torch.device) -> Tensor:
    """Return the inputs' numbers, and the first one's again until they are a power of two: int64 (batch)."""
    items = torch.arange(1 << (num_inputs - 1).bit_length(), device=device)
    return items.masked_fill(items >= num_inputs, 0)


def _run(taken: PlainStep, step: StepInPlace, max_new_tokens: int) -> list[HistoryBlock]:
    """Make steps until all is done; return the history, each block with `STEPS_PER_LOOK` of them."""
    frame, blocks = taken.frame, []
    for position in range(max_new_tokens):
        taken.run(step)
        if (position + 1) % STEPS_PER_LOOK == 0:
            blocks.append(mapped(frame.history, torch.clone))
            if all_done(frame.state):
                return blocks
    return blocks if max_new_tokens % STEPS_PER_LOOK == 0 else [*blocks, frame.history]


def all_done(state: SearchState) -> bool:
    """Wait for the device, and tell whether every input is done: the only value that the search asks for."""
    return bool(state.done.all())


def _read_off(
    state: SearchState, blocks: list[HistoryBlock], lengths: Tensor, options: DecodingOptions
) -> list[list[Hypothesis]]:
    """Copy what was found to the host and follow the back-pointers of what is returned."""
    history = BeamHistory()
    items = list(range(len(state.done)))
    for tokens, parents, log_probabilities, attention in _steps(blocks):
        history.add_attention(attention, items)
        history.add_step(tokens, parents, log_probabilities)
    columns = [tensor.tolist() for tensor in tensors_of(state.finished)]
    found = []
    for item, length in enumerate(lengths.tolist()):
        rows = zip(*(column[item] for column in columns), strict=True)
        beams = [_finished_beam(*row, options) for row in rows if row[0] > -math.inf]
        found.append([_hypothesis(history, item, beam, length) for beam in beams[: options.num_return_sequences]])
    return found


def _steps(blocks: list[HistoryBlock]) -> Iterator[tuple]:
    """Yield each step's part of the history, as arrays."""
    columns = zip(*(tuple(tensors_of(block)) for block in blocks), strict=True)
    arrays = [torch.cat(column).cpu().numpy() for column in columns]
    return zip(*arrays, strict=True)


def _finished_beam(
    score: float,
    total: float,
    coverage: float,
    position: int,
    parent: int,
    token_id: int,
    token_log_probability: float,
    options: DecodingOptions,
) -> FinishedBeam:
    denominator = options.denominator(position + 1)
    parts = {"log_probability": total, "length_denominator": denominator, "coverage_penalty": coverage}
    return FinishedBeam(position, parent, token_id, token_log_probability, score, parts)


def _hypothesis(history: BeamHistory, item: int, beam: FinishedBeam, source_length: int) -> Hypothesis:
    token_ids, log_probabilities, attention = history.trace(item, beam)
    attention = torch.from_numpy(attention[:, :source_length].copy())
    return Hypothesis(token_ids, log_probabilities, attention, beam.score, dict(beam.score_parts))
