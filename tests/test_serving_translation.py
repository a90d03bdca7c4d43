"""Translation of several directions over HTTP: languages, other words, and what openapi.json says of the options."""

import pytest
from huggingface_hub import InferenceClient

from pipelines import pipeline, pipeline_class
from serving.checkpoints import ServedCheckpoints
from serving.documentation import PREDICT
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS

from .several import ENGLISH, GERMAN, build_several

TASK = TASKS["attention-translation"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_several(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def served(folder):
    return ServedCheckpoints([ServedCheckpoint(folder, TASK)])


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline(TASK.name, model=str(folder), device="cpu")


def test_the_hubs_client_names_languages_or_none(address, pipe):
    client = InferenceClient(base_url=f"{address}/models/several")
    for text, languages in ((GERMAN[0], {}), (ENGLISH[0], {}), (ENGLISH[0], {"src_lang": "en", "tgt_lang": "fr"})):
        options = {"return_evidence": True, "num_beams": 2}
        answer = client.translation(text, **languages, generate_parameters=options)
        expected = pipe(text, **languages, **options)[0]
        assert (answer.translation_text, answer["evidence"]) == (expected["translation_text"], expected["evidence"])
    assert answer["evidence"]["direction"] == "en-fr"
    with pytest.raises(ValueError, match="tgt_lang"):  # the client's own rule
        client.translation(ENGLISH[0], src_lang="en")
    only = client.translation(ENGLISH[0], generate_parameters={"tgt_lang": "fr", "return_evidence": True})
    assert only["evidence"]["direction"] == "en-fr"


def test_a_direction_that_there_is_not_is_a_mistake_of_the_callers(client):
    for parameters in ({"src_lang": "de", "tgt_lang": "fr"}, {"tgt_lang": "fr"}):
        response = client.post("/models/several", json={"inputs": GERMAN[1], "parameters": parameters})
        assert response.status_code == 422 and "translates en-de, en-fr, de-en" in response.json()["error"]


def test_alternatives_are_answered(client, pipe):
    parameters = {"alternatives": True, "target_prefix": "Ein", "num_return_sequences": 3, "return_evidence": True}
    response = client.post("/models/several", json={"inputs": ENGLISH[0], "parameters": parameters})
    assert response.json() == pipe(ENGLISH[0], **parameters)
    parameters["max_new_tokens"] = 1
    refused = client.post("/models/several", json={"inputs": ENGLISH[0], "parameters": parameters}).json()
    assert "max_new_tokens must be more than" in refused["error"] and refused["code"] == "invalid_input"


def test_the_page_asks_a_served_checkpoint_for_exact_pieces(served, client, pipe):
    pieces = pipe(ENGLISH[0], return_evidence=True)[0]["evidence"]["target_tokens"]
    found = served.inspect("several", ENGLISH[0], target_tokens=pieces, position=1, num=2)
    assert found == {"alternatives": pipe.alternatives(ENGLISH[0], pieces, 1, num=2)}


def test_every_option_is_described(client):
    (model,) = client.get("/models").json()
    assert "alternatives" in model["parameters"]
    schema = client.get("/openapi.json").json()["paths"]["/models/{checkpoint}"]["post"]["requestBody"]
    described = schema["content"]["application/json"]["schema"]["properties"]["parameters"]["anyOf"]
    by_task = {one["title"]: one["properties"] for one in described}
    for task in TASKS.values():
        options = {option.name: option for option in pipeline_class(task).options}
        assert by_task[task.hub_pipeline_tag].keys() == options.keys()
        for name, schema in by_task[task.hub_pipeline_tag].items():
            assert schema["description"].startswith(options[name].description)
    assert by_task["translation"]["num_beams"] | {"description": ""} == {
        "type": "integer",
        "minimum": 1,
        "maximum": 16,
        "description": "",
    }
    assert by_task["translation"]["alternatives"]["type"] == "boolean"
    assert PREDICT["responses"][200]["content"]["application/json"]["examples"]["translation with evidence"]
