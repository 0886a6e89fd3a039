"""The REST API, against what TensorFlow Serving's documentation shows."""

import gzip
import json

import pytest

TEXT = ["abc", "hä"]


def test_rows_with_several_outputs_are_objects(running):
    status, answer = running.rest({"instances": TEXT})
    assert status == 200
    assert answer == {
        "predictions": [
            {"upper": "ABC", "score": 3.0, "pair": ["abc", "abc"]},
            {"upper": "HÄ", "score": 2.0, "pair": ["hä", "hä"]},
        ]
    }
    # Named rows of one input are as good.
    named = {"instances": [{"text": text} for text in TEXT]}
    assert running.rest(named) == (status, answer)


def test_columns_with_several_outputs_are_one_object(running):
    expected = {
        "outputs": {
            "upper": ["ABC", "HÄ"],
            "score": [3.0, 2.0],
            "pair": [["abc", "abc"], ["hä", "hä"]],
        }
    }
    assert running.rest({"inputs": TEXT}) == (200, expected)
    assert running.rest({"inputs": {"text": TEXT}}) == (200, expected)


def test_one_output_stands_alone(running):
    rows = [{"text": "a", "text_pair": "b"}, {"text": "c", "text_pair": "d"}]
    body = {"signature_name": "pair", "instances": rows}
    assert running.rest(body) == (200, {"predictions": ["a+b", "c+d"]})
    body = {"signature_name": "pair", "inputs": {"text": ["a"], "text_pair": ["b"]}}
    assert running.rest(body) == (200, {"outputs": ["a+b"]})


def test_bytes_go_in_and_out_as_base64(running):
    body = {"instances": [{"b64": "YWJj"}, "x"]}
    status, answer = running.rest(body)
    assert status == 200
    assert [row["upper"] for row in answer["predictions"]] == ["ABC", "X"]
    status, answer = running.rest({"signature_name": "scalar", "inputs": 0.2})
    assert status == 200
    # The output's name ends in _bytes; the float has its shortest digits.
    assert answer == {"outputs": {"y": 0.2, "bits_bytes": {"b64": "QUE="}}}


def test_numbers_beyond_json(running):
    body = b'{"signature_name": "scalar", "inputs": -Infinity}'
    status, answer = running.rest(body)
    assert status == 200 and answer["outputs"]["y"] == float("-inf")


def test_version_in_the_url(running):
    body = {"instances": ["a"]}
    assert running.rest(body, "/versions/1:predict")[0] == 200
    status, answer = running.rest(body, "/versions/7:predict")
    assert status == 404
    assert answer == {"error": "Servable not found for request: Specific(toy, 7)"}
    status, answer = running.http("/v1/models/half:predict", body)
    assert status == 404
    assert answer == {"error": "Servable not found for request: Latest(half)"}
    status, answer = running.rest(body, "/labels/stable:predict")
    assert status == 400
    assert answer == {"error": "Unrecognized servable version label: stable"}


def test_status_of_versions(running):
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert running.http("/v1/models/toy") == (200, expected)
    assert running.http("/v1/models/toy/versions/1") == (200, expected)
    status, answer = running.http("/v1/models/toy/versions/7")
    assert status == 404
    assert answer == {"error": "Could not find version 7 of model toy"}
    status, answer = running.http("/v1/models/half")
    assert status == 404
    assert answer == {"error": "Could not find any versions of model half"}


def test_metadata(running):
    status, answer = running.http("/v1/models/toy/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "toy",
        "signature_name": "",
        "version": "1",
    }
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) >= {"serving_default", "text", "pair", "ids"}
    assert signatures["ids"]["inputs"]["ids"] == {
        "dtype": "DT_INT32",
        "name": "ids_ids:0",
        "tensor_shape": {
            "dim": [{"name": "", "size": "-1"}, {"name": "", "size": "-1"}],
            "unknown_rank": False,
        },
    }
    assert signatures["ids"]["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/toy:predict", 400, "Malformed request"),
        ("POST", "/v1/models/toy:guess", 400, "Malformed request"),
        ("DELETE", "/v1/models/toy", 400, "Malformed request: DELETE"),
        ("POST", "/v1/models/toy:classify", 501, "does not implement classify"),
        ("POST", "/v1/models/toy:regress", 501, "does not implement regress"),
        ("GET", f"/v1/models/toy/versions/{2**63}", 400, "to numeric"),
        ("GET", f"/v1/models/toy/versions/{'9' * 5000}", 400, "to numeric"),
        ("GET", f"/v1/models/toy/versions/{2**63 - 1}", 404, "Could not find version"),
        ("GET", "/elsewhere", 404, "/elsewhere"),
    ],
)
def test_other_urls(running, method, path, status, message):
    body = b"{}" if method == "POST" else None
    received, answer = running.http(path, body, method=method)
    assert received == status and message in answer["error"]


def test_urls_ignore_case_and_unquote_names(running):
    assert running.http("/V1/Models/t%6Fy")[0] == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b"{", "JSON Parse error"),
        (b"\xff", "JSON Parse error"),
        (b"[" * 100_000, "JSON Parse error"),
        ([1], "Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": ["a"], "inputs": ["a"]}, "only one of"),
        ({"instances": "a"}, "to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [1]}, "is not of expected type: string"),
        ({"instances": [None]}, "Type: Null"),
        ({"instances": ["a", {"text": "a"}]}, "got object at item 1"),
        ({"instances": [{"text": "a"}, "a"]}, "Expecting object but got list"),
        ({"instances": [{"txt": "a"}]}, "keys must be equal to: text"),
        ({"instances": ["a", ["b"]]}, "Failed to process element: 1"),
        ({"instances": [["a"]]}, "must be string [any]. Received: string [1, 1]"),
        ({"instances": [{"b64": "?"}]}, "Unable to base64 decode"),
        (b'{"instances": ["\\ud800"]}', "surrogates"),
        ({"signature_name": 3}, "'signature_name' key must be a string value"),
        ({"signature_name": "no"}, 'Serving signature name: "no" not found'),
        (b'{"signature_name": "\\ud800"}', 'signature name: "\\ud800" not found'),
        ({"signature_name": "pair", "instances": ["a"]}, "expecting list of objects"),
        ({"signature_name": "pair", "inputs": ["a"]}, "expecting an object"),
        ({"signature_name": "pair", "inputs": {"text": []}}, "named input: text_pair"),
        ({"signature_name": "ids", "instances": [[1.5]]}, "expected type: int32"),
        ({"signature_name": "ids", "instances": [[True]]}, "Type: True"),
        ({"signature_name": "ids", "instances": [[2**31]]}, "expected type: int32"),
        ({"signature_name": "ids", "instances": [[1], [1, 2]]}, "shape [1] but got"),
        ({"signature_name": "ids", "inputs": [[1], [1, 2]]}, "unexpected size: 2"),
        ({"signature_name": "ids", "inputs": [[1], 2]}, "found at incorrect level"),
        ({"signature_name": "ids", "inputs": [[100]]}, "ids must be below 100"),
        ({"signature_name": "scalar", "inputs": 2**24}, "without loss of precision"),
        ({"signature_name": "scalar", "inputs": 1e39}, "without loss of precision"),
        ({"signature_name": "scalar", "instances": [1.0]}, "float32 []"),
    ],
)
def test_bad_requests_are_refused(running, body, message):
    status, answer = running.rest(body)
    assert status == 400 and message in answer["error"]
    assert list(answer) == ["error"]


def test_deeply_nested_list(running):
    body = b'{"instances": [%s"a"%s]}' % (b"[" * 100, b"]" * 100)
    status, answer = running.rest(body)
    assert status == 400 and "nested 32 deep at most" in answer["error"]


def test_gzip_body(running):
    packed = gzip.compress(json.dumps({"instances": ["abc"]}).encode())
    headers = {"Content-Encoding": "gzip"}
    status, answer = running.http("/v1/models/toy:predict", packed, headers)
    assert status == 200 and answer["predictions"][0]["upper"] == "ABC"
    status, answer = running.http("/v1/models/toy:predict", packed[:-9], headers)
    assert status == 400 and "it ends early" in answer["error"]
    status, answer = running.http("/v1/models/toy:predict", b"plain", headers)
    assert status == 400 and "not gzip" in answer["error"]


def test_health_and_metrics(running):
    assert running.http("/healthz") == (200, {"status": "ok", "version": 1})
    running.rest({"instances": ["a"]})
    running.rest({"instances": [1]})
    _, page = running.http("/metrics")
    assert running.http("/monitoring/prometheus/metrics")[0] == 200
    count = ':tensorflow:serving:request_count{model_name="toy",status='
    assert f'{count}"OK"}}' in page and f'{count}"INVALID_ARGUMENT"}}' in page
    latency = ':tensorflow:serving:request_latency_count{API="Predict",entrypoint='
    assert f'{latency}"REST",model_name="toy"}}' in page
    assert running.metric("adapters_tf_serve_version") == 1
    assert running.metric("adapters_tf_serve_pending_requests") == 0
