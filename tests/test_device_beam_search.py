"""The search that stays on its device against the one in NumPy, which test_decoding.py compares with the definition."""

import gc
import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from models import device_beam_search as device_beam_search_module
from models.captured_step import StepCache, step_cache
from models.decoding import DecodingOptions
from models.device_search_frame import STEPS_PER_LOOK, SearchFrame, SearchPlan, empty_block, first_state, rules_of
from models.device_search_step import search_step
from models.search_choice import chosen_search, forced_search
from models.tensor_trees import copy_into, mapped, shapes_of, tensors_of
from pipelines import pipeline

from .test_modeling_attention_nmt import batch
from .tiny import attention_nmt_model, show_attend_tell_model
from .waiting import Counted

END = 2
OPTIONS = [
    {},
    {"length_penalty": 0.0},
    {"length_penalty": 2.0, "length_normalization": "gnmt"},
    {"early_stopping": True},
    {"early_stopping": "never"},
    {"early_stopping": "never", "length_penalty": 0.0, "coverage_penalty": 0.2},
    {"coverage_penalty": 0.4},
    {"min_new_tokens": 6},
    {"no_repeat_ngram_size": 1, "max_new_tokens": 7},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "min_new_tokens": 10},
    {"no_repeat_ngram_size": 70},
    {"suppress_tokens": (3, 5, 7)},
    {"suppress_tokens": (3, END), "min_new_tokens": 2},
    {"prefix_ids": (7, 4, 9)},
    {"prefix_ids": (7, 4, 9), "suppress_tokens": (4,), "no_repeat_ngram_size": 2, "min_new_tokens": 5},
    {"prefix_ids": (7, END)},
    {"prefix_ids": (5,) * 20},
    {"max_new_tokens": 1},
    {"max_new_tokens": STEPS_PER_LOOK},
    {"max_new_tokens": STEPS_PER_LOOK + 1},
    {"max_new_tokens": 64},
]
SEARCHES = ("device", "recorded")


def assert_equal(found, expected):
    """Compare the hypotheses of each input."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert [h.token_ids for h in ours] == [h.token_ids for h in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert one.score_parts == pytest.approx(other.score_parts, abs=1e-5)
            assert one.token_log_probabilities == pytest.approx(other.token_log_probabilities, abs=1e-5)
            torch.testing.assert_close(one.attention, other.attention, atol=1e-5, rtol=0)


def uneven_model(vocab_size=12, **options):
    """Return a model of float64 whose answers end at different lengths."""
    model = attention_nmt_model(vocab_size=vocab_size, **options).double()
    with torch.no_grad():
        model.output_projection.bias[END] += 2.5
    return model


def both(answer, search, **options):
    """Return what the forced search finds, and what the one in NumPy does."""
    with forced_search("host"):
        expected = answer(**options)
    with forced_search(search):
        return answer(**options), expected


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_gives_what_the_search_in_numpy_gives(options, beams, search):
    ids, mask, _ = batch(3, 7, 5, 6, 4, vocab_size=12)
    options = {"max_new_tokens": 20, "num_beams": beams, "num_return_sequences": beams} | options
    for model in (uneven_model(), attention_nmt_model(vocab_size=12).double()):
        found, expected = both(partial(model.translate, ids, mask), search, **options)
        assert_equal(found, expected)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize(
    ("normalization", "early_stopping", "size", "shortest"),
    list(itertools.product(("power", "gnmt"), (False, True, "never"), (0, 2), (0, 4))),
)
def test_options_together(normalization, early_stopping, size, shortest, penalty):
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    options = {
        "length_normalization": normalization,
        "early_stopping": early_stopping,
        "no_repeat_ngram_size": size,
        "min_new_tokens": shortest,
        "coverage_penalty": penalty,
        "length_penalty": 0.7,
        "suppress_tokens": (3,),
    }
    options |= {"num_beams": 4, "num_return_sequences": 3, "max_new_tokens": 17}
    assert_equal(*both(partial(uneven_model().translate, ids, mask), "device", **options))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("beams", [7, 36])
def test_beams_may_outnumber_the_vocabulary(beams, search):
    model, ids = attention_nmt_model(vocab_size=6).double(), torch.tensor([[5, 3, 4], [4, 4, 3]])
    options = {"num_beams": beams, "num_return_sequences": beams, "early_stopping": "never"}
    for longest in (1, 2, 9):
        answer = partial(model.translate, ids, torch.ones(2, 3), max_new_tokens=longest)
        assert_equal(*both(answer, search, **options))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_an_input_that_is_done_keeps_what_it_found_while_others_go_on(early_stopping, search):
    model = attention_nmt_model(vocab_size=12).double()
    with torch.no_grad():
        model.output_projection.bias[END] += 3.5
    ids, mask, _ = batch(3, 7, 5, 6, 4, 7, 3, 5, 6, seed=3, vocab_size=12)
    options = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 40, "length_penalty": 2.0}
    found, expected = both(partial(model.translate, ids, mask), search, early_stopping=early_stopping, **options)
    assert_equal(found, expected)
    assert len({len(hypotheses[0].token_ids) for hypotheses in found}) > 1


@pytest.mark.parametrize(
    "architecture",
    [
        {"cell_type": "lstm", "decoder_layers": 2},
        {"input_feeding": True},
        {"attention_query": "previous_state", "readout_activation": "maxout"},
    ],
    ids=str,
)
def test_every_decoder_of_translation(architecture):
    model = uneven_model(**architecture)
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    answer = partial(model.translate, ids, mask, num_beams=3, num_return_sequences=3, max_new_tokens=19)
    assert_equal(*both(answer, "recorded"))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("attention_type", ["soft", "hard"])
def test_captions_too(attention_type, search):
    model = show_attend_tell_model(attention_type=attention_type)
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    options = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 20, "suppress_tokens": (0, 1)}
    found, expected = both(partial(model.caption, pixels), search, **options)
    assert_equal(found, expected)
    assert found[0][0].attention.shape[1:] == (4, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_precisions(dtype):
    """Sums in another order may round otherwise in half precision: the best answers' scores are compared."""
    model = attention_nmt_model(vocab_size=12).to(dtype)
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    found, expected = both(partial(model.translate, ids, mask), "device", num_beams=3, max_new_tokens=15)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[0].score == pytest.approx(theirs[0].score, abs=1e-5 if dtype == torch.float32 else 0.05)


def frame_of(model, ids, mask, options):
    """Return a search before its first step, its plan and the network's step."""
    plan, stepper = SearchPlan.of(options, model.config), model.stepper(ids, mask)
    rules = rules_of(options, plan, stepper.memory, mask.bool())
    state = first_state(plan, stepper.state, rules, model.config.decoder_start_token_id, torch.float64)
    return SearchFrame(rules, state, empty_block(rules, state)), plan, stepper.step


EVERYTHING = DecodingOptions(
    num_beams=3, coverage_penalty=0.3, no_repeat_ngram_size=2, min_new_tokens=4, prefix_ids=(7, 4), max_new_tokens=30
)


@torch.inference_mode()
def test_no_step_asks_for_a_value():
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    frame, plan, step = frame_of(uneven_model(), ids, mask, EVERYTHING)
    frame = mapped(frame, torch.clone)
    with Counted() as counted:
        for _ in range(5):
            search_step(frame, plan, step)
    assert counted.calls["topk"] == 5 and counted.waits == 0


@torch.inference_mode()
@pytest.mark.parametrize(
    "wait",
    [
        lambda values: values[0].item(),
        lambda values: bool((values > 0).all()),
        lambda values: values.tolist(),
        lambda values: values.numpy(),
        lambda values: values[values > 0],
        lambda values: values.nonzero(),
        lambda values: torch.where(values > 0, values, 1.0),
        lambda values: values + torch.tensor([1.0]),
    ],
)
def test_waiting_is_noticed(wait):
    with Counted() as counted:
        wait(torch.ones(3))
    assert counted.waits >= 1


@torch.inference_mode()
def test_a_step_runs_on_tensors_that_have_no_values():
    model = uneven_model()
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    frame, plan, step = frame_of(model, ids, mask, EVERYTHING)
    model.to("meta")
    frame = mapped(frame, lambda tensor: tensor.to("meta"))
    before = shapes_of(frame)
    search_step(frame, plan, step)
    assert shapes_of(frame) == before and {tensor.device.type for tensor in tensors_of(frame)} == {"meta"}


def nmt_answer(**options):
    model, (ids, mask, _) = attention_nmt_model(vocab_size=12, **options), batch(3, 7, 5, vocab_size=12)
    return partial(model.translate, ids, mask)


def caption_answer(**options):
    return partial(show_attend_tell_model(**options).caption, torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize(
    "answer",
    [
        nmt_answer(),
        nmt_answer(cell_type="lstm", decoder_layers=2, input_feeding=True),
        nmt_answer(attention_query="previous_state", readout_activation="maxout"),
        caption_answer(attention_type="soft"),
        caption_answer(attention_type="hard"),
    ],
)
def test_the_host_waits_once_in_so_many_steps(answer, monkeypatch):
    """Whichever network it is: the looks are all that it waits for."""
    run, counts = device_beam_search_module._run, []

    def counted_run(*arguments):
        with Counted() as counted:
            blocks = run(*arguments)
        counts.append(counted)
        assert len(blocks) == 30 // STEPS_PER_LOOK + 1
        return blocks

    monkeypatch.setattr(device_beam_search_module, "_run", counted_run)
    with forced_search("device"):
        answer(num_beams=3, max_new_tokens=30, min_new_tokens=30, no_repeat_ngram_size=0)
    (counted,) = counts
    assert counted.calls["topk"] == 30
    assert counted.waits == counted.calls["is_nonzero"] == 30 // STEPS_PER_LOOK


def test_it_stops_soon_after_all_are_done():
    model = uneven_model()
    with torch.no_grad():
        model.output_projection.bias[END] += 50.0
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    with Counted() as counted, forced_search("device"):
        found = model.translate(ids, mask, num_beams=2, max_new_tokens=100)
    assert all(hypotheses[0].token_ids == [END] for hypotheses in found)
    assert counted.calls["topk"] == STEPS_PER_LOOK


@pytest.mark.parametrize("search", SEARCHES)
def test_the_shipped_translator(search):
    translate = pipeline("attention-translation", device="cpu", runtime="torch")
    texts = ["A dog runs.", "A man in a red shirt rides a brown horse along the beach.", "Two children play."]
    options = {"batch_size": 3, "num_beams": 5, "num_return_sequences": 3, "return_evidence": True}
    found, expected = both(partial(translate, texts), search, **options)
    for ours, theirs in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert ours["translation_text"] == theirs["translation_text"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
        attention, same = (torch.tensor(one["evidence"]["attention"]) for one in (ours, theirs))
        torch.testing.assert_close(attention, same, atol=1e-5, rtol=0)


class TestRecordedSteps:
    """On a CPU a recorded step is called, on the same tensors and through the same cache."""

    def test_requests_of_one_shape_share_a_step_and_not_their_answers(self):
        model = uneven_model()
        options = {"num_beams": 3, "num_return_sequences": 3}
        for seed, lengths, longest in ((1, (3, 7, 5), 20), (2, (9, 4, 2, 8), 33), (3, (1, 2, 3, 16), 64)):
            ids, mask, _ = batch(*lengths, seed=seed, vocab_size=12)
            answer = partial(model.translate, ids, mask, max_new_tokens=longest, length_penalty=0.1 * seed)
            assert_equal(*both(answer, "recorded", **options))
        assert len(step_cache(model)) == 1
        both(partial(model.translate, *batch(17, vocab_size=12)[:2]), "recorded", max_new_tokens=9)
        assert len(step_cache(model)) == 2

    def test_weights_that_moved_are_recorded_anew(self):
        model = uneven_model()
        ids, mask, _ = batch(3, 7, vocab_size=12)
        answer = partial(model.translate, ids, mask, num_beams=2, max_new_tokens=9)
        both(answer, "recorded")
        moved = {name: torch.nn.Parameter(value.detach() + 0.1) for name, value in model.decoder.named_parameters()}
        for name, value in moved.items():
            module, _, attribute = name.rpartition(".")
            setattr(model.decoder.get_submodule(module), attribute, value)
        assert_equal(*both(answer, "recorded"))
        assert len(step_cache(model)) == 2

    def test_threads_share_a_model(self):
        model = uneven_model()
        jobs = [batch(3, 7, 5 + seed % 3, seed=seed, vocab_size=12)[:2] for seed in range(12)]

        def answer(job):
            with forced_search("recorded"):
                return model.translate(*job, num_beams=3, max_new_tokens=20)

        expected = [model.translate(*job, num_beams=3, max_new_tokens=20) for job in jobs]
        with ThreadPoolExecutor(4) as threads:
            for found, wanted in zip(threads.map(answer, jobs), expected, strict=True):
                assert_equal(found, wanted)

    def test_few_are_kept(self):
        cache = StepCache(limit=2)
        frame = (torch.zeros(1),)

        def step(tensors):
            tensors[0].add_(1)

        for key in ("a", "b", "a", "c"):
            with cache.taken(key, step, frame) as taken:
                taken.run(step)
                assert taken.frame[0].item() == 1  # it began anew
        assert list(cache._entries) == ["a", "c"]
        assert frame[0].item() == 0

    def test_they_go_when_the_model_goes(self):
        model = uneven_model()
        with forced_search("recorded"):
            model.translate(*batch(3, vocab_size=12)[:2], num_beams=2, max_new_tokens=3)
        gone = weakref.ref(step_cache(model))
        del model
        gc.collect()
        assert gone() is None


def test_how_it_is_chosen():
    assert [chosen_search(device) for device in ("cuda", "cpu")] == ["recorded", "host"]
    with forced_search("device"):
        assert chosen_search("cpu") == "device"
    assert chosen_search("cpu") == "host"


def test_trees_of_tensors():
    tree = (torch.zeros(2), (None, 3, torch.ones(1)))
    assert [len(tensor) for tensor in tensors_of(tree)] == [2, 1]
    doubled = mapped(tree, lambda tensor: tensor + 1)
    copy_into(tree, doubled)
    assert tree[0].tolist() == [1, 1] and tree[1][1] == 3 and tree[1][2].tolist() == [2]
