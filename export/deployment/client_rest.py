"""Asks TensorFlow Serving over REST, with nothing but Python.

python client_rest.py
python client_rest.py --text "A quiet film." --task TASK
"""

import argparse
import json
import urllib.error
import urllib.request
from typing import Any

MODEL_NAME = "adapters"
ROWS = [{"text": "A quiet film.", "text_pair": "", "task": ""}]


def predict(
    server: str,
    model_name: str,
    signature_name: str,
    instances: list[dict[str, Any]],
    timeout: float = 30,
) -> list[Any]:
    """Predictions for `instances`, a list of {input name: value}, one a row."""
    body = {"signature_name": signature_name, "instances": instances}
    request = urllib.request.Request(
        f"{server}/v1/models/{model_name}:predict",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        # The server says in the body what is wrong with the request.
        text = error.read().decode(errors="replace")
        raise SystemExit(f"{error.code} {error.reason}: {text}") from None
    except urllib.error.URLError as error:
        raise SystemExit(f"{server} does not answer: {error.reason}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", default="http://localhost:8501")
    parser.add_argument("--model_name", default=MODEL_NAME)
    parser.add_argument("--text", help="instead of the rows in this file")
    parser.add_argument("--text_pair", default="")
    parser.add_argument("--task", default="")
    args = parser.parse_args()
    rows = ROWS
    if args.text is not None:
        rows = [{"text": args.text, "text_pair": args.text_pair, "task": args.task}]
    answers = predict(args.server, args.model_name, "mixed_text", rows)
    for row, answer in zip(rows, answers, strict=True):
        print(json.dumps(row | answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
