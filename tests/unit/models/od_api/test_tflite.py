"""TFLite files that are no detector of the Object Detection API, or are damaged: one line each."""

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from data.errors import UserError
from models.od_api import tflite


def _content(shape=(1, 64, 32, 3)) -> bytes:
    """Makes a file with one convolution and an input of a shape."""

    def tensor(name: str, shape, buffer: int) -> schema.TensorT:
        made = schema.TensorT()
        made.name, made.shape, made.buffer, made.type = name, list(shape), buffer, schema.TensorType.FLOAT32
        return made

    kernel = schema.BufferT()
    kernel.data = np.arange(2 * 3 * 3 * 3, dtype=np.float32).view(np.uint8)
    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    graph.tensors = [tensor("image", shape, 0), tensor("k", (2, 3, 3, 3), 1), tensor("a/Conv/Relu6", shape, 0)]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT(), kernel]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def test_a_convolution_and_the_size_of_the_images_are_read(tmp_path) -> None:
    (tmp_path / "a.tflite").write_bytes(_content())
    layers, size = tflite.read(tmp_path / "a.tflite")
    assert size == (64, 32)
    assert {scope: layer.kernel.shape for scope, layer in layers.items()} == {"a/Conv": (3, 3, 3, 2)}


@pytest.mark.parametrize("shape", [(7,), (1, 7), ()])
def test_an_input_that_is_no_image_is_one_line(tmp_path, shape) -> None:
    (tmp_path / "a.tflite").write_bytes(_content(shape))
    with pytest.raises(UserError, match="cannot be read as a TFLite file of a detector .* another kind of network"):
        tflite.read(tmp_path / "a.tflite")


def test_a_file_that_is_cut_off_or_has_wrong_bytes_is_one_line(tmp_path) -> None:
    content, draws = _content(), np.random.default_rng(0)
    messages = []
    for end in draws.integers(8, len(content), 100):
        changed = np.frombuffer(content, np.uint8).copy()
        changed[draws.integers(8, len(content), 4)] = draws.integers(0, 256, 4)
        for damaged in (content[:end], changed.tobytes()):
            (tmp_path / "a.tflite").write_bytes(damaged)
            try:
                tflite.read(tmp_path / "a.tflite")
            except UserError as error:
                messages.append(str(error))
    assert len(messages) > 100
    assert not [message for message in messages if "\n" in message]


def test_a_damaged_file_that_is_run_is_one_line(tmp_path) -> None:
    (tmp_path / "a.tflite").write_bytes(_content()[:100])
    with pytest.raises(UserError, match="cannot be run, since it is damaged: [^\n]*$"):
        tflite.outputs(tmp_path / "a.tflite", np.zeros((1, 64, 32, 3), np.float32))
