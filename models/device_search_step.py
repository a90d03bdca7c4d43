"""One step of a beam search on a device: nothing in it asks the device for a value.

The rules are those of `beam_search.py`, in tensors. An input that is done goes on being computed, since shapes stay
fixed; what it found is not touched any more.

Names of dimensions: as in device_search_frame.py, and
    count       candidates for a hypothesis' next token
    candidates  of an input, best first: twice as many as beams
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from .decoding import StepFunction
from .device_search_frame import STEPS_PER_LOOK, Finished, SearchFrame, SearchPlan, SearchRules, SearchState
from .precision import precise
from .tensor_trees import copy_into


class _Extensions(NamedTuple):
    """The best continuations of an input's hypotheses; every tensor is (batch, candidates)."""

    totals: Tensor
    tokens: Tensor
    parents: Tensor
    log_probabilities: Tensor

    def at(self, places: Tensor) -> "_Extensions":
        """Take those at int64 (batch, taken)."""
        return _Extensions(*(values.gather(1, places) for values in self))

    def first(self, count: int) -> "_Extensions":
        """Take the best ones."""
        return _Extensions(*(values[:, :count] for values in self))


def search_step(frame: SearchFrame, plan: SearchPlan, step: StepFunction) -> None:
    """Extend every hypothesis by one token, in place.

    Args:
        frame: the search.
        plan: how to search.
        step: the network.
    """
    rules, state = frame.rules, frame.state
    batch, beams = state.scores.shape
    logits, decoder, attention = step(state.tokens, state.decoder, rules.memory)
    count = min(2 * beams, plan.vocab_size)
    log_probabilities, tokens = _best_tokens(logits, count, _forbidden(state, rules, plan))
    extensions = _best(state.scores, log_probabilities, tokens)
    attention = attention.float().view(batch, beams, -1)
    coverage = None if state.coverage is None else state.coverage + attention

    ends = (extensions.tokens == plan.end_token_id) | (state.position == rules.last_position)
    finished = _finish(extensions.first(beams), ends[:, :beams], coverage, state, rules)

    # What goes on comes first, in its order.
    going = ends.to(torch.uint8).sort(dim=1, stable=True).indices[:, :beams]
    scores = extensions.totals.masked_fill(ends, -torch.inf).gather(1, going)
    chosen = extensions.at(going)
    done = state.done | _is_done(scores, finished, state, rules, plan)
    following = SearchState(
        decoder=decoder,
        position=state.position + 1,
        tokens=chosen.tokens.flatten(),
        scores=scores,
        finished=finished,
        done=done,
        coverage=coverage,
        written=state.written,
    )
    slot = state.position % STEPS_PER_LOOK
    noted = (chosen.tokens, chosen.parents, chosen.log_probabilities, attention)
    history = frame.history
    for block, values in zip(
        (history.tokens, history.parents, history.log_probabilities, history.attention), noted, strict=True
    ):
        block.index_copy_(0, slot, values.to(block.dtype).unsqueeze(0))
    copy_into(state, _follow(following, chosen.parents))


def _best_tokens(logits: Tensor, count: int, forbidden: Tensor | None) -> tuple[Tensor, Tensor]:
    """Name the likeliest tokens of each row.

    Args:
        logits: float (rows, vocabulary).
        count: how many.
        forbidden: float32 (rows or 1, vocabulary), minus infinity at what must not come and 0 elsewhere, or None.

    Returns:
        Their log-probabilities, float32 or float64 (rows, count), best first; and the tokens, int64 (rows, count).
    """
    logits = precise(logits)
    normaliser = logits.logsumexp(dim=-1, keepdim=True)
    best, token_ids = (logits if forbidden is None else logits + forbidden).topk(count, dim=-1)
    return best - normaliser, token_ids


def _follow(state: SearchState, parents: Tensor) -> SearchState:
    """Let what is kept for each beam follow the one that it continues; `parents` is int64 (batch, beams)."""
    batch, beams = parents.shape
    if beams > 1:
        rows = (torch.arange(batch, device=parents.device).unsqueeze(1) * beams + parents).flatten()
        state = replace(state, decoder=state.decoder.select(rows))
        if state.coverage is not None:
            state = replace(state, coverage=state.coverage.flatten(0, 1)[rows].view_as(state.coverage))
        if state.written is not None:
            state = replace(state, written=state.written[rows])
    if state.written is not None:
        state = replace(state, written=state.written.index_copy(1, state.position, state.tokens.unsqueeze(1)))
    return state


def _best(scores: Tensor, log_probabilities: Tensor, tokens: Tensor) -> _Extensions:
    """Rank the continuations of all hypotheses of an input.

    Args:
        scores: float (batch, beams), of the hypotheses.
        log_probabilities: float (rows, count), of their next tokens.
        tokens: int64 (rows, count).
    """
    batch, beams = scores.shape
    count = tokens.shape[1]
    by_beam = log_probabilities.view(batch, beams, count)
    totals = (by_beam + scores.unsqueeze(2)).flatten(1)
    totals, order = totals.sort(dim=1, descending=True, stable=True)
    order = order[:, : 2 * beams]
    parents = order.div(count, rounding_mode="floor")
    tokens, log_probabilities = (values.view(batch, -1).gather(1, order) for values in (tokens, log_probabilities))
    return _Extensions(totals[:, : 2 * beams], tokens, parents, log_probabilities)


def _finish(
    extensions: _Extensions, ends: Tensor, coverage: Tensor | None, state: SearchState, rules: SearchRules
) -> Finished:
    """Put what ends among its input's finished hypotheses, of which the best stay.

    Args:
        extensions: the best, (batch, beams).
        ends: bool (batch, beams).
        coverage: float32 (batch, beams, source) or None, of the hypotheses that are extended.
        state: before the step.
        rules: the call's.
    """
    totals, old = extensions.totals, state.finished
    denominator = rules.denominators.index_select(0, state.position + 1)
    penalties = torch.zeros_like(old.coverage_penalties)
    if coverage is not None:
        received = coverage.clamp(min=1e-6, max=1.0).log().masked_fill(~rules.mask.unsqueeze(1), 0.0).sum(dim=2)
        penalties = rules.coverage_weight * received.gather(1, extensions.parents)
    is_new = ends & totals.isfinite() & ~state.done.unsqueeze(1)
    new = Finished(
        scores=(totals.double() / denominator + penalties).masked_fill(~is_new, -torch.inf),
        totals=totals,
        coverage_penalties=penalties,
        positions=state.position.expand_as(ends),
        parents=extensions.parents,
        token_ids=extensions.tokens,
        token_log_probabilities=extensions.log_probabilities,
    )
    ranked = torch.cat([old.scores, new.scores], dim=1).sort(dim=1, descending=True, stable=True)
    order = ranked.indices[:, : ends.shape[1]]
    merged = {
        name: torch.cat([getattr(old, name), getattr(new, name)], dim=1).gather(1, order)
        for name in Finished.__dataclass_fields__
    }
    return Finished(**merged)


def _is_done(scores: Tensor, finished: Finished, state: SearchState, rules: SearchRules, plan: SearchPlan) -> Tensor:
    """Tell which inputs' finished hypotheses no growing one can beat any more: bool (batch).

    Args:
        scores: float (batch, beams), of what goes on, best first.
        finished: with those of this step.
        state: before the step.
        rules: the call's.
        plan: how to search.
    """
    worst = finished.scores[:, -1]
    is_full = worst > -torch.inf
    if plan.first_ones_do:
        return is_full
    denominator = rules.reachable_denominators.index_select(0, state.position + 1)
    return is_full & (scores[:, 0].double() / denominator <= worst)


def _forbidden(state: SearchState, rules: SearchRules, plan: SearchPlan) -> Tensor:
    """Return minus infinity at every token that must not come next and 0 elsewhere: float32 (rows or 1, vocabulary)."""
    is_short = (state.position < rules.min_new_tokens).long()
    forbidden = rules.forbidden.index_select(0, is_short)
    if plan.no_repeat_ngram_size:
        forbidden = forbidden + _repeated(state, plan)
    forced = rules.forced.index_select(0, state.position)
    is_other = torch.arange(plan.vocab_size, device=forced.device) != forced
    only = torch.zeros_like(is_other, dtype=forbidden.dtype).masked_fill(is_other, -torch.inf)
    return torch.where(forced >= 0, only, forbidden)


def _repeated(state: SearchState, plan: SearchPlan) -> Tensor:
    """Forbid tokens that would complete an n-gram that a row has already: float32 (rows, vocabulary)."""
    size, (rows, length) = plan.no_repeat_ngram_size, state.written.shape
    allowed = torch.zeros(rows, plan.vocab_size, device=state.written.device)
    if size > length:
        return allowed
    windows = state.written.unfold(1, size, 1)
    known = state.position + 1  # the start counts
    first_places = torch.arange(windows.shape[1], device=known.device)
    last_places = (known - (size - 1) + torch.arange(size - 1, device=known.device)).clamp(min=0)
    recent = state.written.index_select(1, last_places)
    is_same = (windows[:, :, :-1] == recent.unsqueeze(1)).all(dim=2) & (first_places + size - 1 < known)
    found = allowed.scatter_add(1, windows[:, :, -1], is_same.float())
    return allowed.masked_fill(found > 0, -torch.inf)
