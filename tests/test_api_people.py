"""People, roles and tokens over HTTP: who may ask for what, and how a token comes and goes."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api.app import create_app
from api.people import ALL, COOKIE, CSRF_HEADER, RIGHTS, Known
from api.settings import Settings
from api.state import load
from geo import accounts
from geo.pipeline import assess, open_study, read_city
from geo.run import Run
from geo.store import Store
from tests.conftest import write_town

NOW = datetime.datetime.now(datetime.UTC)
HOST = "tarmim.example"
BASE = f"http://{HOST}"
BODY = {
    "deliver": {"files": {"file": ("a.csv", b"id\n1\n")}, "data": {"layer": "damage"}},
    "sign_in": {"data": {"token": "tarmim_wrong"}},
    "upload_begin": {"headers": {"Upload-Length": "5", "Upload-Metadata": "layer ZGFtYWdl,filename YS5jc3Y="}},
    "upload_append": {"headers": {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}, "content": b""},
    "survey_check": {"json": {}}, "survey_accept": {"json": {}}, "survey_return": {"json": {"reason": "why"}},
    "withdraw_run": {"json": {"reason": "why"}}, "account_save": {"json": {"role": "partner"}},
    "token_make": {"json": {"account": "nobody"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = write_town(tmp_path_factory.mktemp("town"))
    with Store.open(folder) as store:
        for role in accounts.ROLES:
            accounts.save(store, role, role, by="test", now=NOW)
    return folder


@pytest.fixture(scope="module")
def secrets(study) -> dict[str, str]:
    with Store.open(study) as store:
        return {role: token(store, role) for role in accounts.ROLES}


def token(store, account, **wanted):
    given = {"label": "", "by": "test", "now": datetime.datetime.now(datetime.UTC), "lasts": datetime.timedelta(days=1), **wanted}
    return accounts.make_token(store, account, **given)[1]


@pytest.fixture(scope="module")
def held(study):
    return load(Settings(study=study))


@pytest.fixture(scope="module")
def run(study) -> Run:
    opened, scheme = open_study(study)
    made = assess(read_city(opened), scheme)
    with Store.open(study) as store:
        store.add_run(made, NOW - datetime.timedelta(days=1), by="test")
    return made


def guarded(study, **given):
    return Settings(study=study, allowed_hosts=(HOST,), requests_per_minute=100_000, sign_ins_per_minute=1_000, **given)


@pytest.fixture
def client(study, held, monkeypatch):
    monkeypatch.setattr("api.people.KNOWN_S", 0.0)
    monkeypatch.setattr("api.state.LOOK_S", 0.0)
    with TestClient(create_app(guarded(study), held), base_url=BASE, follow_redirects=False) as one:
        yield one


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def every_route():
    """FastAPI keeps included routers as they are or flattens them; both are walked."""
    found = {}

    def walk(some):
        for one in some:
            if isinstance(one, APIRoute):
                found.setdefault(one.name, one)
            elif hasattr(one, "original_router"):
                walk(one.original_router.routes)

    walk(create_app(Settings(study=Path())).router.routes)
    return found


def test_every_route_has_a_row_and_every_row_a_route():
    names = set(every_route())
    assert names - set(RIGHTS) == set()
    assert set(RIGHTS) - names <= {"openapi"}
    assert len(names) > 30


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("name", sorted(set(RIGHTS) - {"openapi"}))
def test_each_role_at_each_route(client, secrets, name, role):
    """Who may not is told so; who may gets past the door, whatever the room then says."""
    route = every_route().get(name)
    if route is None:
        pytest.skip("not a route of this service")
    path = route.path
    for part in ("id", "layer", "sector", "run", "name", "collection", "item"):
        path = path.replace(f"{{{part}}}", "none").replace(f"{{{part}:path}}", "none")
    given = {key: dict(value) if isinstance(value, dict) else value for key, value in BODY.get(name, {}).items()}
    headers = {**given.pop("headers", {}), **(bearer(secrets[role]) if role != "public" else {})}
    answer = client.request(sorted(route.methods)[0], path, headers=headers, **given)
    if role in RIGHTS[name].roles:
        assert answer.status_code not in (401, 403) or (name == "sign_in" and answer.status_code == 401), answer.text
    else:
        assert answer.status_code == (401 if role == "public" else 403), answer.text
        assert answer.headers.get("www-authenticate") == ("Bearer" if role == "public" else None)


def test_a_narrower_token_may_less_than_its_role(client, study):
    with Store.open(study) as store:
        reading = token(store, "admin", scopes=["read"])
    assert client.get("/runs", headers=bearer(reading)).status_code == 200
    assert client.get("/accounts", headers=bearer(reading)).status_code == 403
    assert client.post("/surveys", headers=bearer(reading), **BODY["deliver"]).status_code == 403


def test_tokens_that_do_not_hold(client, study):
    """Never made, expired, revoked, of a closed account, a session's used as a token."""
    with Store.open(study) as store:
        accounts.save(store, "gone", "planner", by="test", now=NOW)
        closed = token(store, "gone")
        accounts.save(store, "gone", "planner", by="test", now=NOW, closed=True)
        late = token(store, "planner", now=NOW - datetime.timedelta(days=3), lasts=datetime.timedelta(days=1))
        made, revoked = accounts.make_token(store, "planner", label="x", by="test", now=NOW, lasts=datetime.timedelta(days=1))
        accounts.revoke(store, made.id, by="test", now=NOW)
        session = token(store, "planner", label=accounts.SESSION)
    for secret in (closed, late, revoked, session, "tarmim_never", "", "\u0661"):
        answer = client.get("/runs", headers={"Authorization": f"Bearer {secret}".encode()})
        assert answer.status_code == 401, secret
    assert client.get("/runs", headers={"Authorization": "Basic YTpi"}).status_code == 401


def test_the_catalogue_holds_no_token(study, secrets):
    content = b"".join(path.read_bytes() for path in study.glob("catalogue.sqlite*"))
    for secret in secrets.values():
        assert secret.encode() not in content
        assert secret.removeprefix("tarmim_").encode() not in content


def test_tokens_are_made_listed_and_revoked_by_an_administrator(client, secrets):
    admin = bearer(secrets["admin"])
    assert client.put("/accounts/UNOSAT", json={"role": "partner"}, headers=admin).json()["role"] == "partner"
    made = client.post("/tokens", json={"account": "UNOSAT", "label": "script", "days": 7}, headers=admin).json()
    assert client.get("/surveys", headers=bearer(made["secret"])).status_code == 200
    listed = client.get("/tokens?account=UNOSAT", headers=admin).json()["tokens"]
    assert [(one["id"], one["secret"]) for one in listed] == [(made["id"], None)]
    assert client.delete(f"/tokens/{made['id']}", headers=admin).json()["revoked_at"]
    assert client.get("/surveys", headers=bearer(made["secret"])).status_code == 401
    log = client.get("/decisions?subject=UNOSAT", headers=admin).json()["decisions"]
    assert [one["what"] for one in log] == ["account-added", "token-made", "token-revoked"]
    assert {(one["who"], one["origin"]) for one in log} == {("admin", "testclient")}


def test_the_last_administrator_stays(client, secrets):
    answer = client.put("/accounts/admin", json={"role": "planner"}, headers=bearer(secrets["admin"]))
    assert (answer.status_code, answer.json()["findings"][0]["code"]) == (422, "last-admin")


def signed_in(client, secret):
    answer = client.post("/sign-in", data={"token": secret})
    assert answer.status_code == 303
    return answer


def test_a_session_of_the_pages(client, secrets):
    flags = signed_in(client, secrets["planner"]).headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=strict" in flags
    assert "secure" not in flags.split(COOKIE, 1)[1].split(";", 1)[1].replace("samesite", "")
    page = client.get("/sign-in?lang=en").text
    assert "Signed in as" in page
    number = page.split('name="csrf" value="')[1].split('"')[0]
    assert client.get("/runs").status_code == 200
    change = {"json": {"reason": "why"}}
    assert client.post("/surveys/none/return", **change).json()["findings"][0]["code"] == "csrf"
    assert client.post("/surveys/none/return", headers={CSRF_HEADER: number}, **change).status_code == 404
    left = client.post("/sign-out", data={"csrf": number})
    assert left.status_code == 303
    assert client.get("/runs").status_code == 401


def test_a_copied_cookie_is_worth_nothing_after_signing_out(client, secrets):
    signed_in(client, secrets["planner"])
    copied = client.cookies[COOKIE]
    number = client.get("/sign-in").text.split('name="csrf" value="')[1].split('"')[0]
    client.post("/sign-out", data={"csrf": number})
    client.cookies.set(COOKIE, copied, domain=HOST)
    assert client.get("/runs").status_code == 401


def test_over_https_the_cookie_goes_over_nothing_else(study, held, secrets):
    with TestClient(create_app(guarded(study, https=True), held), base_url=BASE, follow_redirects=False) as client:
        assert "; secure" in signed_in(client, secrets["planner"]).headers["set-cookie"].lower()


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}])
def test_a_page_of_another_site_changes_nothing(study, held, headers):
    """Not even where nobody signs in: a form of any page can be sent to loopback."""
    with TestClient(create_app(Settings(study=study), held), base_url="http://127.0.0.1:8000") as client:
        answer = client.post("/surveys", headers=headers, **BODY["deliver"])
        assert (answer.status_code, answer.json()["findings"][0]["code"]) == (403, "cross-site")
        assert (
            client.post("/surveys/none/return", json={"reason": "x"}, headers={"Origin": "http://127.0.0.1:8000"}).status_code
            == 404
        )


def test_whoever_asks_too_often_waits(study, held):
    settings = Settings(study=study, allowed_hosts=(HOST,), requests_per_minute=3, sign_ins_per_minute=2)
    with TestClient(create_app(settings, held), base_url=BASE, follow_redirects=False) as client:
        answers = [client.get("/sign-in") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 21


def test_the_bucket_fills_again(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("api.people.time.monotonic", lambda: clock[0])
    known = Known()
    assert [known.wait_s("a", 60) > 0 for _ in range(61)] == [False] * 60 + [True]
    assert known.wait_s("b", 60) == 0
    clock[0] = 1.0
    assert [known.wait_s("a", 60) > 0 for _ in range(2)] == [False, True]


def test_guesses_are_slowed_down(study, held):
    settings = Settings(study=study, allowed_hosts=(HOST,), sign_ins_per_minute=2)
    with TestClient(create_app(settings, held), base_url=BASE, follow_redirects=False) as client:
        codes = [client.post("/sign-in", data={"token": f"tarmim_{guess}"}).status_code for guess in range(4)]
    assert codes == [401, 401, 429, 429]


def test_the_public_sees_what_is_published_and_nothing_else(client, secrets, run):
    """Before: nothing. Then the run, its list and its map, but no layer of surveys; withdrawn, nothing again."""
    assert client.get("/priorities").json()["findings"][0]["code"] == "nothing-published"
    planner = bearer(secrets["planner"])
    assert client.post(f"/runs/{run.id}/publish", headers=planner).json()["published_at"]
    assert client.get("/priorities").json()["run"] == run.id
    assert client.get("/map").status_code == 200
    assert client.get("/map/layers/damage.json").status_code == 404
    assert client.get("/layers/damage").status_code == 401
    assert client.get("/layers/damage", headers=bearer(secrets["directorate"])).status_code == 200
    assert client.post(f"/runs/{run.id}/withdraw", json={"reason": "error"}, headers=planner).json()["published_at"] is None
    assert client.get("/priorities").status_code == 404
    log = client.get(f"/decisions?subject={run.id}", headers=planner).json()["decisions"]
    assert [one["what"] for one in log] == ["run-made", "run-published", "run-withdrawn"]


def test_on_loopback_whoever_sits_there_may_do_everything(study, held):
    with TestClient(create_app(Settings(study=study), held), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/accounts").status_code == 200
        assert client.get("/layers/damage").status_code == 200


def test_a_name_that_is_not_ours_is_not_answered(client):
    assert client.get("/healthz", headers={"Host": "other.example"}).status_code == 400


def test_a_run_made_by_another_process_is_shown_without_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr("api.state.LOOK_S", 0.0)
    folder = write_town(tmp_path / "town")
    with TestClient(create_app(Settings(study=folder)), base_url="http://127.0.0.1:8000") as client:
        before = client.get("/healthz").json()["run"]
        shutil.copy(folder / "population.csv", folder / "old.csv")
        (folder / "population.csv").write_text("id,people\nA,9000\nB,2000\nC,4000\nD,500\n", encoding="utf-8")
        opened, scheme = open_study(folder)
        made = assess(read_city(opened), scheme)
        with Store.open(folder) as store:
            store.add_run(made, datetime.datetime.now(datetime.UTC))
        client.get("/healthz")
        client.app.state.shelf._reading.join(60)
        assert client.get("/healthz").json()["run"] == made.id != before
