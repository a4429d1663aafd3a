"""The OpenAPI description is true: whatever is asked, the answer is one that it names, in the shape that it gives."""

from pathlib import Path

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from api.app import create_app
from api.settings import Settings
from api.state import load

DEMO = Path(__file__).parents[1] / "data" / "demo"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
DESCRIBED = create_app(Settings(study=DEMO)).openapi()


@pytest.fixture(scope="module")
def client():
    chosen = Settings(study=DEMO)
    with TestClient(create_app(chosen, load(chosen)), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as one:
        yield one


@pytest.mark.parametrize("path", [path for path, ways in DESCRIBED["paths"].items() if "get" in ways])
@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_answers_are_as_described(client, path, mode):
    operation = schemathesis.openapi.from_dict(DESCRIBED)[path]["GET"]
    if mode is GenerationMode.NEGATIVE and not list(operation.iter_parameters()):
        pytest.skip("nothing to ask wrongly")

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        answer = client.request(case.method, case.formatted_path, params=case.query, follow_redirects=False)
        case.validate_response(answer, checks=CHECKS)

    ask()
