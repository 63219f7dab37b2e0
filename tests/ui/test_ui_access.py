"""Who gets an answer of the web view, and what stands around every answer."""

from __future__ import annotations

import socket

import pytest

EVERYTHING = (
    "/",
    "/run?id=abcd",
    "/static/main.js",
    "/static/nothing.js",
    "/favicon.ico",
    "/api/runs",
    "/api/nothing",
    "/x",
)


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_without_the_token_there_is_nothing(empty, path, method):
    """Pages, files, answers and errors alike are refused, in the same words."""
    answer = empty.ask(path, method)

    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    if method != "HEAD":
        assert answer.json == {
            "title": "Unauthorized",
            "status": 401,
            "detail": "open the address that `mlotel ui` printed, with its token",
        }


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic {token}"},
        {"Authorization": "{token}"},
        {"Cookie": "{name}={token}"},
        {"Cookie": "{name}=" + "x" * 43},
        {"Cookie": "{name}={cookie}x"},
        {"Cookie": "mlotel_1={cookie}"},
        {"Cookie": "=;;,\x01\xff"},
    ],
)
def test_what_is_not_the_secret_does_not_open(empty, headers):
    """A wrong token, the token in the cookie's place, or another server's cookie."""
    session = empty.session
    words = {"token": session.token, "cookie": session.cookie, "name": session.cookie_name}
    given = {name: value.format(**words) for name, value in headers.items()}

    assert empty.ask("/api/runs", headers=given).status == 401


@pytest.mark.parametrize("token", ["", "wrong", "%FF%00", "%C3%A9"])
def test_a_wrong_token_in_the_address_does_not_open(empty, token):
    """Whatever it is made of."""
    assert empty.ask(f"/?token={token}").status == 401


def test_the_address_that_was_printed_is_exchanged_for_a_cookie(empty):
    """The browser is sent to the same address without the token, and has a cookie that scripts cannot read."""
    session = empty.session
    answer = empty.ask(f"/run?id=abcd&token={session.token}")

    assert (answer.status, answer.headers["location"], answer.body) == (303, "/run?id=abcd", b"")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    assert session.token not in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert empty.ask("/api/runs", headers={"Cookie": f"other=1; {cookie}"}).status == 200


def test_the_token_works_again(empty):
    """A second browser may come with it."""
    paths = [f"/?token={empty.session.token}"] * 2

    assert [empty.ask(path).status for path in paths] == [303, 303]


def test_the_token_is_exchanged_for_nothing_but_a_page_to_come(empty):
    """It is no key to the API in an address, and leads nowhere else."""
    session = empty.session

    assert empty.ask(f"//evil.example/?token={session.token}").headers["location"] == "/evil.example/"
    assert empty.ask(f"/api/runs?token={session.token}").status == 303
    assert empty.ask(f"/api/runs?token={session.token}", "POST").status == 401


def test_a_page_that_links_here_is_passed_through_a_page_of_ours(empty):
    """After a redirect the request would still be that page's, and the cookie not sent."""
    answer = empty.ask(f"/?token={empty.session.token}", headers={"Sec-Fetch-Site": "cross-site"})

    assert (answer.status, answer.headers["refresh"]) == (200, "0; url=/")
    assert "set-cookie" in answer.headers


@pytest.mark.parametrize("others", ['a={"b": [1, 2]}', "=", "x", "mlotel_{port}=", "é=ü; a=b=c", '"'])
def test_cookies_of_other_servers_do_not_lock_out(empty, others):
    """Every server on this host gives its cookies to all of them, whatever they look like."""
    others = others.replace("{port}", str(empty.session.port))
    cookie = f"{others}; {empty.cookie['Cookie']}; {others}"

    assert empty.ask("/api/runs", headers={"Cookie": cookie}).status == 200


def test_programs_send_the_token_in_a_header(empty):
    """As the API's documentation says, in whatever case."""
    assert empty.ask("/api/runs", headers={"authorization": f"bearer {empty.session.token}"}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.2:{port}",
        "localhost.evil.example:{port}",
        "localhost:{port}@evil",
    ],
)
def test_another_host_is_not_served(empty, host):
    """A name that somebody made lead here (DNS rebinding) gets nothing, with the secret or without."""
    host = host.format(port=empty.session.port)

    assert empty.ask("/api/runs", headers={**empty.cookie, "Host": host}).status == 403
    assert empty.ask("/", headers={**empty.bearer, "Host": host}).status == 403
    entering = empty.ask(f"/?token={empty.session.token}", headers={"Host": host})
    assert (entering.status, "set-cookie" in entering.headers) == (403, False)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost"])
def test_the_names_of_loopback_are_served(empty, name):
    """The address as it is printed, and the name that people type."""
    assert empty.ask("/api/runs", headers={**empty.cookie, "Host": f"{name}:{empty.session.port}"}).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_another_sites_scripts_read_nothing(empty, headers, status):
    """Not even one on another port of this machine, whose requests carry the cookie; a link may lead here."""
    assert empty.ask("/api/runs", headers={**empty.cookie, **headers}).status == status


def test_it_listens_on_loopback_alone(empty):
    """Another address of this machine is not answered."""
    with socket.socket() as other:
        other.settimeout(5)
        with pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", empty.session.port))


@pytest.mark.parametrize("path", [*EVERYTHING, "/?token=x"])
@pytest.mark.parametrize("known", [True, False])
def test_every_answer_is_sealed(empty, path, known):
    """The policy that keeps scripts out, and the rest, stands on pages, files, answers and refusals."""
    headers = empty.ask(path, headers=empty.cookie if known else {}).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "form-action": "'self'",
        "base-uri": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/",
        "/static",
        "/static/index.html%00.js",
        "/../../etc/passwd",
        "/app.py",
        "//etc/passwd",
    ],
)
def test_no_address_leads_to_another_file(empty, path):
    """Only files of the list that was made at the start are served."""
    answer = empty.ask(path, headers=empty.bearer)

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/runs", "/api/lineage"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_what_is_read_cannot_be_written(empty, path, method):
    """Other methods are named as such."""
    answer = empty.ask(path, method, {**empty.bearer, "Sec-Fetch-Site": "same-origin"})

    assert answer.status == 405
    assert {each.strip() for each in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


def test_files_come_with_their_type_and_a_tag(empty):
    """A browser that has a file asks whether it has changed."""
    kinds = {
        "/": "text/html; charset=utf-8",
        "/static/style.css": "text/css; charset=utf-8",
        "/static/main.js": "text/javascript; charset=utf-8",
        "/static/lineage.js": "text/javascript; charset=utf-8",
        "/static/icon.svg": "image/svg+xml",
    }
    for path, kind in kinds.items():
        answer = empty.get(path)
        again = empty.ask(path, headers={**empty.bearer, "If-None-Match": answer.headers["etag"]})
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert (again.status, again.body) == (304, b"")


def test_head_is_an_answer_without_its_content(empty):
    """For pages and for the API."""
    for path in ("/", "/api/runs"):
        answer = empty.ask(path, "HEAD", empty.bearer)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == str(len(empty.get(path).body))


def test_nothing_that_is_asked_is_logged(empty, caplog):
    """Neither the token nor what people look for stands in a log."""
    caplog.set_level(0)
    empty.ask(f"/?token={empty.session.token}")
    empty.get("/api/runs?text=secret-name")
    empty.get("/api/lineage?what=secret-name")

    assert empty.session.token not in caplog.text
    assert "secret-name" not in caplog.text


def test_the_secrets_are_not_in_what_prints_a_session(empty):
    """A traceback that shows the session does not show them."""
    assert empty.session.token not in repr(empty.session)
    assert empty.session.cookie not in repr(empty.session)


def test_what_is_no_http_gets_nothing_of_the_store(empty):
    """A torn or foreign request ends with a plain refusal, and the server goes on."""
    assert empty.raw(b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert empty.raw(b"GET /api/runs HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 401 ")
    assert empty.get("/api/runs").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": "{origin}"}, 400),
        ({"Sec-Fetch-Site": "same-origin"}, 400),
        ({"Origin": "{origin}"}, 400),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{origin}"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Referer": "{origin}/"}, 403),
    ],
)
def test_what_writes_has_to_come_from_a_page_of_this_server(empty, headers, status):
    """A browser proves it by Origin or Sec-Fetch-Site; one that says neither is not believed. 400: it got further."""
    words = {"origin": empty.session.origin, "port": empty.session.port}
    given = {name: value.format(**words) for name, value in headers.items()}
    answer = empty.ask("/api/flag", "POST", {**empty.cookie, **given, "Content-Type": "application/json"}, b"{}")

    assert answer.status == status


def test_a_program_writes_with_the_token_alone(empty):
    """No browser sends that header by itself; from another site's page it is refused all the same."""
    headers = {**empty.bearer, "Content-Type": "application/json"}

    assert empty.ask("/api/flag", "POST", headers, b"{}").status == 400
    assert empty.ask("/api/flag", "POST", {**headers, "Origin": "http://evil.example"}, b"{}").status == 403
    assert empty.ask("/api/flag", "POST", {**headers, "Sec-Fetch-Site": "cross-site"}, b"{}").status == 403


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b'{"what": "x"}', 415),
        ("application/x-www-form-urlencoded", b"what=x", 415),
        ("", b'{"what": "x"}', 415),
        ("application/json; charset=utf-8", b'{"what": "x"}', 404),
        ("application/json", b'{"what": "x"', 400),
        ("application/json", b'["what"]', 400),
        ("application/json", b'{"what": 1}', 400),
        ("application/json", b'{"what": "x", "when": "now"}', 400),
        ("application/json", b'{"what": "x", "why": "\xff"}', 400),
        ("application/json", b'{"what": "' + b"x" * 70_000 + b'"}', 413),
        ("application/json", b"[" * 60_000, 400),
    ],
)
def test_a_body_has_to_be_what_a_form_cannot_send(empty, kind, body, status):
    """JSON by name, an object of texts, and not too large."""
    assert empty.ask("/api/flag", "POST", {**empty.bearer, "Content-Type": kind}, body).status == status
