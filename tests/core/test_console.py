"""What is said goes where it was asked to go, and progress is readable wherever it is shown."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import warnings
from types import SimpleNamespace

import nbclient
import nbformat
import pytest

from eomtlib.core import console
from eomtlib.core.console import Manner, Progress, complain, deliver, progress, say, show, speaking


def speak():
    show("result")
    say("notice")
    complain("error")
    warnings.warn("mind this", stacklevel=1)
    for _ in progress(range(3), "counting"):
        pass
    deliver({"value": float("nan"), "path": os.path})


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
def test_results_and_all_else_have_streams_of_their_own(quiet, as_json, capsys):
    with speaking(Manner(quiet=quiet, as_json=as_json), as_who="eomtlib verb"):
        speak()
    out, err = capsys.readouterr()
    if as_json:
        assert json.loads(out) == {"value": None, "path": str(os.path)}
        assert out.count("\n") == 1
    else:
        assert out == "result\n"
    expected = [] if quiet or not as_json else ["result"]
    expected += [] if quiet else ["notice"]
    expected += ["error"]
    expected += [] if quiet else ["eomtlib verb: warning: mind this"]
    expected += [] if quiet else ["counting: 100 %, 3 of 3 in 00:00"]
    assert err.splitlines() == expected


def test_it_is_spoken_as_before_afterwards(capsys):
    with pytest.raises(ValueError), speaking(Manner(quiet=True), as_who=""):  # noqa: PT011
        raise ValueError
    say("again")
    assert capsys.readouterr().err == "again\n"
    with pytest.warns(UserWarning, match="a warning"):
        warnings.warn("a warning", stacklevel=1)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    at = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: at.seconds)
    return at


@pytest.mark.parametrize("step_s", [0.01, 1.0, 90.0])
def test_a_file_gets_few_whole_lines(step_s, clock, capsys):
    steps = 200
    with Progress("training", total=steps, unit="steps") as bar:
        for number in range(steps):
            clock.seconds += step_s
            bar.note(f"loss {number}")
            bar.update()
    said = capsys.readouterr().err
    assert "\r" not in said
    lines = said.splitlines()
    assert lines[-1].startswith("training: 100 %, 200 of 200 steps in ")
    assert lines[-1].endswith("loss 199")
    # One every tenth, but not within five seconds, and one at least every minute.
    assert len(lines) - 1 == {0.01: 0, 1.0: 9, 90.0: 199}[step_s]
    if step_s == 1.0:
        assert lines[0] == "training: 10 %, 20 of 200 steps, 03:00 left, loss 19"


def test_what_is_resumed_is_not_taken_for_fast(clock, capsys):
    with Progress("training", total=100, already=80, unit="steps") as bar:
        for _ in range(10):
            clock.seconds += 6
            bar.update()
    assert "90 %, 90 of 100 steps, 01:00 left" in capsys.readouterr().err.splitlines()[0]


def test_a_note_alone_is_shown_once_a_minute(clock, capsys):
    with Progress("training", total=2, unit="runs") as bar:
        for step in range(61):
            clock.seconds += 2
            bar.note(f"step {step}")
            bar.update(0)
    first, second, _ = capsys.readouterr().err.splitlines()
    assert first == "training: 0 %, 0 of 2 runs, step 29"
    assert second == "training: 0 %, 0 of 2 runs, step 59"


def test_what_is_over_soon_or_passes_leaves_no_line(clock, capsys):
    for seconds, options in ((2, {"delay": 3}), (9, {"kept": False}), (200, {"shown": False})):
        for _ in progress(range(2), "looking", **options):
            clock.seconds += seconds / 2
    assert capsys.readouterr().err == ""
    for _ in progress(range(2), "timing", kept=False):
        clock.seconds += 61
    assert capsys.readouterr().err == "timing: 50 %, 1 of 2, 01:01 left\n"
    for _ in progress(range(2), "looking", delay=3):
        clock.seconds += 2
    assert capsys.readouterr().err == "looking: 100 %, 2 of 2 in 00:04\n"


def test_a_terminal_gets_one_bar_and_notices_above_it():
    """In a real terminal, read from its other end."""
    script = (
        "from eomtlib.core.console import Progress, say\n"
        "with Progress('training', total=2, unit='steps') as bar:\n"
        "    bar.update(); say('a notice'); bar.note('loss 1'); bar.update()\n"
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait() == 0
    text = said.decode()
    assert "a notice\r\n" in text
    last = text.rstrip("\r\n").split("\r")[-1]
    assert last.startswith("training 100 % |")
    assert "2 of 2 steps in 00:00, loss 1" in last
    assert len(text.rstrip("\r\n").split("\n")[-1].split("\r")) > 1  # drawn over itself
    assert max(map(len, text.replace("\n", "\r").split("\r"))) <= 80


def test_a_page_of_a_notebook_shows_how_it_ended():
    code = (
        "import time\n"
        "from eomtlib.core.console import progress, say\n"
        "say('a notice')\n"
        "for _ in progress(range(3), 'counting', unit='images'): time.sleep(0.6)\n"
        "for _ in progress(range(3), 'timing', kept=False): time.sleep(0.6)\n"
        "for _ in progress(range(3), 'looking', delay=3): pass\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    notice, counted, timed = notebook.cells[0].outputs
    assert (notice.name, notice.text) == ("stdout", "a notice\n")
    assert counted.data["text/plain"].startswith("counting 100 % |")
    assert "3 of 3 images in 00:0" in counted.data["text/plain"]
    assert timed.data["text/plain"] == ""
