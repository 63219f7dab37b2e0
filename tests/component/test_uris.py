"""URIs as they are recorded: where an artifact lies, and nothing that opens it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlotel.testing import capture
from mlotel.uris import clean, hide_credentials, of_path

SIGNED = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20240101&X-Amz-Signature=ab"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://bucket/key.parquet", "s3://bucket/key.parquet"),
        (f"https://bucket.s3.amazonaws.com/key?{SIGNED}", "https://bucket.s3.amazonaws.com/key"),
        (f"s3://bucket/key?versionId=3&{SIGNED}", "s3://bucket/key?versionId=3"),
        (
            "https://storage.googleapis.com/b/o?X-Goog-Credential=a&X-Goog-Signature=b&generation=12",
            "https://storage.googleapis.com/b/o?generation=12",
        ),
        (
            "https://account.blob.core.windows.net/c/f?sv=2024&se=2030&sr=b&sp=r&sig=ab%2Bcd%3D",
            "https://account.blob.core.windows.net/c/f",
        ),
        ("abfss://container@account.dfs.core.windows.net/f", "abfss://container@account.dfs.core.windows.net/f"),
        ("wasbs://container:key@account.blob.core.windows.net/f", "wasbs://account.blob.core.windows.net/f"),
        ("postgresql://user:pa@ss@host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://user:p%40ss@[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql://user:pass@/db?host=/var/run", "postgresql:///db"),
        ("https://token@host/x#fragment", "https://host/x"),
        ("mongodb://u:p@one:27017,two:27017/db?authSource=admin", "mongodb://one:27017,two:27017/db"),
        ("snowflake://u:p@account/db/schema?warehouse=w&token=t", "snowflake://account/db/schema"),
        ("jdbc:postgresql://host/db?user=u&password=p", "jdbc:postgresql://host/db"),
        ("jdbc:sqlserver://host:1433;user=sa;password=p", "jdbc:sqlserver://host:1433"),
        ("jdbc:oracle:thin:scott/tiger@//host:1521/service", "jdbc:oracle://host:1521/service"),
        ("JDBC:mysql://u:p@host/db", "jdbc:mysql://host/db"),
        ("jdbc:mysql://u:p;q@host/db", "jdbc:mysql:"),
        ("jdbc:sqlserver://host;user=me@work;password=p@ss", "jdbc:sqlserver://host"),
        ("sqlserver://host;pass=p@ss", "sqlserver://host;"),
        ("git@github.com:owner/name.git", "ssh://github.com/owner/name.git"),
        ("user:secret@host:path", "ssh://host/path"),
        ("user:secret@host/path", "user:host/path"),
        ("hdfs:///x/y", "hdfs:///x/y"),
        ("dbfs:/x/y", "dbfs:/x/y"),
        ("models:/name/3", "models:/name/3"),
        ("urn:isbn:123", "urn:isbn:123"),
        ("data:text/csv;base64,c2VjcmV0", "data:"),
        ("http://[::1", "http:"),
        ("https://user:se/cret@host/x", "https:"),
        ("https://user:se?cret@host/x", "https:"),
        ("https://user:se#cret@host/x", "https:"),
        ("  s3://bucket/key\n", "s3://bucket/key"),
        ("s3://bucket/\x1b[31mkey", "s3://bucket/[31mkey"),
        ("file:///data/a.csv", "file:///data/a.csv"),
        ("https://host/@scope/package", "https://host/@scope/package"),
        ("s3://bucket/year=2024/a@b.csv", "s3://bucket/year=2024/a@b.csv"),
    ],
)
def test_uris_lose_what_opens_them_and_nothing_else(uri: str, shown: str) -> None:
    """User, password, signature and fragment go; host, path and what names a version stay."""
    assert clean(uri) == shown


@pytest.mark.parametrize(
    "text",
    ["Server=s;User Id=u;Password=hunter2;", "DefaultEndpointsProtocol=https;AccountKey=hunter2==;EndpointSuffix=x",
     "Driver={x};UID=hunter2;PWD=hunter2", "Server=s;User Id=hunter2", "host=h password=hunter2", "jdbc:hunter2", "endpoint=sb://x;SharedAccessKey=hunter2"],
)  # fmt: skip
def test_connection_strings_lose_their_passwords(text: str) -> None:
    """They are no URIs, but are given where a URI is asked for."""
    assert "hunter2" not in clean(text)


def test_paths_become_file_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative ones are absolute from then on; pathlib is the oracle."""
    monkeypatch.chdir(tmp_path)
    assert clean("data/a b.csv") == of_path("data/a b.csv") == (tmp_path / "data" / "a b.csv").as_uri()
    assert clean("../x") == (tmp_path.parent / "x").as_uri()
    assert clean("/ä/%20?#") == Path("/ä/%20?#").as_uri()
    assert of_path(Path("s3:x")) == (tmp_path / "s3:x").as_uri()

    class Bytes(os.PathLike[bytes]):
        def __fspath__(self) -> bytes:
            return b"\xff.csv"

    assert of_path(Bytes()) == (tmp_path / os.fsdecode(b"\xff.csv")).as_uri() == tmp_path.as_uri() + "/%FF.csv"


@given(uri=st.text() | st.from_regex(r"[a-z]{2,5}:(//)?.*"))
@example("x" * 10**5)
@example("token" * 10**4)
@example("aa://" * 10**4)
@example("jdbc:" * 10**4)
@example("s3://" + "password=" * 10**4)
def test_no_text_is_too_odd(uri: str) -> None:
    """Nothing raises, and no pattern goes wild; what comes back is bounded and holds no control character."""
    shown = clean(uri)
    assert len(shown) <= 2048
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)


ALPHABET = "abcXYZ019!$&'()*+,;=:@~-._ %|é"
SECRETS = st.text(ALPHABET, min_size=1, max_size=12).map(lambda text: f"hunter2{text}hunter2")


@given(
    secret=SECRETS,
    scheme=st.sampled_from(["https", "s3", "postgresql+psycopg2", "gs", "abfss", "jdbc:mysql", "x-custom", "file"]),
    host=st.sampled_from(["host", "host:8080", "[::1]:80", "", "a.b.c"]),
    user=st.sampled_from(["user:", ":", "user%40mail:", ""]),
    place=st.sampled_from(["userinfo", "query", "fragment", "signature", "many"]),
    encoded=st.booleans(),
)
@example(secret="hunter2; hunter2", scheme="jdbc:mysql", host="host", user="", place="userinfo", encoded=False)
@example(secret="hunter2@ hunter2", scheme="abfss", host="host", user="user:", place="userinfo", encoded=False)
def test_a_secret_where_secrets_stand_is_never_shown(
    secret: str, scheme: str, host: str, user: str, place: str, encoded: bool
) -> None:
    """In user information, query or fragment, percent-encoded or raw, in URIs of every kind."""
    written = quote(secret, safe="") if encoded else secret
    if scheme == "abfss" and not user:
        user = "user:"  # alone it is a container's name
    uri = {
        "userinfo": f"{scheme}://{user}{written}@{host}/path",
        "query": f"{scheme}://{host}/path?q={written}",
        "fragment": f"{scheme}://{host}/path#{written}",
        "signature": f"{scheme}://{host}/path?version=1&sig={quote(secret, safe='')}&X-Amz-Signature={written}",
        "many": f"{scheme}://{user}{written}@{host}/path?password={written}#{written}",
    }[place]
    shown = clean(uri)
    assert "hunter2" not in shown, shown
    if place == "userinfo":
        assert "hunter2" not in hide_credentials(f"connect to {uri} now") or re.search(r"\s", written)


def test_the_uri_of_an_artifact_is_clean(tmp_path: Path) -> None:
    """Given as text, as a path, or taken from the artifact."""
    path = tmp_path / "a.txt"
    path.write_text("x")
    with capture() as captured:
        import mlotel

        with mlotel.component("a") as run:
            run.log_input(b"x", "one", uri=f"s3://key:secret@bucket/a?{SIGNED}")
            run.log_input(b"x", "two", uri=path)
            run.log_input(path)
    assert [a.uri for a in captured.runs[0].inputs] == ["s3://bucket/a", path.as_uri(), path.as_uri()]
    assert not any(b"secret" in line or b"AKIA" in line for line in captured.store.lines)
