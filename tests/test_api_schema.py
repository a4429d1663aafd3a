"""The OpenAPI description is true: whatever is asked, the answer is one that it names, in the shape that it gives."""

import datetime
import os
import shutil
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
from geo import accounts
from geo.store import Store

DEMO = Path(__file__).parents[1] / "data" / "demo"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
DESCRIBED = create_app(Settings(study=DEMO)).openapi()


OPERATIONS = [(path, method.upper()) for path, methods in DESCRIBED["paths"].items() for method in methods]
CASES = int(os.environ.get("TARMIM_CASES", "6"))  # of each operation, mode and kind of client; 40 make more than 5,000


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A copy: what is asked changes it."""
    folder = shutil.copytree(DEMO, tmp_path_factory.mktemp("schema") / "demo")
    with Store.open(folder) as store:
        accounts.save(store, "admin", "admin", by="test", now=datetime.datetime.now(datetime.UTC))
    return folder


@pytest.fixture(scope="module", params=["everything", "public"])
def client(study, request):
    """Whoever sits at the machine, and the public beyond it."""
    chosen = Settings(study=study, sign_in=request.param == "public", requests_per_minute=1_000_000, sign_ins_per_minute=1_000)
    with TestClient(create_app(chosen, load(chosen)), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as one:
        yield one


def sendable(one):
    """A part of a form as the client takes it: whatever is no text becomes one."""
    if isinstance(one, tuple):
        return tuple(part if part is None or isinstance(part, str | bytes) else str(part) for part in one)
    return one if isinstance(one, str | bytes) else str(one)


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_answers_are_as_described(client, operation, mode):
    path, method = operation
    described = schemathesis.openapi.from_dict(DESCRIBED)[path][method]
    if mode is GenerationMode.NEGATIVE and not list(described.iter_parameters()) and not described.body:
        pytest.skip("nothing to ask wrongly")

    @settings(max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=described.as_strategy(generation_mode=mode))
    def ask(case):
        given = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
        given.pop("cookies", None)
        if isinstance(given.get("data"), str | bytes):
            given["content"] = given.pop("data")
        if isinstance(files := given.get("files"), list | dict):
            given["files"] = [(name, sendable(one)) for name, one in (files.items() if isinstance(files, dict) else files)]
        sent = client.build_request(**given)
        sent.read()
        answer = client.send(sent, follow_redirects=False)
        case.validate_response(answer, checks=CHECKS)

    ask()
