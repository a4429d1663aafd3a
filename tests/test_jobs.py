"""Jobs: done once, whoever is killed; said in the catalogue, in both languages; on the demo city."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.app import create_app
from api.settings import Settings
from api.state import load
from geo import surveys, tiles, uploads
from geo.errors import TarmimError, UnknownNameError, finding
from geo.messages import message
from geo.records import Job
from geo.store import QUEUE, Store, StoreError
from tests.postgres import database

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "demo"
TARMIM = Path(sys.executable).with_name("tarmim")
NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DEMO, tmp_path / "demo")
    return tmp_path / "demo"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store.open(folder) as one:
        yield one


@pytest.fixture
def queue(folder: Path) -> Iterator[jobs.Queue]:
    with jobs.Queue(folder, retry_s=0.01) as one:
        yield one


def delivered(store: Store) -> str:
    return surveys.deliver(store, [store.folder / "damage.csv"], layer="damage", sender="UNOSAT", now=NOW).id


def told(job: Job) -> list[str]:
    return [one["code"] for one in job.findings]


# ------------------------------------------------------------------------------------------------------------------- done


def test_a_survey_is_checked_accepted_ranked_and_published(store: Store, queue: jobs.Queue) -> None:
    survey = delivered(store)
    check = jobs.submit(store, "check", survey, who="partner")
    assert (check.state, check.progress, store.survey(survey).status) == ("queued", 0.0, "received")
    queue.drain()
    check = store.job(check.id)
    assert (check.state, check.progress, check.result, check.attempts, told(check)) == ("done", 1.0, survey, 1, [])
    assert check.started_at is not None
    assert check.ended_at is not None
    assert check.made_at <= check.started_at <= check.ended_at
    assert set(check.message) == {"ar", "en"}
    assert store.survey(survey).status == "checked"

    accept = jobs.submit(store, "accept", survey, who="planner")
    queue.drain()
    (dataset,) = store.datasets()
    assert store.job(accept.id).result == dataset.id
    (decision,) = store.decisions(dataset.id)
    assert (decision.who, decision.origin) == ("planner", f"job {accept.id}")

    rank = jobs.submit(store, "rank", who="planner", given={"scheme": "rapid"})
    queue.drain()
    (run,) = store.runs()
    assert (store.job(rank.id).result, run.scheme) == (run.id, "rapid")
    assert run.datasets == (dataset.id,)
    assert (store.folder / "exports" / run.id / "map.html").is_file()

    jobs.submit(store, "publish", run.id, who="planner")
    queue.drain()
    assert [one.id for one in store.runs(published=True)] == [run.id]
    assert [one.state for one in store.jobs()] == ["done"] * 4
    assert not list((store.folder / ".staging").glob("job-*"))
    assert store.fsck() == ()


def test_an_acceptance_makes_the_tiles_of_its_layer(store: Store, queue: jobs.Queue, folder: Path) -> None:
    survey = delivered(store)
    for kind in ("check", "accept"):
        job = jobs.submit(store, kind, survey, who="planner")
        queue.drain()
        assert store.job(job.id).state == "done"
    made = list((folder / "tiles").glob("*.pmtiles"))
    held = load(Settings(study=folder))
    assert made == [tiles.place(held.collection("damage"), folder / "tiles")]


def test_in_immediate_mode_it_is_done_when_it_is_put(store: Store, folder: Path) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    with jobs.Queue(folder, immediate=True) as now:
        now.put(job.id)
    assert store.job(job.id).state == "done"


def test_the_choices_of_the_command_reach_the_check(store: Store, queue: jobs.Queue) -> None:
    survey = delivered(store)
    jobs.submit(store, "check", survey, who="x", given={"choices": {"path": "damage.csv", "profile": "copernicus"}})
    queue.drain()
    assert store.survey(survey).profile == "copernicus"


def test_asked_twice_while_it_waits_is_one_job(store: Store, queue: jobs.Queue) -> None:
    survey = delivered(store)
    first = jobs.submit(store, "check", survey, who="x")
    assert jobs.submit(store, "check", survey, who="y").id == first.id
    assert jobs.submit(store, "check", survey, who="x", given={"administrator": True}).id != first.id
    queue.drain()
    assert jobs.submit(store, "check", survey, who="x").id != first.id, "what is done can be asked for again"


def test_progress_goes_up_and_says_its_step(store: Store, queue: jobs.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Job] = []
    noted = Store.record_job
    monkeypatch.setattr(Store, "record_job", lambda self, job, **options: (seen.append(job), noted(self, job, **options))[1])
    jobs.submit(store, "check", delivered(store), who="x")
    queue.drain()
    running = [one for one in seen if one.state == "running"]
    assert [one.message["en"] for one in running[1:]] == [
        "Reading the neighbourhoods",
        "Unpacking",
        "Reading the table",
        "Recognising columns and grades",
        "Validating and placing",
    ]
    assert [one.progress for one in running[1:]] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert running[-1].message["ar"] == "التحقق وتحديد المواقع"


# ------------------------------------------------------------------------------------------------------------------ refused


def test_what_nobody_knows_is_refused(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="check, accept, rank, publish"):
        jobs.submit(store, "format-disk", who="x")
    for kind in ("check", "accept", "publish"):
        with pytest.raises(StoreError, match="not in the catalogue"):
            jobs.submit(store, kind, "0" * 32, who="x")
    assert store.jobs() == []


def test_a_fault_is_findings_in_both_languages(store: Store, queue: jobs.Queue) -> None:
    """Accepted before it was checked: the user's to mend, so it is not tried again."""
    job = jobs.submit(store, "accept", delivered(store), who="x")
    (store.folder / "study.toml").write_text("[study]\nname = 3")
    queue.drain()
    job = store.job(job.id)
    assert (job.state, job.attempts, job.result) == ("failed", 1, "")
    assert job.findings
    assert all(one["found"]["ar"] and one["found"]["en"] for one in job.findings)
    assert job.message == {"ar": "فشلت", "en": "failed"}


def test_what_may_pass_is_tried_again_and_not_for_ever(store: Store, queue: jobs.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def full(work: jobs.Work) -> Any:
        tried.append(work.job.id)
        raise StoreError(finding("disk-full", "error", "homs", message("There is no room on the disk.")))

    monkeypatch.setitem(jobs.KINDS, "rank", jobs.Kind(full, 1))
    job = jobs.submit(store, "rank", who="x")
    for n in (1, 2):
        queue.attend(job.id)
        assert (store.job(job.id).state, store.job(job.id).attempts, told(store.job(job.id))) == ("queued", n, ["disk-full"])
        assert [task.eta is None for task in queue.huey.pending()] == [True, *[False] * n], "later, not at once"
    queue.attend(job.id)
    queue.attend(job.id)
    assert (store.job(job.id).state, told(store.job(job.id)), len(tried)) == ("failed", ["disk-full"], 3)


def test_what_was_to_be_tried_later_is_done_by_a_worker_that_runs_once(
    store: Store, folder: Path, queue: jobs.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the disk is full, then it is not; between the two nobody's scheduler runs."""
    faults = [StoreError(finding("disk-full", "error", "homs", message("There is no room on the disk.")))]

    def first_full(work: jobs.Work) -> Any:
        if faults:
            raise faults.pop()
        return "result", message("Waiting")

    monkeypatch.setitem(jobs.KINDS, "rank", jobs.Kind(first_full, 1))
    job = jobs.submit(store, "rank", who="x")
    queue.drain()
    assert store.job(job.id).state == "queued"
    time.sleep(0.05)
    queue.drain()
    assert (store.job(job.id).state, store.job(job.id).attempts, told(store.job(job.id))) == ("done", 2, [])


def test_an_unexpected_fault_is_a_finding_and_in_the_log(
    store: Store, queue: jobs.Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(jobs.KINDS, "rank", jobs.Kind(lambda work: 1 // 0, 1))  # type: ignore[arg-type, return-value]
    job = jobs.submit(store, "rank", who="x")
    queue.drain()
    assert (store.job(job.id).state, told(store.job(job.id))) == ("failed", ["job-fault"])
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in json.dumps(store.job(job.id).findings)


def test_only_what_waits_can_be_cancelled(store: Store, queue: jobs.Queue) -> None:
    survey = delivered(store)
    job = jobs.submit(store, "check", survey, who="x")
    assert jobs.cancel(store, job.id).state == "cancelled"
    queue.drain()
    assert store.job(job.id).state == "cancelled"
    assert store.survey(survey).status == "received"
    done = jobs.submit(store, "check", survey, who="x")
    queue.drain()
    for ident in (done.id, job.id):
        with pytest.raises(StoreError, match="Only a job that waits"):
            jobs.cancel(store, ident)
    with pytest.raises(StoreError, match="not in the catalogue"):
        jobs.cancel(store, "0")


# ---------------------------------------------------------------------------------------------------- killed, lost, at the same time


def test_a_job_whose_message_is_lost_is_found_in_the_catalogue(store: Store, folder: Path) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    for path in folder.glob(f"{QUEUE}*"):
        path.unlink()
    with jobs.Queue(folder) as queue:
        queue.drain()
    assert store.job(job.id).state == "done"


def test_a_queue_of_pickles_runs_no_code(store: Store, folder: Path, queue: jobs.Queue, tmp_path: Path) -> None:
    """A study folder from elsewhere, with a message as huey itself would write it."""
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "evil"),)

    with sqlite3.connect(folder / QUEUE) as raw:
        raw.execute("INSERT INTO task (queue, data) VALUES ('tarmim', ?)", (pickle.dumps(Evil()),))
    raw.close()
    with pytest.raises(ValueError, match="codec"):
        queue.huey.dequeue()
    assert not (tmp_path / "evil").exists()


def test_a_running_job_without_anybody_running_it_is_taken_up(store: Store, queue: jobs.Queue) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    store.record_job(Job(job.id, job.kind, "running", 0.4, {}, job.made_at, attempts=1))
    queue.drain()
    assert (store.job(job.id).state, store.job(job.id).attempts) == ("done", 2)


def test_a_job_that_kills_its_worker_is_given_up(store: Store, queue: jobs.Queue) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    store.record_job(Job(job.id, job.kind, "running", 0.4, {}, job.made_at, attempts=3))
    queue.drain()
    job = store.job(job.id)
    assert (job.state, told(job)) == ("failed", ["given-up"])


def test_an_acceptance_taken_up_again_does_not_bring_an_old_dataset_back(store: Store, queue: jobs.Queue) -> None:
    """Killed after the dataset counted and before the job could say so; meanwhile a newer one was accepted."""
    survey = delivered(store)
    jobs.submit(store, "check", survey, who="x")
    job = jobs.submit(store, "accept", survey, who="x")
    queue.drain()
    (first,) = store.datasets()
    newer = store.accept(None, store.read(first).head(10), layer="damage", by="x", now=NOW, provenance={})
    store.record_job(Job(job.id, job.kind, "running", 0.9, {}, job.made_at, attempts=1))
    queue.drain()
    assert store.job(job.id).result == first.id
    assert [one.id for one in store.datasets()] == [newer.id]
    assert len(store.decisions(first.id)) == 1


def test_two_workers_do_a_job_once(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), []

    def slow(work: jobs.Work) -> Any:
        begun.set()
        assert go_on.wait(20)
        done.append(work.job.id)
        return "result", message("Waiting")

    monkeypatch.setitem(jobs.KINDS, "rank", jobs.Kind(slow, 1))
    job = jobs.submit(store, "rank", who="x")
    with jobs.Queue(folder) as one, jobs.Queue(folder) as two:
        worker = threading.Thread(target=one.attend, args=(job.id,))
        worker.start()
        assert begun.wait(20)
        two.attend(job.id)
        for _ in range(3):
            two.sweep()
        assert len([task for task in two.huey.pending() if task.args]) == 1, (
            "that of `submit`: nobody is told of what is being done"
        )
        go_on.set()
        worker.join()
        two.drain()
    assert done == [job.id]
    assert store.job(job.id).attempts == 1


def test_a_worker_told_to_end_gives_its_job_back(store: Store, queue: jobs.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops at the next step, and the attempt does not count."""

    def two_steps(work: jobs.Work) -> Any:
        work.step(message("Waiting"))
        queue.stopping.set()
        work.step(message("Waiting"))
        raise AssertionError("went on")

    monkeypatch.setitem(jobs.KINDS, "rank", jobs.Kind(two_steps, 2))
    job = jobs.submit(store, "rank", who="x")
    queue.attend(job.id)
    assert (store.job(job.id).state, store.job(job.id).attempts) == ("queued", 0)
    queue.attend(job.id)
    assert store.job(job.id).state == "queued", "nothing new is begun"


def test_the_sweep_drops_uploads_that_nobody_goes_on_with(store: Store, queue: jobs.Queue) -> None:
    uploads.begin(store, name="x", sender="x", layer="damage", now=NOW - datetime.timedelta(days=3000))
    queue.sweep()
    assert uploads.uploads(store) == []


def test_a_worker_in_a_thread(store: Store, folder: Path) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    with jobs.working(jobs.Queue(folder)):
        state = waited(store, job.id)
    assert state == "done"


def waited(store: Store, ident: str, seconds: float = 60) -> str:
    ends = time.monotonic() + seconds
    while (state := store.job(ident).state) in ("queued", "running") and time.monotonic() < ends:
        time.sleep(0.05)
    return state


def test_on_postgresql(folder: Path) -> None:
    url = database()
    with Store.open(folder, url) as store, jobs.Queue(folder, url) as queue:
        job = jobs.submit(store, "check", delivered(store), who="x", given={"administrator": True})
        assert store.record_job(store.job(job.id), was=("running",)) is False
        queue.drain()
        assert (store.job(job.id).state, store.job(job.id).progress) == ("done", 1.0)


def test_a_queue_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / QUEUE).mkdir()
    with pytest.raises(StoreError, match="no job is lost") as caught:
        jobs.Queue(tmp_path)
    assert isinstance(caught.value, TarmimError)


# --------------------------------------------------------------------------------------------------------------------- command line


def tarmim(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "TARMIM_"))}
    return subprocess.run([TARMIM, *map(str, words)], capture_output=True, text=True, env=plain | env, check=False)


def test_import_later_work_jobs_accept(folder: Path) -> None:
    done = tarmim("import", folder / "damage.csv", "--layer", "damage", "--later", "--study", folder)
    assert done.returncode == 0, done.stderr
    ident = done.stdout.split("Job ")[1].split()[0]
    assert "queued" in tarmim("jobs", "--study", folder).stdout
    assert "في الانتظار" in tarmim("jobs", ident, "--study", folder, "--lang", "ar").stdout
    worked = tarmim("work", folder, "--once")
    assert (worked.returncode, worked.stderr) == (0, "")
    shown = tarmim("jobs", ident, "--study", folder).stdout
    assert "done  100%" in shown
    assert "rows can be accepted" in shown
    assert tarmim("jobs", "nobody", "--study", folder).returncode == 1
    assert tarmim("cancel", ident, "--study", folder).returncode == 1
    survey = shown.split()[-1]
    later = tarmim("accept", survey, "--later", "--study", folder)
    ranked = tarmim("rank", folder, "--later")
    assert later.returncode == ranked.returncode == 0
    taken = tarmim("cancel", ranked.stdout.split()[1], "--study", folder, "--lang", "ar")
    assert "أُلغيت" in taken.stdout
    assert tarmim("work", folder, "--once").returncode == 0
    assert "damage" in tarmim("datasets", "--study", folder).stdout
    assert "Traceback" not in worked.stderr + later.stderr


def test_what_can_not_be_is_said_without_a_trace(folder: Path) -> None:
    """A setting that is no number, a place that a worker does not write to, a study that is not there."""
    wrong = tarmim("work", folder, "--once", TARMIM_JOB_ATTEMPTS="many")
    assert (wrong.returncode, "TARMIM_JOB_ATTEMPTS" in wrong.stderr) == (1, True)
    assert tarmim("rank", folder, "--later", "--out", folder / "x").returncode == 2
    nowhere = tarmim("work", folder / "nowhere")
    assert nowhere.returncode == 1
    assert "Traceback" not in wrong.stderr + nowhere.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_when_it_is_told(store: Store, folder: Path, how: signal.Signals) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    worker = subprocess.Popen([TARMIM, "work", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waited(store, job.id) == "done"
    worker.send_signal(how)
    said, wrong = worker.communicate(timeout=60)
    assert (worker.returncode, wrong) == (0, "")
    assert "Working on the jobs of" in said


# ------------------------------------------------------------------------------------------------------------------------- the API


def test_the_api_shows_jobs_and_makes_nothing(store: Store, folder: Path, queue: jobs.Queue) -> None:
    job = jobs.submit(store, "check", delivered(store), who="شريك")
    settings = Settings(study=folder)
    with TestClient(create_app(settings, load(settings)), base_url="http://127.0.0.1:8000") as client:
        one = client.get(f"/jobs/{job.id}")
        assert (one.json()["state"], one.json()["progress"], one.json()["who"]) == ("queued", 0.0, "شريك")
        queue.drain()
        listed = client.get("/jobs?state=done").json()
        assert [found["id"] for found in listed["jobs"]] == [job.id]
        assert client.get(one.json()["href"]).json()["label"] == {"ar": "تمّت", "en": "done"}
        again = client.get("/jobs", headers={"If-None-Match": client.get("/jobs").headers["ETag"]})
        assert again.status_code == 304
        assert client.get("/jobs?state=queued").json() == {"jobs": [], "numberMatched": 0}
        missing = client.get("/jobs/nobody")
        assert missing.status_code == 404
        assert "لا توجد مهمة" in missing.json()["title_ar"] + missing.json()["detail_ar"]
        assert client.get("/jobs?state=x").status_code == 422
        assert client.post("/jobs").status_code == 405


def test_a_study_without_a_catalogue_has_no_jobs_and_gets_none(folder: Path) -> None:
    settings = Settings(study=folder)
    with TestClient(create_app(settings, load(settings)), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/jobs").json() == {"jobs": [], "numberMatched": 0}
        assert client.get("/jobs/x").status_code == 404
    with jobs.beside(settings):
        pass
    assert not (folder / "catalogue.sqlite").exists()
    assert not (folder / QUEUE).exists()


def test_a_served_study_is_worked_on(store: Store, folder: Path) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    with jobs.beside(Settings(study=folder)):
        assert waited(store, job.id) == "done"


def test_serve_works_and_ends_with_the_signal(store: Store, folder: Path) -> None:
    job = jobs.submit(store, "check", delivered(store), who="x")
    server = subprocess.Popen([TARMIM, "serve", folder, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waited(store, job.id) == "done"
    server.send_signal(signal.SIGTERM)
    _, wrong = server.communicate(timeout=60)
    assert (server.returncode, wrong) == (0, "")
    idle = subprocess.Popen(
        [TARMIM, "serve", folder, "--port", "0"], env={**os.environ, "TARMIM_WORK": "false"}, stdout=subprocess.PIPE, text=True
    )
    waiting = jobs.submit(store, "check", store.surveys()[0].id, who="x")
    assert idle.stdout is not None
    assert "Open http" in idle.stdout.readline()
    idle.send_signal(signal.SIGTERM)
    idle.communicate(timeout=60)
    assert store.job(waiting.id).state == "queued"
