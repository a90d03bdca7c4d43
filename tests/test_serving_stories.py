"""Questions about stories over HTTP: by the Hub's own client, and what is refused."""

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

pytestmark = pytest.mark.parametrize("tiny_checkpoint", ["memory-qa"], indirect=True, scope="session")
ITEM = {"context": "Mary went to the kitchen. John moved to the garden.", "question": "Where is Mary?"}


def test_the_hubs_client(address, tiny_checkpoint):
    client, pipe = InferenceClient(base_url=f"{address}/models/tiny"), tiny_checkpoint.pipeline()
    answer = client.question_answering(**ITEM)
    (expected,) = pipe(ITEM)
    assert {"answer": answer.answer, "score": answer.score, "start": answer.start, "end": answer.end} == expected
    many = client.question_answering(**ITEM, top_k=3, max_answer_len=5, align_to_words=True)
    assert [one.answer for one in many] == [result["answer"] for result in pipe(ITEM, top_k=3)]
    with pytest.raises(HfHubHTTPError, match="nearest: kitchen"):
        client.question_answering(question="Where is Mary?", context="Mary went to the kitchenette.")


def test_a_wrong_part_of_a_request_is_named(client):
    for inputs, field in (
        (ITEM | {"context": "Mary flew."}, "inputs.context: The model never saw 'flew'"),
        (ITEM | {"question": "Who flew?"}, "inputs.question: The model never saw 'who', 'flew'"),
        ("Where is Mary?", "inputs: Expected an object with context and question"),
        ([ITEM, {"context": "Mary."}], "inputs[1]: Input 1: Expected the keys"),
    ):
        response = client.post("/models/tiny", json={"inputs": inputs})
        assert response.status_code == 422 and response.json()["error"].startswith(field), response.json()


def test_sentences_can_be_a_list_and_evidence_comes_with_the_answer(client, tiny_checkpoint):
    inputs = ITEM | {"context": ["Mary went to the kitchen.", "John moved to the garden."]}
    response = client.post("/models/tiny", json={"inputs": inputs, "parameters": {"return_evidence": True}})
    assert response.json() == tiny_checkpoint.pipeline()(ITEM, return_evidence=True)[0]
