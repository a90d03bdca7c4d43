"""Products of rounded numbers on ONNX Runtime against the products themselves; on processors of either kind."""

import base64

import numpy as np
import pytest

from models import onnx_runtime
from models.onnx_runtime import (
    HIGHEST,
    HIGHEST_OF_SEVEN,
    PROBE,
    OnnxSession,
    has_exact_bytes,
    has_exact_pairs,
    value_of,
)
from training.onnx_graph import INPUT_SCALE, PART_SCALE, PARTS_RATIO, Graph, kernel_probe


@pytest.fixture(params=["bytes", "pairs", "nothing"])
def exact(request, monkeypatch):
    """What a processor multiplies exactly: whole bytes; those beside small ones; seven bits alone."""
    if request.param == "bytes" and not has_exact_bytes():
        pytest.skip("this processor's sums are of sixteen bits")
    monkeypatch.setattr(onnx_runtime, "has_exact_bytes", lambda: request.param == "bytes")
    monkeypatch.setattr(onnx_runtime, "has_exact_pairs", lambda: request.param == "pairs")
    return request.param


def multiply(method, inputs, weights):
    """Return inputs times `layer`, as this method of a graph multiplies them."""
    (num_inputs, num_outputs), has_bias = weights["layer.matrix"].shape, "layer.bias" in weights
    graph = Graph("test", quantized=True)
    values = graph.input("values", np.float32, ("rows", num_inputs))
    product = getattr(graph, method)(values, "layer", num_inputs, num_outputs, bias=has_bias)
    graph.output(product, "product", np.float32, ("rows", num_outputs))
    return OnnxSession(graph.serialize(), graph.weights, weights).run({"values": inputs.astype(np.float32)})[0]


def layer(num_inputs, num_outputs, rows):
    generator = np.random.default_rng(0)
    matrix, bias = generator.normal(size=(num_inputs, num_outputs)), generator.normal(size=num_outputs)
    inputs = generator.uniform(-1, 1, (rows, num_inputs))
    return inputs, {"layer.matrix": matrix, "layer.bias": bias}


def rounded(matrix, exact="bytes"):
    """Round each column by the definition."""
    steps = np.abs(matrix).max(axis=0) / (64 if exact == "nothing" else 127)
    if exact == "pairs":
        for column, weights in enumerate(matrix.T):
            for one, other in zip(weights[::2], weights[1::2], strict=False):
                if one * other > 0:
                    steps[column] = max(steps[column], abs(one + other) / 127)
    return np.rint(matrix / steps) * steps


class TestEightBits:
    @pytest.mark.parametrize(("method", "rows"), [("linear", 1), ("linear", 3), ("row_linear", 1)])
    @pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])
    def test_products_are_those_of_rounded_numbers(self, method, rows, has_bias, exact):
        inputs, weights = layer(40, 7, rows)
        bias = weights["layer.bias"] if has_bias else 0 * weights.pop("layer.bias")
        expected = (np.rint(inputs / INPUT_SCALE) * INPUT_SCALE) @ rounded(weights["layer.matrix"], exact)
        found = multiply(method, inputs, weights)
        np.testing.assert_allclose(found, expected + bias, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("method", ["linear", "careful_linear", "row_linear"])
    @pytest.mark.parametrize("rows", [1, 3])
    def test_the_largest_numbers_do_not_overflow(self, method, rows, exact):
        """Where sixteen bits hold two products, they hold those of the largest weights and inputs."""
        for neighbours in ([1, 1], [1, 0], [-1, 1]):
            matrix = np.tile(np.array(neighbours)[:, None], (256, 32))
            matrix[:, ::2] *= -1
            for sign in (1, -1):
                found = multiply(method, np.full((rows, 512), sign), {"layer.matrix": matrix})
                np.testing.assert_allclose(found, np.tile(sign * matrix.sum(axis=0), (rows, 1)), rtol=0.01)

    @pytest.mark.parametrize("rows", [1, 40, 41])
    def test_sums_of_neighbours_stay_below_sixteen_bits(self, rows, monkeypatch):
        monkeypatch.setattr(onnx_runtime, "has_exact_bytes", lambda: False)
        weights = np.random.default_rng(0).normal(size=(2, rows, 500)).astype(np.float32)
        numbers = value_of("layer.matrix.int8", {"layer.matrix": weights}).astype(np.int64)
        assert numbers.max() > HIGHEST_OF_SEVEN
        numbers = np.pad(numbers, ((0, 0), (0, rows % 2), (0, 0)))
        for part in (numbers.clip(min=0), -numbers.clip(max=0)):
            assert 255 * (part[:, ::2] + part[:, 1::2]).max() < 2**15

    def test_a_column_of_zeros_is_zeros(self, exact):
        weights = {"layer.matrix": np.array([[0.0, 1.0], [0.0, -2.0]])}
        half, whole = (32, 64) if exact == "nothing" else (64, 127)
        assert value_of("layer.matrix.int8", weights).tolist() == [[0, half], [0, -whole]]

    def test_a_table_has_one_step(self):
        table = np.array([[-2.0, 0.5], [1.0, 0.0]])
        step, numbers = (value_of(f"table.{part}", {"table": lambda: table}) for part in ("step", "int16"))
        assert step.shape == () and numbers.dtype == np.int16 and numbers.tolist() == [[-32767, 8192], [16384, 0]]
        np.testing.assert_allclose(numbers * step, table, atol=step / 2)

    def test_a_part_of_another_version_is_refused(self):
        with pytest.raises(ValueError, match=r"layer\.matrix\.nibbles.*training\.graphs"):
            value_of("layer.matrix.nibbles", layer(8, 4, rows=1)[1])


class TestTwoParts:
    def test_inputs_are_not_rounded_by_more_than_their_second_part(self, exact):
        inputs, weights = layer(40, 7, rows=3)
        matrix = rounded(weights["layer.matrix"])
        bound = np.abs(matrix).sum(axis=0) * PART_SCALE / PARTS_RATIO / 2
        found = multiply("careful_linear", inputs, weights) - weights["layer.bias"]
        assert (np.abs(found - inputs @ matrix) <= bound + 1e-5).all()

    def test_a_row_is_the_same_beside_others(self, exact):
        inputs, weights = layer(64, 48, rows=5)
        together = multiply("careful_linear", inputs, weights)
        alone = [multiply("careful_linear", row[None], weights)[0] for row in inputs]
        np.testing.assert_array_equal(together, alone)

    def test_several_matrices_multiply_what_is_theirs(self, exact):
        layers = {name: layer(40, 7, rows=6) for name in ("one", "other")}
        inputs = np.stack([layers["one"][0][:3], layers["other"][0][3:]])
        weights = {f"{name}.matrix": (1 + len(name)) * weights["layer.matrix"] for name, (_, weights) in layers.items()}
        graph = Graph("test", quantized=True)
        values = graph.input("values", np.float32, (2, "rows", 40))
        graph.output(graph.careful_linears(values, list(layers), 40, 7), "products", np.float32, (2, "rows", 7))
        session = OnnxSession(graph.serialize(), graph.weights, weights)
        (found,) = session.run({"values": inputs.astype(np.float32)})
        for products, rows, name in zip(found, inputs, layers, strict=True):
            alone = multiply("careful_linear", rows, {"layer.matrix": weights[f"{name}.matrix"]})
            np.testing.assert_array_equal(products, alone)

    def test_no_sum_of_two_products_is_too_large_for_sixteen_bits(self):
        for value in (-1, 1):
            number = round(value / PART_SCALE) + 64
            assert 0 <= number <= HIGHEST and 2 * number * HIGHEST < 2**15


class TestProcessor:
    def test_the_probe_is_what_the_code_writes(self):
        assert kernel_probe().serialize() == PROBE, base64.b64encode(kernel_probe().serialize()).decode()

    @pytest.mark.parametrize("neighbours_apart", [1, 2])
    def test_sums_that_saturate_are_told(self, neighbours_apart, monkeypatch):
        """A kernel that adds two products in sixteen bits: neighbours', as processors without VNNI do, or others'."""

        class Saturating(OnnxSession):
            def __init__(self, graph, names, weights):
                self.weights = weights["weights"].astype(np.int32)

            def run(self, inputs):
                products = inputs["values"][:, :, None].astype(np.int32) * self.weights
                pairs = products.reshape(len(products), -1, 2, neighbours_apart, products.shape[2]).sum(axis=2)
                return [np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=(1, 2))]

        monkeypatch.setattr(onnx_runtime, "OnnxSession", Saturating)
        assert not has_exact_bytes.__wrapped__()
        assert has_exact_pairs.__wrapped__() == (neighbours_apart == 1)

    def test_exact_bytes_are_exact_pairs(self):
        assert has_exact_pairs() or not has_exact_bytes()
