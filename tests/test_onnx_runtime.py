"""What runs on ONNX Runtime against the models themselves: every family, every variant, every option of a search."""

import json
import shutil

import numpy as np
import pytest
import torch

import hub
from models import onnx_attention_nmt, onnx_runtime
from models.onnx_char_rnn import PackedState, pack
from models.onnx_runtime import OnnxSession, value_of
from models.onnx_stepper import STEP_INPUTS, OnnxStepper
from pipelines import pipeline
from serving.hosting import ModelHost
from serving.settings import Settings
from tasks import TASKS
from training import graphs
from training.decoder_graph import add_candidates
from training.export import build_graphs
from training.onnx_graph import Graph, write_graphs

from . import test_modeling_attention_nmt as nmt
from . import test_modeling_blstm_ctc as ctc
from . import test_modeling_memn2n as memory
from . import test_modeling_show_attend_tell as captioner
from .tiny import attention_nmt_model, blstm_ctc_model, char_rnn_model, memn2n_model, show_attend_tell_model

NAMES = {"ids": lambda options: ",".join(map(str, options.values())) or "default"}
SEARCHES = [
    {"num_beams": 1},
    {"num_beams": 4, "num_return_sequences": 4, "length_penalty": 0.5, "coverage_penalty": 0.3},
    {"num_beams": 3, "prefix_ids": (7, 8), "min_new_tokens": 5, "suppress_tokens": (0, 1, 3)},
    {"num_beams": 2, "no_repeat_ngram_size": 2, "length_normalization": "gnmt"},
]


@pytest.fixture
def tiny_folders(tiny_checkpoint_of):
    """Folders of tiny checkpoints, by their tasks."""
    return {task: tiny_checkpoint_of(task).folder for task in TASKS}


def compiled(task, model, folder, precision="float32"):
    """Return what answers as a model does."""
    write_graphs(folder, build_graphs(TASKS[task], model.config))
    return model.compile_for_cpu(folder, precision)


def assert_same_hypotheses(found, expected, tolerance=1e-5):
    for ours, theirs in zip(found, expected, strict=True):
        assert [one.token_ids for one in ours] == [one.token_ids for one in theirs]
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one.attention, other.attention, atol=tolerance, rtol=0)
            assert one.token_log_probabilities == pytest.approx(other.token_log_probabilities, abs=20 * tolerance)
            assert one.score_parts == pytest.approx(other.score_parts, abs=20 * tolerance)


def assert_batch_equals_its_sentences(model, network):
    """Compare; also the evidence with the model's."""
    ids, mask, _ = nmt.batch(3, 7, 5)
    together = network.translate(ids, mask, num_beams=3, max_new_tokens=9)
    alone = [
        network.translate(row[None, :length], mask[index : index + 1, :length], num_beams=3, max_new_tokens=9)[0]
        for index, (row, length) in enumerate(zip(ids, (3, 7, 5), strict=True))
    ]
    assert_same_hypotheses(together, alone)
    exact = model.score(ids, mask, [hypotheses[0].token_ids for hypotheses in together])
    for hypotheses, other in zip(together, exact, strict=True):
        torch.testing.assert_close(hypotheses[0].attention, other.attention, atol=0.01, rtol=0)


class TestTranslation:
    @pytest.mark.parametrize("options", nmt.VARIANTS, **NAMES)
    def test_every_network_answers_as_the_model(self, options, tmp_path):
        model = attention_nmt_model(**options)
        network, (ids, mask, _) = compiled("attention-translation", model, tmp_path), nmt.batch(3, 7, 5)
        for search in SEARCHES[:2]:
            wanted = search | {"max_new_tokens": 9}
            assert_same_hypotheses(network.translate(ids, mask, **wanted), model.translate(ids, mask, **wanted))

    @pytest.mark.parametrize("options", nmt.COMPARED, **NAMES)
    def test_networks_to_compare_with_have_no_graphs(self, options):
        assert build_graphs(TASKS["attention-translation"], attention_nmt_model(**options).config) == {}

    @pytest.mark.parametrize("search", SEARCHES, **NAMES)
    def test_every_option_means_the_same(self, search, tmp_path):
        model, (ids, mask, _) = attention_nmt_model(), nmt.batch(6, 2)
        network = compiled("attention-translation", model, tmp_path)
        wanted = search | {"max_new_tokens": 9}
        assert_same_hypotheses(network.translate(ids, mask, **wanted), model.translate(ids, mask, **wanted))

    def test_given_translations_get_the_same_scores(self, tmp_path):
        model, (ids, mask, _) = attention_nmt_model(), nmt.batch(6, 2)
        network, targets = compiled("attention-translation", model, tmp_path), [[5, 9, 2], [7, 2]]
        ours, theirs = network.score(ids, mask, targets), model.score(ids, mask, targets)
        assert_same_hypotheses([[one] for one in ours], [[one] for one in theirs])

    @pytest.mark.parametrize("options", nmt.VARIANTS, **NAMES)
    def test_with_eight_bits_a_batch_equals_its_sentences(self, options, tmp_path):
        model = attention_nmt_model(**options)
        assert_batch_equals_its_sentences(model, compiled("attention-translation", model, tmp_path, "int8"))


class TestRoundedEncoder:
    """One whose recurrent matrices have eight bits, and which looks up what tokens add to its gates."""

    @pytest.mark.parametrize("options", [{}, {"cell_type": "lstm"}, {"encoder_layers": 2}], **NAMES)
    def test_it_reads_what_the_model_reads(self, options, tmp_path, monkeypatch):
        monkeypatch.setattr(onnx_runtime, "has_exact_bytes", lambda: True)
        model, (ids, mask, _) = attention_nmt_model(**options), nmt.batch(3, 7, 5)
        network = compiled("attention-translation", model, tmp_path, "int8")
        exact = model.compile_for_cpu(tmp_path, "float32")
        inputs = {"input_ids": ids.numpy(), "lengths": np.array([3, 7, 5], np.int32)}
        padding = ~mask.bool().numpy()
        for found, expected in zip(network.encoder.run(inputs), exact.encoder.run(inputs), strict=True):
            if found.ndim > 2:  # what is padding does not count
                found.reshape(3, 7, -1)[padding] = expected.reshape(3, 7, -1)[padding] = 0
            assert 0 < np.abs(found - expected).max() < 0.02

    def test_the_table_has_what_tokens_add_to_the_gates(self):
        model = attention_nmt_model()
        weights, size = onnx_attention_nmt.graph_weights(model), model.config.encoder_hidden_size
        step, numbers = (value_of(f"encoder.layer0.table.{part}", weights) for part in ("step", "int16"))
        layers, embedding = model.encoder.recurrent.layers, model.encoder.embedding.weight
        for way, suffix in enumerate(("l0", "l0_reverse")):
            products = embedding @ getattr(layers, f"weight_ih_{suffix}").T + getattr(layers, f"bias_ih_{suffix}")
            rows = numbers[way * model.config.vocab_size :][: model.config.vocab_size].astype(np.float64)
            for gate in range(3):  # torch has them in the same order
                at = slice(gate * size, (gate + 1) * size)
                apart = np.abs(rows[:, at] * step - products.detach().numpy()[:, at])
                assert apart.max() <= 0.5001 * step < 1e-4

    @pytest.mark.parametrize("reason", ["checkpoint of before", "slow processor"])
    def test_it_is_float32_where_there_is_none_and_where_it_is_no_faster(self, reason, tmp_path, monkeypatch):
        monkeypatch.setattr(onnx_runtime, "has_exact_bytes", lambda: reason != "slow processor")
        model, (ids, _, _) = attention_nmt_model(), nmt.batch(3, 7)
        compiled("attention-translation", model, tmp_path, "int8")
        if reason == "checkpoint of before":
            names = json.loads((tmp_path / "onnx" / "weights.json").read_text())
            del names["encoder-int8.onnx"]
            (tmp_path / "onnx" / "weights.json").write_text(json.dumps(names))
        network, exact = (model.compile_for_cpu(tmp_path, precision) for precision in ("int8", "float32"))
        inputs = {"input_ids": ids.numpy(), "lengths": np.array([3, 7], np.int32)}
        for found, expected in zip(network.encoder.run(inputs), exact.encoder.run(inputs), strict=True):
            np.testing.assert_array_equal(found, expected)


class TestCaptions:
    @pytest.mark.parametrize("options", [one for one in captioner.VARIANTS if "attention_type" not in one], **NAMES)
    @pytest.mark.parametrize("search", [SEARCHES[0], SEARCHES[1] | {"coverage_penalty": 0.0}], **NAMES)
    def test_pictures_are_described_as_by_the_model(self, options, search, tmp_path):
        model, pixels = show_attend_tell_model(**options), captioner.pixels(2)
        network, wanted = compiled("captioning", model, tmp_path), search | {"max_new_tokens": 7}
        assert_same_hypotheses(network.caption(pixels, **wanted), model.caption(pixels, **wanted))
        ours, theirs = network.score(pixels, [[5, 2], [4, 2]]), model.score(pixels, [[5, 2], [4, 2]])
        assert_same_hypotheses([[one] for one in ours], [[one] for one in theirs])

    def test_other_shapes_have_other_grids(self, tmp_path):
        model, pixels = show_attend_tell_model(), torch.randn(1, 3, 64, 32)
        network = compiled("captioning", model, tmp_path)
        found, expected = (one.caption(pixels, max_new_tokens=4)[0][0] for one in (network, model))
        assert found.attention.shape == expected.attention.shape
        torch.testing.assert_close(found.attention, expected.attention, atol=1e-5, rtol=0)

    def test_hard_attention_has_no_graphs(self):
        assert build_graphs(TASKS["captioning"], show_attend_tell_model(attention_type="hard").config) == {}


class TestCharacters:
    @pytest.mark.parametrize("options", [{}, {"input_encoding": "one_hot"}, {"num_hidden_layers": 1}], **NAMES)
    @pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("int8", 0.2)])
    def test_steps_are_the_models(self, options, precision, tolerance, tmp_path):
        model = char_rnn_model(**options)
        step = compiled("char-generation", model, tmp_path, precision).fast_step()
        state = exact = model.initial_state(1)
        for token in (3, 5, 1, 8, 8):
            logits, state = step(token, state)
            expected, exact = model.exact_step(token, exact)
            np.testing.assert_allclose(logits, expected, atol=tolerance)

    @pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("int8", 0.2)])
    def test_a_prompt_is_read_as_the_model_steps_through_it(self, precision, tolerance, tmp_path):
        model, text = char_rnn_model(), (3, 5, 1, 8, 8, 2, 6)
        logits, state = compiled("char-generation", model, tmp_path, precision).read(text)
        exact = model.empty_state(1)
        for token in (model.config.bos_token_id, *text):
            expected, exact = model.exact_step(token, exact)
        np.testing.assert_allclose(logits, expected, atol=tolerance)
        packed = state.packed if isinstance(state, PackedState) else pack(state)
        np.testing.assert_allclose(packed, pack(exact), atol=tolerance)

    @pytest.mark.parametrize("options", [{"cell_type": "gru"}, {"layer_norm": True}], **NAMES)
    def test_other_layers_have_no_graphs(self, options):
        assert build_graphs(TASKS["char-generation"], char_rnn_model(**options).config) == {}

    def test_a_step_of_another_version_is_refused(self, tmp_path):
        model = char_rnn_model()
        graph = Graph("of before")
        graph.output(graph.op("Identity", graph.input("token", np.int64, (1,))), "logits", np.int64, (1,))
        write_graphs(tmp_path, {"step-float32.onnx": graph})
        with pytest.raises(ValueError, match="no inputs state: it is of another version"):
            model.compile_for_cpu(tmp_path, "float32")


class TestSpeech:
    @pytest.mark.parametrize("options", [one for one in ctc.VARIANTS if one.get("bidirectional", True)], **NAMES)
    @pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("int8", 0.4)])
    def test_logits_are_the_models(self, options, precision, tolerance, tmp_path):
        model = blstm_ctc_model(**options)
        features, mask = ctc.batch(9, 4, 13)
        found = compiled("ctc-transcription", model, tmp_path, precision)(features, mask).logits
        expected = model(features, mask).logits
        steps = model.front_end.output_lengths(mask.sum(dim=1))
        for ours, theirs, number in zip(found, expected, steps.tolist(), strict=True):
            torch.testing.assert_close(ours[:number], theirs[:number], atol=tolerance, rtol=0)

    def test_what_is_rounded_has_an_exact_self(self, tmp_path):
        features, mask = ctc.batch(9, 4, 13)
        model = blstm_ctc_model(bidirectional=True)
        exact = compiled("ctc-transcription", model, tmp_path, "float32")
        rounded = compiled("ctc-transcription", model, tmp_path, "int8")
        assert exact.exact is exact
        assert torch.equal(rounded.exact(features, mask).logits, exact(features, mask).logits)
        assert not torch.equal(rounded(features, mask).logits, exact(features, mask).logits)

    def test_reading_forwards_alone_has_no_graphs(self):
        assert build_graphs(TASKS["ctc-transcription"], blstm_ctc_model(bidirectional=False).config) == {}


class TestMemory:
    @pytest.mark.parametrize("options", memory.VARIANTS, **NAMES)
    @pytest.mark.parametrize("num_sentences", [0, 2, 5])
    def test_answers_are_the_models(self, options, num_sentences, tmp_path):
        model = memn2n_model(torch.float32, **options)
        network = compiled("memory-qa", model, tmp_path)
        stories = torch.tensor([memory.STORY[:num_sentences] + [[0] * 4] * (5 - num_sentences), memory.STORY])
        stories[0] = stories[0].roll(5 - num_sentences, 0)
        questions = torch.tensor([memory.QUESTION, [4, 1, 0]])
        found, expected = network(stories, questions), model(stories, questions)
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.attention, expected.attention, atol=1e-6, rtol=1e-5)


class TestCandidates:
    @pytest.mark.parametrize("size", [7, 97, 128, 2540, 4000])
    @pytest.mark.parametrize("count", [1, 5, 7])
    @pytest.mark.parametrize("width", [1, 3])
    def test_they_are_the_best_of_all_rows_in_their_order(self, size, count, width):
        generator = np.random.default_rng(0)
        logits = generator.normal(size=(2 * width, size)).astype(np.float32)
        scores = generator.normal(size=(2, width)).astype(np.float32)
        forbidden = np.zeros((1, size), np.float32)
        forbidden[0, logits[0].argmax()] = -np.inf
        totals, log_probabilities, token_ids, parents = self.candidates(size, logits, scores, forbidden, count)
        expected = torch.from_numpy(logits).log_softmax(dim=1) + torch.from_numpy(forbidden)
        expected = (expected.view(2, width, size) + torch.from_numpy(scores)[:, :, None]).flatten(1)
        values, places = expected.topk(count, dim=1)
        np.testing.assert_allclose(totals, values, atol=1e-5)
        assert token_ids.tolist() == (places % size).tolist() and parents.tolist() == (places // size).tolist()
        np.testing.assert_allclose(log_probabilities, totals - np.take_along_axis(scores, parents, 1), atol=1e-5)

    def test_all_can_be_asked_for_and_all_but_one_be_forbidden(self):
        logits, nothing = (
            np.random.default_rng(0).normal(size=(2, 256)).astype(np.float32),
            np.zeros((2, 1), np.float32),
        )
        _, _, token_ids, _ = self.candidates(256, logits, nothing, np.zeros((1, 256), np.float32), 300)
        assert [sorted(row) for row in token_ids.tolist()] == [list(range(256))] * 2
        forced = np.full((2, 256), -np.inf, np.float32)
        forced[0, 200] = forced[1, 3] = 0
        totals, _, token_ids, _ = self.candidates(256, logits, nothing, forced, 4)
        assert token_ids[:, 0].tolist() == [200, 3] and np.isneginf(totals[:, 1:]).all()

    def candidates(self, size, logits, scores, forbidden, count):
        """Ask a step that has no state, and sees the logits as its attention."""
        graph = Graph("test")
        for name in ("tokens", "rows"):
            graph.input(name, np.int64, ("batch", "width"))
        values = graph.op("Identity", graph.input("logits", np.float32, ("batch", "width", size)))
        add_candidates(graph, values, size)
        graph.output(graph.op("Identity", values), "attention", np.float32, ("batch", "width", size))
        session = OnnxSession(graph.serialize(), graph.weights, {})
        session.check_inputs(STEP_INPUTS)
        stepper = OnnxStepper(session, {"logits": logits.reshape(*scores.shape, size)}, {}, size)
        *found, attention = stepper.advance(np.zeros(len(logits), np.int64), None, scores, count, forbidden)
        assert np.array_equal(attention, logits)
        return found

    def test_a_step_of_another_version_is_refused(self, tmp_path):
        model = attention_nmt_model()
        graphs_of = build_graphs(TASKS["attention-translation"], model.config)
        write_graphs(tmp_path, graphs_of | {"step-float32.onnx": graphs_of["encoder.onnx"]})
        with pytest.raises(
            ValueError,
            match="no inputs blocks, count, first, forbidden, rows, scores, tokens: it is of another version",
        ):
            model.compile_for_cpu(tmp_path, "float32")


class TestChoice:
    def test_it_is_chosen_where_there_are_graphs(self, tiny_folders):
        folder = tiny_folders["attention-translation"]
        assert (
            type(pipeline("attention-translation", model=str(folder), device="cpu").network).__name__
            == "OnnxAttentionNmt"
        )
        plain = pipeline("attention-translation", model=str(folder), device="cpu", runtime="torch")
        assert plain.network is plain.model

    @pytest.mark.parametrize("task", TASKS, ids=str)
    @pytest.mark.parametrize("runtime", ["torch", "onnx", "onnx-float32"])
    def test_every_family_runs_on_each(self, task, runtime, tiny_folders):
        pipe = pipeline(task, model=str(tiny_folders[task]), device="cpu", runtime=runtime)
        assert pipe(pipe.example_input)
        assert (pipe.network is pipe.model) == (runtime == "torch")

    @pytest.mark.parametrize(("runtime", "is_torch"), [("auto", False), ("torch", True), ("onnx-float32", False)])
    def test_an_operator_chooses_for_a_service(self, runtime, is_torch, tiny_folders):
        host = ModelHost(Settings(runtime=runtime))
        host.load("tiny", tiny_folders["memory-qa"], "memory-qa")
        loaded = host._of("tiny")
        assert (loaded.network is loaded.model) == is_torch

    def test_another_name_is_refused(self, tiny_folders):
        with pytest.raises(ValueError, match="runtime must be one of auto, torch, onnx, onnx-float32; got 'fast'"):
            pipeline("memory-qa", model=str(tiny_folders["memory-qa"]), runtime="fast")

    def test_without_graphs_pytorch_computes(self, tiny_folders, tmp_path, monkeypatch):
        folder = _copy(tiny_folders["memory-qa"], tmp_path)
        for file in (folder / "onnx").iterdir():
            file.unlink()
        assert type(pipeline("memory-qa", model=str(folder), device="cpu").network).__name__.startswith("Memn2n")
        with pytest.raises(ValueError, match="needs the package onnxruntime, and a checkpoint with graphs"):
            pipeline("memory-qa", model=str(folder), device="cpu", runtime="onnx")

    def test_without_onnx_runtime_pytorch_computes(self, tiny_folders, monkeypatch):
        monkeypatch.setattr(onnx_runtime, "onnxruntime", None)
        pipe = pipeline("memory-qa", model=str(tiny_folders["memory-qa"]), device="cpu")
        assert pipe.network is pipe.model

    @pytest.mark.parametrize("damage", ["cut", "other weights"])
    def test_damaged_graphs_are_told_and_left_aside(self, damage, tiny_folders, tmp_path, caplog):
        folder = _copy(tiny_folders["memory-qa"], tmp_path)
        graph, manifest = folder / "onnx" / "network.onnx", folder / "onnx" / "weights.json"
        if damage == "cut":
            graph.write_bytes(graph.read_bytes()[:-40])
        else:
            manifest.write_text(json.dumps({"network.onnx": ["words"]}))
        pipe = pipeline("memory-qa", model=str(folder), device="cpu")
        assert pipe.network is pipe.model and "cannot be used" in caplog.text
        with pytest.raises(ValueError, match="ONNX Runtime does not take this graph"):
            pipeline("memory-qa", model=str(folder), device="cpu", runtime="onnx")

    def test_other_numbers_are_pytorchs(self, tiny_folders):
        folder = str(tiny_folders["memory-qa"])
        pipe = pipeline("memory-qa", model=folder, device="cpu", dtype=torch.float64)
        assert pipe.network is pipe.model
        with pytest.raises(ValueError, match=r"is for float32 on a CPU; got torch\.float64"):
            pipeline("memory-qa", model=folder, device="cpu", dtype=torch.float64, runtime="onnx")


def test_graphs_hold_no_weights_and_name_no_file(tmp_path):
    graphs_of = build_graphs(TASKS["attention-translation"], attention_nmt_model().config)
    assert max(len(graph.serialize()) for graph in graphs_of.values()) < 8000
    weighty = attention_nmt_model(decoder_hidden_size=70).config
    assert len(build_graphs(TASKS["attention-translation"], weighty)["step-int8.onnx"].serialize()) < 8000


def test_graphs_are_written_into_checkpoints_that_have_none(tiny_folders, tmp_path, capsys):
    folder = _copy(tiny_folders["char-generation"], tmp_path)
    before = {file.name: file.read_bytes() for file in (folder / "onnx").iterdir()}
    for file in (folder / "onnx").iterdir():
        file.unlink()
    graphs.main([str(folder)])
    assert {file.name: file.read_bytes() for file in (folder / "onnx").iterdir()} == before
    assert "step-int8.onnx" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for task in TASKS.values() for name in task.checkpoints])
def test_shipped_graphs_are_what_the_code_writes(name):
    folder = hub.CHECKPOINTS / name
    task = hub.task_of(folder)
    built = build_graphs(task, hub.model_code(task.configuration).from_pretrained(folder))
    assert json.loads((folder / "onnx" / "weights.json").read_text()) == {
        file: graph.weights for file, graph in built.items()
    }
    for file, graph in built.items():
        if file != "encoder.onnx" or task.name != "captioning":  # torch's tracer names nodes as it likes
            assert (folder / "onnx" / file).read_bytes() == graph.serialize(), file


def _copy(folder, destination):
    return shutil.copytree(folder, destination / folder.name)
