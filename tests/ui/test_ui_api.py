"""What the API of the web view answers."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from pipelines import Io, digest, otlp_lines

from mlotel.cli import main
from mlotel.errors import StoreError
from mlotel.store.memory import MemoryStore


@pytest.fixture
def delays(book, served):
    """A pipeline of four runs, one of which failed, and a client."""
    book.run("ingest", [], [Io("flights", uri="file:///data/Flights.csv")], pipeline="delays", tags={"team": "Data"})
    train = book.run("train", ["flights"], [Io("model", type="model")], params={"depth": 6}, metrics={"rmse": 12.5})
    book.run("train", ["flights"], state="failed", error={"type": "ValueError", "message": "no rows"})
    book.run("predict", [Io("model", link=train.outputs[0])], ["predictions"], version="2")
    return served(book)


def components(answer):
    assert answer.status == 200, answer.body
    return [run["component"] for run in answer.json["runs"]]


def printed(capsys, book, tmp_path, *arguments):
    """What the command line prints for the same store."""
    path = tmp_path / "runs.jsonl"
    path.write_text(otlp_lines(book))
    with pytest.raises(SystemExit) as exited:
        main([*arguments, "--store", str(path), "--format", "json"])
    assert exited.value.code == 0
    return timeless(json.loads(capsys.readouterr().out))


def timeless(document):
    """A document without the ages in it, which grow while one looks at them."""
    if isinstance(document, dict):
        return {key: timeless(value) for key, value in document.items() if key != "age_s"}
    return [timeless(each) for each in document] if isinstance(document, list) else document


def test_answers_are_what_the_command_line_prints(delays, book, capsys, tmp_path):
    """One run, lists, components and lineage: the same documents."""
    model = digest("model")
    expected = printed(capsys, book, tmp_path, "runs")

    assert delays.get("/api/runs").json == {"runs": expected, "next": None}
    train = book.made[1]
    in_full = printed(capsys, book, tmp_path, "show", train.run_id)
    assert timeless(delays.get(f"/api/runs/{train.run_id[:8]}").json) == in_full
    for span in (train.span_id, train.inputs[0].span_id, train.outputs[0].span_id):
        found = delays.get(f"/api/span?trace_id={train.trace_id}&span_id={span}")
        assert timeless(found.json) == in_full
    assert delays.get("/api/history?component=train").json["runs"] == printed(
        capsys, book, tmp_path, "history", "train"
    )
    assert delays.get("/api/components").json == printed(capsys, book, tmp_path, "components")
    for run in book.made:
        answer = delays.get(f"/api/explain?run={run.run_id}")
        assert timeless(answer.json) == printed(capsys, book, tmp_path, "explain", run.run_id)
    both = (book.made[1].run_id, book.made[2].run_id)
    assert delays.get(f"/api/diff?before={both[0]}&after={both[1]}").json == printed(
        capsys, book, tmp_path, "diff", *both
    )
    for direction, flags in (("upstream", []), ("downstream", ["--forward"]), ("both", ["--both"])):
        answer = delays.get(f"/api/lineage?what={model}&direction={direction}")
        assert timeless(answer.json) == printed(capsys, book, tmp_path, "lineage", model, *flags)
    assert len(delays.get("/api/lineage?what=predictions&depth=0").json["runs"]) == 0


def test_about_names_the_store(book, served):
    """And how much of it could not be read, and where Jaeger is."""
    client = served(book, name="/data/.mlotel", unread=lambda: 3, jaeger_ui="http://jaeger:16686")
    about = client.get("/api/about").json

    assert (about["store"], about["unread_lines"], about["jaeger_ui"]) == ("/data/.mlotel", 3, "http://jaeger:16686")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("component=train", ["train", "train"]),
        ("component=nothing", []),
        ("state=failed", ["train"]),
        ("state=lost", []),
        ("component=train&state=ok", ["train"]),
        ("since=2023-11-14T22:13:25Z", ["predict", "train"]),
        ("until=2023-11-14T22:13:24Z", ["train", "ingest"]),
        ("since=2023-11-15", []),
        ("since=1h", []),
        ("text=FLIGHTS.csv", ["ingest"]),
        ("text=data", ["ingest"]),
        ("text=valueerror", ["train"]),
        ("text=no%20rows", ["train"]),
        ("text=%00", []),
        ("where=param.depth%3E5", ["train"]),
        ("where=param.depth%3E5&where=metric.rmse%3C1", []),
        ("where=state%3Dfailed&where=component%3Dtrain", ["train"]),
        ("component=&state=&since=&until=&text=", ["predict", "train", "train", "ingest"]),
    ],
)
def test_runs_can_be_narrowed_down(delays, query, expected):
    """All filters hold at once; an empty one is none."""
    assert components(delays.get(f"/api/runs?{query}")) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("text", ["", "&text=train"])
def test_pages_follow_each_other(book, served, limit, text):
    """Every run once, latest first, whatever the size of a page."""
    for number in range(7):
        book.run("train" if number % 2 else "predict", version=str(number))
    client = served(book)

    pages, cursor = [], None
    while True:
        answer = client.get(f"/api/runs?limit={limit}{text}{f'&cursor={cursor}' if cursor else ''}").json
        pages.append([run["version"] for run in answer["runs"]])
        cursor = answer["next"]
        if cursor is None:
            break
    expected = ["5", "3", "1"] if text else ["6", "5", "4", "3", "2", "1", "0"]
    assert [version for page in pages for version in page] == expected
    assert all(len(page) == limit for page in pages[:-1])


def test_runs_of_one_instant_are_on_one_page_each(book, served):
    """Also where more runs began in one nanosecond than a page holds."""
    for number in range(9):
        book._now = 1_700_000_000 * 10**9 + (number // 6) * 10**9  # six in one instant, then three
        book.run("predict", version=str(number))
    client = served(book)

    found, cursor = [], ""
    for _ in range(9):
        answer = client.get(f"/api/runs?limit=2{cursor}").json
        found += [run["run_id"] for run in answer["runs"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert sorted(found) == sorted(run.run_id for run in book.made)


def test_a_page_keeps_its_place_while_runs_begin(book, served):
    """What begins meanwhile comes before the first page, and shifts none."""
    for number in range(4):
        book.run("predict", version=str(number))
    store = MemoryStore(otlp_lines(book).encode().splitlines())
    client = served(store)
    first = client.get("/api/runs?limit=2").json

    book.run("predict", version="new")
    for line in otlp_lines(book).encode().splitlines():
        store.append(line)
    second = client.get(f"/api/runs?limit=2&cursor={first['next']}").json

    assert [run["version"] for run in first["runs"] + second["runs"]] == ["3", "2", "1", "0"]


@pytest.mark.parametrize("query", ["text=needle", "where=tag.is%3Dneedle", "text=need&where=tag.is%3Dneedle"])
def test_what_few_runs_are_is_looked_for_in_bounded_steps(book, served, monkeypatch, query):
    """A page may be empty and still say where to go on: no request looks at every run."""
    from mlotel.ui import paging

    monkeypatch.setattr(paging, "_AT_ONCE", 2)
    monkeypatch.setattr(paging, "_MOST_LOOKED_AT", 4)
    book.run("needle", tags={"is": "needle"})
    for _ in range(9):
        book.run("hay", tags={"is": "hay"})
    client = served(book)

    found, steps, cursor = [], 0, ""
    while True:
        answer = client.get(f"/api/runs?{query}{cursor}").json
        found += [run["component"] for run in answer["runs"]]
        steps += 1
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert (found, steps) == (["needle"], 3)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/runs?state=done", "state is 'done': give one of running, ok, failed, cancelled, lost"),
        ("/api/runs?limit=0", "limit is '0': give a whole number of 1 to 500"),
        ("/api/runs?limit=501", "limit is '501': give a whole number of 1 to 500"),
        ("/api/runs?limit=1e3", "limit is '1e3': give a whole number of 1 to 500"),
        ("/api/runs?limit=%D9%A3", "limit is '٣': give a whole number of 1 to 500"),
        ("/api/runs?cursor=x", "cursor: 'x' is no cursor: pass on `next` of the page before"),
        ("/api/runs?cursor=9223372036854775808.0", "is no cursor"),
        ("/api/runs?since=yesterday", "since: 'yesterday' is no time"),
        ("/api/runs?since=1h&until=2h", "since is later than until"),
        ("/api/runs?where=depth", "where: 'depth' is no condition"),
        ("/api/runs?where=dept%3D1", "where: 'dept' is nothing that runs are found by"),
        ("/api/runs?" + "where=param.a%3D1&" * 51, "where was given 51 times"),
        ("/api/runs?component=" + "x" * 5000, "component is longer than 4096 characters"),
        ("/api/runs?page=2", "there is no parameter 'page' here"),
        ("/api/history", "component is missing"),
        ("/api/lineage", "what is missing"),
        ("/api/lineage?what=x&depth=-1", "depth is '-1': give a whole number of 0 or more"),
        ("/api/lineage?what=x&direction=left", "direction is 'left'"),
        ("/api/about?x=1", "there is no parameter 'x' here: those are none"),
    ],
)
def test_a_request_that_cannot_be_understood_says_why(empty, path, said):
    """As problem details, with the fix."""
    answer = empty.get(path)

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/ffff",
        "/api/span?trace_id=x&span_id=y",
        "/api/runs/..%2f..",
        "/api/runs/x",
        "/api/history?component=x",
        "/api/lineage?what=x",
    ],
)
def test_what_is_not_there_is_not_found(empty, path):
    """404, in words."""
    answer = empty.get(path)

    assert (answer.status, answer.json["status"]) == (404, 404)


def test_an_unknown_component_has_near_ones(delays):
    """As on the command line."""
    assert "did you mean 'train'?" in delays.get("/api/history?component=trian").json["detail"]


def test_a_component_without_runs_in_a_range_is_no_error(delays):
    """It is known; there was nothing then."""
    assert delays.get("/api/history?component=train&since=2024-01-01").json == {"runs": [], "next": None}


def test_a_lineage_that_is_too_large_is_refused(delays):
    """422, with what to ask for instead; as many nodes as were asked for are not too many."""
    answer = delays.get("/api/lineage?what=predictions&most=5")

    assert len(delays.get("/api/lineage?what=predictions&most=6").json["runs"]) == 3
    assert answer.status == 422
    assert "3 runs and 3 artifacts are more than 5 nodes" in answer.json["detail"]


def test_a_reference_that_stands_for_several_lists_them(book, served):
    """409, with what may have been meant."""
    runs = [book.run(name, run_id=f"abcd{number}" + "0" * 27) for number, name in enumerate(("one", "two"))]
    answer = served(book).get("/api/runs/abcd")

    assert answer.status == 409
    assert sorted(answer.json["candidates"]) == [f"run:{run.run_id} ({run.component!r})" for run in runs]


class Broken:
    """A store in which something is wrong."""

    def __init__(self, error):
        self.error = error

    def runs(self, **_):
        raise self.error

    def translates(self, _):
        return True


@pytest.mark.parametrize("error", [StoreError("the index stays locked"), OSError(28, "No space left on device")])
def test_a_store_that_cannot_be_read_says_so(served, error):
    """503, in the store's own words; the next request may go well."""
    answer = served(Broken(error)).get("/api/runs")

    assert answer.status == 503
    assert str(error) in answer.json["detail"]


def test_a_fault_of_ours_is_logged_and_not_shown(served, caplog):
    """500 without details, and a traceback for whoever started the server."""
    answer = served(Broken(RuntimeError("inner workings"))).get("/api/runs?text=private")

    assert (answer.status, answer.json["title"]) == (500, "Internal Server Error")
    assert b"inner workings" not in answer.body
    assert "inner workings" in caplog.text
    assert "private" not in caplog.text


class Remote(MemoryStore):
    """A store that remembers what went wrong until it is closed, as those over a network do."""

    def __init__(self, lines):
        super().__init__(lines)
        self.told = []
        self.looked_back = []

    @property
    def problems(self):
        return tuple(self.told)

    @property
    def partial(self):
        return bool(self.told)

    def runs(self, **which):
        self.told.append("more than 100 requests – ask for less")
        return super().runs(**which)

    def searching(self, since_ns=None):
        self.looked_back.append(since_ns)
        return nullcontext()

    def close(self):
        self.told = []
        super().close()


def test_what_a_remote_store_could_not_read_is_told_with_the_answer(book, served):
    """In a header; another answer is not called partial because of it."""
    book.run("train")
    store = Remote(otlp_lines(book).encode().splitlines())
    client = served(store)

    for _ in range(2):
        problems = client.get("/api/runs").headers["mlotel-problems"]
        assert json.loads(problems) == ["more than 100 requests – ask for less"]
    found = client.get(f"/api/lineage?what={book.made[0].run_id}")
    assert "mlotel-problems" not in found.headers
    assert found.json["partial"] is False
    client.get(f"/api/lineage?what={book.made[0].run_id}&since=1970-01-02")
    assert store.looked_back == [None, 86_400 * 10**9]


def test_values_that_json_lacks_are_null(book, served):
    """NaN and infinities."""
    book.run("train", metrics={"nan": float("nan"), "inf": float("inf"), "one": 1.0})

    (run,) = served(book).get("/api/runs").json["runs"]
    assert run["metrics"] == {"nan": None, "inf": None, "one": 1.0}


def test_many_ask_at_once(book, served):
    """Threads share one store, and each gets its own answer."""
    from concurrent.futures import ThreadPoolExecutor

    runs = [book.run(f"component-{number}", [f"in {number}"], [f"out {number}"]) for number in range(20)]
    client = served(book)

    def ask(run):
        (found,) = client.get(f"/api/lineage?what={run.run_id}").json["runs"]
        return found["component"], components(client.get(f"/api/runs?component={run.component}"))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, runs * 5))
    assert answers == [(run.component, [run.component]) for run in runs * 5]
