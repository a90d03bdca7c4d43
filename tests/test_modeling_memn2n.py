"""The memory network against the paper's equations, its own parts, and itself with padding."""

import itertools
import math

import pytest
import torch

from models.modeling_memn2n import Memn2nForQuestionAnswering

from .tiny import MEMN2N_ANSWER_WORDS, memn2n_config, memn2n_model

VARIANTS = [
    {
        "tying": tying,
        "sentence_encoding": encoding,
        "null_memories": null,
        "weighted_ages": null,
        "temporal_encoding": temporal,
        "hop_activation": relu,
        "gated": gated,
    }
    for tying, (encoding, null), temporal, (relu, gated) in itertools.product(
        ("adjacent", "layer_wise"),
        (("position", False), ("fixed_position", True), ("bag_of_words", True)),
        (True, False),
        (("none", False), ("relu", False), ("none", True)),
    )
]
STORY = [[3, 4, 5, 0], [6, 7, 0, 0], [3, 8, 9, 4], [5, 5, 1, 0], [7, 3, 0, 0]]
QUESTION = [2, 6, 9]


def word_tables(model):
    return [*model.word_tables, *([model.question_table] if model.question_table is not None else [])]


def story(*rows):
    return torch.tensor([rows or STORY])


def question(*words):
    return torch.tensor([words or QUESTION])


@pytest.fixture(params=VARIANTS, ids=lambda options: "-".join(str(value) for value in options.values()))
def model(request):
    return memn2n_model(torch.float64, **request.param)


def naive_sentence(config, matrix, words):
    """Sum_j l_j * A x_j, number by number; the null word counts for nothing."""
    words, d = [word for word in words if word != 0], config.embedding_size
    total = [0.0] * d
    for j, word in enumerate(words, start=1):
        for k in range(1, d + 1):
            J = len(words)
            weight = (1 - j / J) - (k / d) * (1 - 2 * j / J) if config.sentence_encoding == "position" else 1.0
            if config.sentence_encoding == "fixed_position":
                J = config.longest_sentence
                weight = 1 + 4 * (k - (d + 1) / 2) * (j - (J + 1) / 2) / (d * J)
            total[k - 1] += weight * matrix[word][k - 1]
    return total


def naive_age_weight(config, k):
    d, J = config.embedding_size, config.longest_sentence
    return 1 + 4 * (k - (d + 1) / 2) * (J - (J + 1) / 2) / (d * J) if config.weighted_ages else 1.0


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def naive_hop(config, model, hop, u, sentences, linear):
    """Equations 1, 2 and 4 with the variants: the next u, and p."""
    first, second = (hop, hop + 1) if config.tying == "adjacent" else (0, 1)
    m, c = [
        [naive_sentence(config, model.word_tables[table].weight.tolist(), words) for words in sentences]
        for table in (first, second)
    ]
    if config.temporal_encoding:
        for memories, table in ((m, first), (c, second)):
            for place, memory in enumerate(memories):
                age = min(len(sentences) - 1 - place, config.memory_size - 1)
                embedded = model.age_tables[table].weight[age].tolist()
                weighted = [naive_age_weight(config, k) * b for k, b in enumerate(embedded, start=1)]
                memories[place] = [a + b for a, b in zip(memory, weighted, strict=True)]
    scores = [dot(u, memory) for memory in m]
    p = scores
    if not linear:
        num_null = max(config.memory_size - len(sentences), 0) if config.null_memories else 0
        total = sum(math.exp(score) for score in scores) + num_null * math.exp(0)
        p = [math.exp(score) / total for score in scores]
    o = [sum(weight * memory[k] for weight, memory in zip(p, c, strict=True)) for k in range(config.embedding_size)]
    kept = u if config.tying == "adjacent" else [dot(row, u) for row in model.state_map.weight.tolist()]
    gate = None
    if config.gated:
        rows, bias = model.gates[hop].weight.tolist(), model.gates[hop].bias.tolist()
        gate = [1 / (1 + math.exp(-dot(row, u) - b)) for row, b in zip(rows, bias, strict=True)]
        o, kept = [g * x for g, x in zip(gate, o, strict=True)], [(1 - g) * x for g, x in zip(gate, kept, strict=True)]
    following = [a + b for a, b in zip(kept, o, strict=True)]
    return [max(x, 0.0) for x in following] if config.hop_activation == "relu" else following, p


def naive_answer(model, sentences, words, linear=False):
    """Answer one question with nothing but the equations; logits, and p of every hop."""
    config = model.config
    table = model.word_tables[0] if config.tying == "adjacent" else model.question_table
    u, attention = naive_sentence(config, table.weight.tolist(), words), []
    for hop in range(config.num_hops):
        u, p = naive_hop(config, model, hop, u, sentences, linear)
        attention.append(p)
    if config.tying == "adjacent":
        w = [model.word_tables[-1].weight[word].tolist() for word in MEMN2N_ANSWER_WORDS]
    else:
        w = model.answer_projection.weight.tolist()
    return [dot(row, u) for row in w], attention


@torch.no_grad()
@pytest.mark.parametrize("num_sentences", [2, 5])  # fewer and more than the memory's
@pytest.mark.parametrize("linear", [False, True])
def test_answers_equal_the_equations(model, linear, num_sentences):
    sentences = STORY[:num_sentences]
    logits, attention = naive_answer(model, sentences, QUESTION, linear)
    output = model(story(*sentences), question(), labels=torch.tensor([2]), linear_attention=linear)
    torch.testing.assert_close(output.logits, torch.tensor([logits], dtype=torch.float64))
    torch.testing.assert_close(output.attention, torch.tensor([attention], dtype=torch.float64))
    highest = max(logits)
    expected = highest + math.log(sum(math.exp(logit - highest) for logit in logits)) - logits[2]
    assert output.loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("num_hops", [1, 2, 5])
@pytest.mark.parametrize("tying", ["adjacent", "layer_wise"])
def test_any_number_of_hops(num_hops, tying):
    model = memn2n_model(torch.float64, num_hops=num_hops, tying=tying)
    output = model(story(), question())
    torch.testing.assert_close(output.logits[0].tolist(), naive_answer(model, STORY, QUESTION)[0])
    assert output.attention.shape == (1, num_hops, 5)
    torch.testing.assert_close(output.attention.sum(dim=2), torch.ones(1, num_hops).double())


@pytest.mark.parametrize("options", VARIANTS[::5], ids=str)
@pytest.mark.parametrize("linear", [False, True])
def test_gradients_are_those_of_finite_differences(options, linear):
    model = memn2n_model(torch.float64, **options)
    names, values = zip(*model.named_parameters(), strict=True)
    sentences = torch.tensor([STORY, [[0] * 4] * 2 + STORY[:2] + [[0] * 4]])
    questions, labels = torch.tensor([QUESTION, [3, 0, 0]]), torch.tensor([1, 3])

    def loss(*parameters):
        replaced = dict(zip(names, parameters, strict=True))
        arguments = {"labels": labels, "linear_attention": linear}
        return torch.func.functional_call(model, replaced, (sentences, questions), arguments).loss

    detached = [value.detach().clone().requires_grad_() for value in values]
    # row 0 is the null word, which must not be moved: where it is not read the differences are 0, as is its gradient
    assert torch.autograd.gradcheck(loss, detached, fast_mode=True)


def test_every_parameter_gets_a_gradient_and_the_null_word_none(model):
    batch = torch.arange(1, 13).reshape(1, 4, 3).clamp(max=11)
    model(batch, question(), labels=torch.tensor([1])).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    for table in word_tables(model):
        assert (table.weight.grad[0] == 0).all() and (table.weight[0] == 0).all()


@torch.no_grad()
def test_the_null_word_is_never_read(model):
    expected = model(story(), question()).logits
    for table in word_tables(model):
        table.weight[0] = float("nan")
    torch.testing.assert_close(model(story(), question()).logits, expected)


@torch.no_grad()
def test_padding_and_empty_memories_change_nothing(model):
    alone = model(story(), question())
    empty = [0] * 6
    longer = [[*words, 0, 0] for words in STORY]
    for before, after in ((0, 3), (2, 0), (1, 1)):
        padded = [[empty] * before + longer + [empty] * after, [[3, 1, 4, 1, 5, 9]] * (5 + before + after)]
        output = model(torch.tensor(padded), torch.tensor([[*QUESTION, 0, 0], [1, 2, 3, 4, 5]]))
        torch.testing.assert_close(output.logits[:1], alone.logits)
        torch.testing.assert_close(output.attention[:1, :, before : before + 5], alone.attention)
        assert (output.attention[0, :, :before] == 0).all() and (output.attention[0, :, before + 5 :] == 0).all()


@torch.no_grad()
def test_a_hop_can_look_at_nothing_only_with_null_memories():
    for null_memories in (False, True):
        model = memn2n_model(torch.float64, null_memories=null_memories)
        for num_sentences in (1, 3, 4, 5):
            total = model(story(*STORY[:num_sentences]), question()).attention.sum(dim=2)
            assert (
                (total < 0.999).all() if null_memories and num_sentences < 4 else torch.allclose(total, total * 0 + 1)
            )


@torch.no_grad()
def test_an_empty_memory_between_two_sentences_makes_the_earlier_ones_older(model):
    spaced = model(story(*STORY[1:3], [0] * 4, STORY[4]), question())
    together = model(story(*STORY[1:3], STORY[4]), question())
    assert (spaced.attention[0, :, 2] == 0).all()
    is_same = torch.allclose(spaced.logits, together.logits)
    assert is_same != model.config.temporal_encoding


@torch.no_grad()
def test_ages_can_be_given(model):
    spaced = model(story(*STORY[1:3], [0] * 4, STORY[4]), question())
    ages = torch.tensor([[3, 2, 0]])
    given = model(story(*STORY[1:3], STORY[4]), question(), ages=ages)
    torch.testing.assert_close(given.logits, spaced.logits)
    older = model(story(*STORY[1:3], STORY[4]), question(), ages=ages + model.config.memory_size)
    is_same = torch.allclose(older.attention, given.attention)
    assert is_same != model.config.temporal_encoding


@torch.no_grad()
def test_the_order_of_sentences_matters_with_temporal_encoding_only(model):
    output, shuffled = model(story(), question()), [3, 0, 4, 1, 2]
    permuted = model(story(*[STORY[place] for place in shuffled]), question())
    if model.config.temporal_encoding:
        assert not torch.allclose(permuted.logits, output.logits)
    else:
        torch.testing.assert_close(permuted.logits, output.logits)
        torch.testing.assert_close(permuted.attention, output.attention[:, :, shuffled])


@torch.no_grad()
def test_the_order_of_words_matters_with_position_encoding_only(model):
    output = model(story(), question()).attention
    is_same = torch.allclose(model(story(), question(9, 2, 6)).attention, output)
    assert is_same == (model.config.sentence_encoding == "bag_of_words")


@torch.no_grad()
def test_without_a_story_the_question_alone_decides(model):
    output = model(torch.zeros(1, 3, 4, dtype=torch.long), question())
    assert (output.attention == 0).all() and output.logits.isfinite().all()
    none = model(torch.zeros(1, 0, 4, dtype=torch.long), question())
    torch.testing.assert_close(none.logits, output.logits)
    assert none.attention.shape == (1, 3, 0)


def test_adjacent_tying_has_one_matrix_for_two():
    model = memn2n_model(torch.float64, num_hops=2)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    words = {f"word_tables.{k}.weight": (12, 5) for k in range(3)}
    assert shapes == words | {f"age_tables.{k}.weight": (4, 5) for k in range(3)}
    before = model(story(), question())
    with torch.no_grad():
        model.word_tables[1].weight[3] += 1  # C of the first hop and A of the second
    after = model(story(), question())
    torch.testing.assert_close(after.attention[:, 0], before.attention[:, 0])
    assert not torch.allclose(after.attention[:, 1], before.attention[:, 1])
    with torch.no_grad():
        model.word_tables[2].weight[MEMN2N_ANSWER_WORDS[3]] += 1  # C of the second hop and W; no sentence has the word
    torch.testing.assert_close(model(story(), question()).attention, after.attention)
    assert (model(story(), question()).logits - after.logits).nonzero()[:, 1].tolist() == [3]


def test_layer_wise_tying_has_the_same_matrices_in_every_hop():
    few, many = (
        memn2n_model(torch.float64, num_hops=1, tying="layer_wise"),
        memn2n_model(torch.float64, num_hops=4, tying="layer_wise"),
    )
    assert few.state_dict().keys() == many.state_dict().keys()
    names = {"word_tables.0", "word_tables.1", "age_tables.0", "age_tables.1", "question_table", "answer_projection"}
    assert {name.removesuffix(".weight") for name in many.state_dict()} == names | {"state_map"}


def test_the_weights_begin_as_in_the_paper():
    torch.manual_seed(0)
    model = Memn2nForQuestionAnswering(memn2n_config(vocab_size=400, embedding_size=40, gated=True, tying="layer_wise"))
    for name, parameter in model.named_parameters():
        mean = 0.5 if name.endswith("bias") else 0.0
        assert parameter.mean().item() == pytest.approx(mean, abs=0.05), name
        assert parameter.std().item() == pytest.approx(0.1, rel=0.2), name
    for table in word_tables(model):
        assert (table.weight[0] == 0).all()
    assert (model.age_tables[0].weight[0] != 0).all()


@pytest.mark.parametrize("options", VARIANTS[::3], ids=str)
def test_the_first_loss_is_that_of_a_guess_and_a_batch_is_learnt_by_heart(options):
    torch.manual_seed(1)
    fresh = Memn2nForQuestionAnswering(memn2n_config(**options, embedding_size=24))
    sentences, questions = torch.randint(1, 12, (6, 4, 3)), torch.randint(1, 12, (6, 3))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    assert fresh(sentences, questions, labels=labels).loss.item() == pytest.approx(math.log(4), rel=0.1)
    optimizer = torch.optim.Adam(fresh.parameters(), 0.01)
    for _ in range(300):
        loss = fresh(sentences, questions, labels=labels).loss
        if loss < 0.1:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_labels_of_minus_100_do_not_count():
    model = memn2n_model(torch.float64)
    sentences, questions = torch.tensor([STORY, STORY]), torch.tensor([QUESTION, [1, 2, 3]])
    one = model(sentences[:1], questions[:1], labels=torch.tensor([2])).loss
    torch.testing.assert_close(model(sentences, questions, labels=torch.tensor([2, -100])).loss, one)


def test_a_model_is_the_same_after_being_saved(model, tmp_path):
    model.config.id2label = dict(enumerate(("milk", "apple,milk", "yes", "Bill")))
    model.float().save_pretrained(tmp_path)
    loaded = Memn2nForQuestionAnswering.from_pretrained(tmp_path)
    assert all(torch.equal(theirs, loaded.state_dict()[name]) for name, theirs in model.state_dict().items())
    torch.testing.assert_close(loaded(story(), question()).logits, model(story(), question()).logits)
    assert loaded.config.id2label == model.config.id2label
    assert {**loaded.config.to_dict(), "_name_or_path": ""} == model.config.to_dict()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tying": "none"}, "tying must be one of adjacent, layer_wise"),
        ({"sentence_encoding": "lstm"}, "sentence_encoding"),
        ({"hop_activation": "tanh"}, "hop_activation"),
        ({"num_hops": 0}, "num_hops must be at least 1"),
        ({"pad_token_id": 1}, "pad_token_id must be 0; got 1"),
        ({"answer_token_ids": [1, 2]}, "each of the 4 answers of id2label; answer_token_ids has 2"),
        ({"answer_token_ids": [1, 2, 3, 12]}, "between 1 and 11"),
        ({"answer_token_ids": [0, 2, 3, 4]}, "between 1 and 11"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(options, words):
    with pytest.raises(Exception, match=words):
        memn2n_config(**options)
