from __future__ import annotations

from desk import EXAMPLES, Desk


def test_the_quickstart_needs_no_configuration(desk: Desk) -> None:
    """The smallest script records two runs, joined by the table between them, in the folder it is run in."""
    done = desk.python("quickstart.py")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    report, clean = desk.json("runs")
    assert (clean["component"], report["component"]) == ("clean", "report")
    assert [each["rows"] for each in (*clean["inputs"], *clean["outputs"], *report["outputs"])] == [4, 3, 2]
    assert report["inputs"][0]["digest"] == clean["outputs"][0]["digest"]
    assert report["inputs"][0]["link"]["trace_id"] == clean["trace_id"]
    assert report["metrics"] == {"shops": 2.0}
    assert (desk.folder / ".mlotel").is_dir()


def test_the_quickstart_says_what_to_type(desk: Desk) -> None:
    """Each command in the script's own docstring works."""
    desk.python("quickstart.py")
    script = (EXAMPLES / "quickstart.py").read_text()
    typed = [line.split() for line in script.splitlines() if line.startswith("    mlotel ")]

    assert typed
    for line in typed:
        done = desk.type(*line)
        assert done.returncode == 0, done.stderr
        assert "clean" in done.stdout


def test_the_shell_step_joins_two_commands(desk: Desk) -> None:
    """Two commands that know nothing of mlotel become two runs, joined by the file between them."""
    done = desk.type("sh", EXAMPLES / "shell_step.sh", desk.folder)

    assert done.returncode == 0, done.stderr
    assert (desk.folder / "count.txt").read_text().strip() == "3"
    found = desk.json("lineage", "count.txt")
    assert [run["component"] for run in found["runs"]] == ["sort", "count"]
    assert {each["name"] for each in found["artifacts"]} == {"fruit.txt", "sorted.txt", "count.txt"}
