"""Draws characters where the network is, a block of them before the host looks at any.

The rules are those of `sampling.py`, and so are the numbers that chance is made of: the host draws them beforehand.
Sums are in float64 here, too. So the same seed gives the same text, unless a sum's last bits decide.

Names of dimensions in this file:
    vocabulary  characters, and the padding
    block       characters drawn before the host looks
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import torch
from torch import Tensor

from .captured_step import PlainStep, step_cache, weights_of
from .precision import precise
from .recurrent import RecurrentState
from .search_choice import chosen_search
from .tensor_trees import copy_into, mapped, shapes_of

BLOCK = 32
"""Characters of a block. When a text ends inside one, the rest was drawn for nothing; the wait for a block is spread
over as many characters."""


@dataclass(frozen=True)
class DrawingPlan:
    """What changes which operations a step is made of."""

    is_greedy: bool
    has_top_k: bool
    has_top_p: bool


@dataclass(frozen=True)
class DrawingRules:
    """Numbers of a call that no step changes."""

    temperature: Tensor
    """float64 (1)."""
    top_k: Tensor
    """int64 (1)."""
    top_p: Tensor
    """float64 (1)."""
    banned: Tensor
    """bool (vocabulary)."""
    uniforms: Tensor
    """float64 (block): from 0 to 1, what the characters are drawn with."""


@dataclass(frozen=True)
class DrawingState:
    """What every step changes."""

    position: Tensor
    """int64 (1): in the block."""
    logits: Tensor
    """float (vocabulary), of the next character."""
    recurrent: RecurrentState
    """Of one row."""


@dataclass(frozen=True)
class DrawnBlock:
    """Characters that were drawn."""

    tokens: Tensor
    """int64 (block)."""
    logits: Tensor
    """float (block, vocabulary), what each was drawn from."""


@dataclass(frozen=True)
class DrawingFrame:
    """All of it."""

    rules: DrawingRules
    state: DrawingState
    block: DrawnBlock


NetworkStep = Callable[[Tensor, RecurrentState], tuple[Tensor, RecurrentState]]
"""(characters, int64 (rows); state) to (logits (rows, vocabulary); state)."""


def drawing_step(frame: DrawingFrame, plan: DrawingPlan, step: NetworkStep) -> None:
    """Draw a character and read it, in place; the host waits for nothing.

    Args:
        frame: the block.
        plan: how to draw.
        step: the network.
    """
    rules, state, block = frame.rules, frame.state, frame.block
    token = draw(state.logits, rules, plan, rules.uniforms.index_select(0, state.position))
    logits, recurrent = step(token, state.recurrent)
    block.tokens.index_copy_(0, state.position, token)
    block.logits.index_copy_(0, state.position, state.logits.unsqueeze(0))
    copy_into(state, DrawingState(state.position + 1, precise(logits)[0], recurrent))


def draw(logits: Tensor, rules: DrawingRules, plan: DrawingPlan, uniform: Tensor) -> Tensor:
    """Draw one character: temperature first, then top-k, then top-p.

    Args:
        logits: float (vocabulary).
        rules: the call's; some character is not banned.
        plan: how to draw.
        uniform: float64 (1), from 0 to 1.

    Returns:
        int64 (1).
    """
    allowed = logits.double().masked_fill(rules.banned, -torch.inf)
    numbers = torch.arange(len(allowed), device=allowed.device)
    highest = allowed.max()
    if plan.is_greedy:
        return numbers.masked_fill(allowed < highest, len(numbers)).min().unsqueeze(0)
    weights = ((allowed - highest) / rules.temperature).exp()
    if plan.has_top_k:
        last = (rules.top_k - 1).clamp(max=len(numbers) - 1)
        weights = weights * (weights >= weights.sort(descending=True).values.index_select(0, last))
    if plan.has_top_p:
        weights = _nucleus(weights, rules.top_p)
    cumulative = weights.cumsum(dim=0)
    is_possible = weights > 0  # below, masked_fill and not where: that would copy a number from the host
    is_reached = is_possible & (cumulative > uniform * cumulative[-1])
    first = numbers.masked_fill(~is_reached, len(numbers)).min()
    last = numbers.masked_fill(~is_possible, -1).max()  # rounding can only lead past the end
    return torch.minimum(first, last).unsqueeze(0)


def _nucleus(weights: Tensor, top_p: Tensor) -> Tensor:
    """Keep the fewest largest weights, of float64 (vocabulary), whose share is at least `top_p`."""
    largest, order = weights.sort(descending=True, stable=True)
    before = largest.cumsum(dim=0) - largest
    kept = largest.masked_fill(before >= top_p * weights.sum(), 0.0)
    return torch.zeros_like(weights).scatter(0, order, kept)


class BlockSamplingMixin:
    """A model with `step` that can write a block of characters before the host looks."""

    def draws_in_blocks(self) -> bool:
        """Whether that is the better way where the model is: on a CPU it is not."""
        return chosen_search(self.device.type) != "host"

    @torch.inference_mode()
    def draw_block(
        self,
        logits: Tensor,
        state: RecurrentState,
        chance: Random | None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        banned: Sequence[int] = (),
    ) -> tuple[DrawnBlock, Tensor, RecurrentState]:
        """Write `BLOCK` characters.

        Args:
            logits: float (vocabulary), of the first one.
            state: the network's before it, of one row.
            chance: gives a number for each; None for always the most probable character.
            temperature: what logits are divided by.
            top_k: draw among so many most probable characters; 0: among all.
            top_p: draw among the fewest that have this probability.
            banned: characters that are never drawn.

        Returns:
            The block, on the host; and logits and state after it, on the device, for the next one.
        """
        vocab_size, device = self.config.vocab_size, self.device
        uniforms = [0.0 if chance is None else chance.random() for _ in range(BLOCK)]
        plan = DrawingPlan(chance is None, 0 < top_k < vocab_size, top_p < 1)
        banned_mask = torch.zeros(vocab_size, dtype=torch.bool)
        banned_mask[list(banned)] = True
        rules = DrawingRules(
            temperature=torch.tensor([temperature], dtype=torch.float64, device=device),
            top_k=torch.tensor([top_k], device=device),
            top_p=torch.tensor([top_p], dtype=torch.float64, device=device),
            banned=banned_mask.to(device),
            uniforms=torch.tensor(uniforms, dtype=torch.float64, device=device),
        )
        first = DrawingState(torch.zeros(1, dtype=torch.int64, device=device), precise(logits), state)
        frame = DrawingFrame(rules, first, _empty_block(first))
        step = partial(drawing_step, plan=plan, step=self.step)
        if chosen_search(device.type) != "recorded":
            return _run(PlainStep(mapped(frame, torch.clone)), step)
        with step_cache(self).taken(("draw", plan, shapes_of(frame), weights_of(self)), step, frame) as taken:
            return _run(taken, step)


def _run(taken: PlainStep, step: Callable[[DrawingFrame], None]) -> tuple[DrawnBlock, Tensor, RecurrentState]:
    for _ in range(BLOCK):
        taken.run(step)
    state = mapped(taken.frame.state, torch.clone)
    return mapped(taken.frame.block, lambda tensor: tensor.to("cpu", copy=True)), state.logits, state.recurrent


def _empty_block(first: DrawingState) -> DrawnBlock:
    device = first.logits.device
    return DrawnBlock(
        tokens=torch.zeros(BLOCK, dtype=torch.int64, device=device),
        logits=first.logits.new_zeros(BLOCK, len(first.logits)),
    )
