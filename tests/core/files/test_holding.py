"""One process at a time, seen by processes that come second."""

import multiprocessing
import os
import threading
import time

from eomtlib.core.files.holding import held


def hold(path, answer):
    with held(path, name="it", say=print, wait=False) as mine:
        answer.send(mine)
        time.sleep(60)


def holder(path):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=hold, args=(path, there))
    process.start()
    assert here.recv()
    return process


def take(path, said, **options):
    return held(path, name="eomt", say=said.append, **{"wait": False} | options)


def test_the_second_is_told_who_is_first_and_takes_over_from_a_dead_one(tmp_path):
    path, said = tmp_path / "run" / "held.lock", []
    process = holder(path)
    with take(path, said) as mine:
        assert not mine
    (notice,) = said
    assert f"eomt: process {process.pid} on {os.uname().nodename} is at it" in notice
    assert path.exists()
    process.kill()
    process.join()
    with take(path, said) as mine:
        assert mine
    assert not path.exists()
    assert len(said) == 1


def test_it_is_waited_for(tmp_path):
    path, said = tmp_path / "held.lock", []
    process = holder(path)
    threading.Timer(1, lambda: (process.kill(), process.join())).start()
    start = time.monotonic()
    with take(path, said, wait=True) as mine:
        assert mine
    assert time.monotonic() - start > 0.9
    assert "waiting" in said[0]


def test_a_process_of_another_host_is_gone_after_five_missed_heartbeats(tmp_path, monkeypatch):
    monkeypatch.setattr("eomtlib.core.files.holding.HEARTBEAT_S", 0.5)
    path, said = tmp_path / "held.lock", []
    content = f"filelock/2\npid={os.getpid()}\nhost=elsewhere\nmode=lease\ntoken={'0' * 32}\n"
    path.write_text(f"{content}duration=2.5\nstart=1\n")
    with take(path, said) as mine:
        assert not mine
    start = time.monotonic()
    with take(path, said, wait=True) as mine:
        assert mine
    assert time.monotonic() - start > 2.4
    assert "on elsewhere" in said[1]


def test_an_error_gives_it_back(tmp_path):
    path = tmp_path / "held.lock"
    for _ in range(2):
        try:
            with take(path, []) as mine:
                assert mine
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert not path.exists()
