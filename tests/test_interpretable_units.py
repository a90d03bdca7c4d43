"""What units of the character generator follow: the features by hand, correlations against NumPy's."""

import itertools

import numpy as np
import pytest
import torch

from models.configuration_char_rnn import CharRnnConfig
from models.modeling_char_rnn import CharRnnForCausalLM
from training import interpretable_units
from training.interpretable_units import correlations, find_units, text_features

PLAY = "and so to be:\nwho?\n\nKING LEAR:\nI say, KING.\n\nthe end:\nx\n"
CODE = """#include <a>
/* "no" { */
#define X \\
 1
int f(char *s)
{
\tputs("\\"(");  // a[
\tif (s[1] == '"')
\t\tg();
}
int x;
"""
JOKES = 'Why? ("So")!\nOh "no :(\nA? B? C\n'
ALPHABET = "\nab c"


def model(**options) -> CharRnnForCausalLM:
    """Return a seeded model of 6 units whose units differ."""
    torch.manual_seed(3)
    config = CharRnnConfig(
        **{"vocab_size": 6, "num_hidden_layers": 2, "hidden_size": 6, "embedding_size": 4, **options}
    )
    network = CharRnnForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.8)
    return network


def encoded(text: str) -> torch.Tensor:
    """Return the ids of a text in `ALPHABET`; 0 is the padding."""
    return torch.tensor([ALPHABET.index(character) + 1 for character in text])


def random_text(length: int) -> str:
    """Return letters, spaces and line ends."""
    return "".join(np.random.default_rng(0).choice(list(ALPHABET), length, p=[0.05, 0.35, 0.3, 0.15, 0.15]))


def runs(text: str, feature: str) -> list[str]:
    """Return the stretches of a text after each of whose characters a feature of yes and no holds."""
    values = text_features(text)[feature]
    assert set(values) == {0.0, 1.0}
    groups = itertools.groupby(zip(text, values, strict=True), key=lambda pair: pair[1])
    return ["".join(character for character, _ in group) for value, group in groups if value]


def test_positions_count_what_was_read():
    found = text_features("ab c\nde_f, g\n\nh\n")
    assert found["position in line"].tolist() == [1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 1, 0]
    assert found["position in word"].tolist() == [1, 2, 0, 1, 0, 1, 2, 3, 4, 0, 0, 1, 0, 0, 1, 0]
    assert found["position in clause"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 0, 1, 2]
    assert {values.dtype for values in found.values()} == {np.dtype("float64")}


def test_indentation_is_known_as_far_as_it_was_read():
    eighths = text_features("\t\ta b\n    c\n \td\te\n")["indentation depth"] * 8
    assert eighths.tolist() == [8, 16, 16, 16, 16, 0, 1, 2, 3, 4, 4, 0, 1, 9, 9, 9, 9, 0]


def test_words_in_capitals_begin_with_their_second():
    assert runs("I am A_BC, KINg OK", "inside a word in capitals") == ["BC", "IN", "K"]


def test_speakers_stand_alone_after_a_blank_line():
    assert runs(PLAY, "inside a speaker's name") == ["KING LEAR"]
    assert runs("A Lord:\nO!\n\nB:\nNo.", "inside a speaker's name") == ["A Lord", "B"]
    assert not {"past the question mark", "inside a comment"} & text_features(PLAY).keys()


def test_quotations_and_brackets_end_with_their_paragraph():
    text = 'He said "so\nit (is. \n\nWe" (x) "y\n\nend'
    assert runs(text, "inside quotes") == ['"so\nit (is. ', '" (x) ']
    assert runs(text, "bracket depth") == ["(is. \n", "(x"]


def test_lines_that_are_texts_end_everything():
    assert runs(JOKES, "inside quotes") == ['"So', '"no :(']
    assert runs(JOKES, "past the question mark") == ['? ("So")!', "? B? C"]
    assert runs(JOKES, "bracket depth") == ['("So"', "("]


def test_code_is_read_as_code():
    assert runs(CODE, "inside a comment") == ['* "no" { *', "/ a["]
    assert runs(CODE, "inside quotes") == ['"\\"(']
    assert runs(CODE, "inside a preprocessor line") == ["#include <a>", "#define X \\\n 1"]
    assert runs(CODE, "inside parentheses") == ["(char *s", '("\\"("', "(s[1] == '\"'", "("]
    assert runs(CODE, "curly-brace depth") == ["{" + CODE.partition("\n{")[2].partition("\n}")[0] + "\n"]


def test_depths_grow_and_shrink():
    text = '#include "x"\n/**/f(a[b(c)]);\n{{\n}{\n}z)'
    found = text_features(text)
    brackets, braces = (found[name].tolist()[17:] for name in ("bracket depth", "curly-brace depth"))
    assert brackets == [0, 1, 1, 2, 2, 3, 3, 2, 1, 0, 0, 0, 1, 2, 2, 0, 1, 1, 0, 0, 0]
    assert braces == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 0, 1, 1, 0, 0, 0]


def test_features_that_never_change_are_left_out():
    assert text_features("\n") == {}
    assert set(text_features("a b")) == {"position in line", "position in word", "position in clause"}


@pytest.mark.parametrize("options", [{}, {"cell_type": "gru"}, {"layer_norm": True}])
def test_correlations_are_numpys(options, monkeypatch):
    monkeypatch.setattr(interpretable_units, "NUM_STREAMS", 3)
    monkeypatch.setattr(interpretable_units, "CHUNK_LENGTH", 7)
    network, text = model(**options), random_text(100)
    features = np.stack([*text_features(text).values(), np.ones(100)])
    found = correlations(network, encoded(text), features)

    # Each third of the text by itself, from a fresh state; the last character is in none.
    activations = [network.activations(encoded(text)[None, start : start + 33]) for start in (0, 33, 66)]
    expected = {("hidden", 1), ("hidden", 2)} | (set() if options.get("cell_type") else {("memory", 1), ("memory", 2)})
    assert set(found) == expected
    for (kind, layer), matrix in found.items():
        values = torch.cat([getattr(part, kind)[layer - 1][0] for part in activations]).double()
        values = (values.tanh() if kind == "memory" else values).numpy()
        assert matrix.shape == (6, len(features)) and not matrix[:, -1].any()
        for unit in range(6):
            for feature in range(len(features) - 1):
                both = np.corrcoef(values[:, unit], features[feature, :99])[0, 1]
                assert matrix[unit, feature] == pytest.approx(both, abs=1e-6)


def planted_counter(unit: int) -> CharRnnForCausalLM:
    """Return a model one of whose cells adds 0.004 at every character but a line end, which empties it."""
    network = model(input_encoding="one_hot", num_hidden_layers=1)
    layer = network.layers[0]
    with torch.no_grad():
        for gate, bias in (("input", 9.0), ("forget", 9.0), ("candidate", 0.004)):
            row = ("input", "forget", "candidate").index(gate) * 6 + unit
            layer.weight_hidden[row] = layer.weight_input[row] = layer.bias_hidden[row] = 0.0
            layer.bias_input[row] = bias
            if gate != "candidate":
                layer.weight_input[row, ALPHABET.index("\n") + 1] = -18.0
    return network


def test_a_planted_unit_is_found():
    text = random_text(40_000)
    found = find_units(planted_counter(unit=4), encoded(text), text)
    best = found[0]
    assert (best["feature"], best["name"]) == ("position in line", "position in line")
    assert (best["kind"], best["layer"], best["unit"]) == ("memory", 1, 4) and best["correlation"] > 0.97
    sizes = [abs(unit["correlation"]) for unit in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] >= 0.3
    assert len({unit["feature"] for unit in found}) == len(found)
    assert CharRnnConfig(interpretable_units=found).interpretable_units == found


def test_more_units_and_faint_ones(monkeypatch):
    monkeypatch.setattr(interpretable_units, "NUM_STREAMS", 1)
    text = random_text(500)
    network = planted_counter(unit=1)
    found = find_units(network, encoded(text), text, num_units_per_feature=2)
    in_line = [unit for unit in found if unit["feature"] == "position in line"]
    assert [unit["unit"] for unit in in_line[:1]] == [1] and len(in_line) == 2
    monkeypatch.setattr(interpretable_units, "MINIMUM_CORRELATION", 0.9)
    assert {unit["feature"] for unit in find_units(network, encoded(text), text)} == {"position in line"}


def test_a_text_without_features_has_no_units_and_other_ids_are_refused():
    assert find_units(model(), encoded("\n"), "\n") == []
    with pytest.raises(ValueError, match="got 2 and 3"):
        find_units(model(), encoded("ab"), "abc")
