"""Only regular files are read and written; nothing is lost, whoever else writes and whenever the process ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from refimpl import files
from refimpl.errors import FileFormatError, InvalidParameterError, OutputFileError
from refimpl.files import (
    check_input_path,
    check_output_path,
    check_paths,
    open_output,
    open_regular,
    read_bytes,
    read_json,
    read_text,
)
from verification.claims.report import Report
from verification.conformance import read_skips
from verification.exact.certificate import Certificate


@pytest.fixture(params=["unnamed", "named", "no hard links"])
def system(request, monkeypatch):
    """File systems with O_TMPFILE, without it, and without hard links too."""
    if request.param != "unnamed":
        monkeypatch.delattr(files.os, "O_TMPFILE", raising=False)
    if request.param == "no hard links":

        def refuse(*args, **options):
            raise OSError(files.errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(files.os, "link", refuse)
    return request.param


def write(path, content, force=False):
    with open_output(path, force) as handle:
        handle.write(content)


# --- what is written --------------------------------------------------------------------------------


def test_files_are_whole_or_not_there(tmp_path, system):
    path = tmp_path / "a"
    write(path, b"whole")
    assert path.read_bytes() == b"whole"
    with pytest.raises(OutputFileError, match="the file exists"):
        write(path, b"new")
    with pytest.raises(ZeroDivisionError), open_output(path, force=True) as handle:
        handle.write(b"half") and handle.write(b"rest" * (1 // 0))
    assert path.read_bytes() == b"whole"
    write(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_that_came_into_being_during_the_work_is_kept(tmp_path, system):
    path = tmp_path / "a"
    with pytest.raises(OutputFileError, match="exists by now"), open_output(path) as handle:
        handle.write(b"ours") and path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_of_two_writers_at_once_one_gets_through(tmp_path, system):
    for k in range(20):
        path, barrier, refused = tmp_path / str(k), threading.Barrier(4), []

        def work(name, path=path, barrier=barrier, refused=refused):
            try:
                with open_output(path) as handle:
                    barrier.wait()
                    handle.write(name)
            except OutputFileError:
                refused.append(name)

        threads = [threading.Thread(target=work, args=(name,)) for name in (b"a", b"b", b"c", b"d")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 3
        assert path.read_bytes() not in refused


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_permissions_of_an_overwritten_file_are_kept(tmp_path, system, mode):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    with open_output(path, force=True) as handle:
        handle.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_permissions_of_any_other(tmp_path, system):
    mask = os.umask(0o027)
    try:
        write(tmp_path / "a", b"")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_link_to_a_file_stays_a_link(tmp_path, system):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with pytest.raises(OutputFileError, match="the file exists"):
        write(link, b"new")
    write(link, b"new", force=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_places_that_are_no_regular_files(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "device").symlink_to("/dev/full")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        before = {name: os.lstat(tmp_path / name).st_mode for name in os.listdir(tmp_path)}
        for name, why in [
            ("fifo", "it is a FIFO, and only regular files are written"),
            ("socket", "it is a socket"),
            ("device", "it is a device"),
            ("/dev/null", "it is a device"),
            ("dangling", "it is a link to `.*nothing`, where there is nothing"),
            ("loop", "symbolic link"),
            ("a" * 256, "[Ff]ile name too long"),
            ("a\0b", "null"),
        ]:
            for force in (False, True):
                with pytest.raises(OutputFileError, match=why):
                    write(f"{tmp_path}/{name}" if name[0] != "/" else name, b"", force)
    assert {name: os.lstat(tmp_path / name).st_mode for name in os.listdir(tmp_path)} == before


def test_names_of_the_greatest_length_can_be_written(tmp_path, system):
    path = tmp_path / ("a" * 255)
    write(path, b"1")
    write(path, b"2", force=True)
    assert path.read_bytes() == b"2"


def test_a_folder_that_takes_no_files_is_found_out_before_the_work(tmp_path, system, monkeypatch):
    """A read-only or foreign file system, where access(2) tells a superuser that all is well."""

    def refuse(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(OutputFileError, match="Read-only file system"):
        check_output_path(tmp_path / "a")


def test_a_read_only_file_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "access", lambda place, mode: place != path)  # root may write anywhere
    with pytest.raises(OutputFileError, match="the file is read-only"):
        write(path, b"new", force=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_nothing(tmp_path, number):
    """Where the system has files without names; elsewhere a hidden one stays, as docs/numerics.md says."""
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without names")
    code = (
        "import sys, time; from refimpl.files import open_output\n"
        "with open_output(sys.argv[1], True) as handle:\n"
        "    handle.write(b'half' * 10000); handle.flush(); print('ready', flush=True); time.sleep(60)"
    )
    (tmp_path / "a").write_bytes(b"old")
    for name in ("a", "b"):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / name)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            process.wait(30)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


# --- several outputs --------------------------------------------------------------------------------


def test_two_outputs_with_one_path_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "same").symlink_to("folder")
    (tmp_path / "old").write_bytes(b"old")
    os.link(tmp_path / "old", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("old")
    for first, second in [
        ("a", "a"),
        ("a", "./a"),
        ("a", "folder/../a"),
        ("a", str(tmp_path / "a")),
        ("folder/a", "same/a"),
        ("a.json", "A.JSON"),
        ("old", "hard"),
        ("old", "soft"),
        ("é", "e\u0301"),
    ]:
        with pytest.raises(OutputFileError, match="--json and --save are the same file"):
            check_paths({"--json": first, "--html": None, "--save": second}, {}, force=True)
    check_paths({"--json": "folder/a", "--html": "a", "--save": "b"}, {"--data": "old"})


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["data.csv", "./data.csv", "soft", "hard"])
def test_an_output_that_is_an_input_is_refused(tmp_path, monkeypatch, name, force):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_bytes(b"1,1\n")
    (tmp_path / "soft").symlink_to("data.csv")
    os.link("data.csv", "hard")
    with pytest.raises(OutputFileError, match="it is the input --data"):
        check_paths({"--json": name}, {"--data": "data.csv", "--weights": None}, force)


# --- what is read -----------------------------------------------------------------------------------


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    started = time.monotonic()
    for path, why in [
        (tmp_path / "fifo", "it is a FIFO, and only regular files are read"),
        (tmp_path, "it is a folder"),
        ("/dev/zero", "it is a device"),
        (tmp_path / "none", "there is no such file"),
        (tmp_path / ("a" * 256), "[Ff]ile name too long"),
        ("a\0b", "null"),
    ]:
        for reader in (check_input_path, open_regular, read_bytes, read_text, read_json):
            with pytest.raises(FileFormatError, match=why):
                reader(path)
    assert time.monotonic() - started < 5.0


def test_readers_of_text_elsewhere_wait_for_no_fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for read in (Certificate.load, read_skips, Report.load):
        with pytest.raises(FileFormatError, match="it is a FIFO"):
            read(tmp_path / "fifo")


def test_a_file_that_becomes_a_fifo_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(files, "check_input_path", lambda path: path)
    with pytest.raises(FileFormatError, match="it is a FIFO"):
        open_regular(tmp_path / "fifo")


@pytest.mark.parametrize("path", ["", None, 0, b"a", 1.5, ["a"]])
def test_what_is_no_path(path):
    for function in (check_input_path, open_regular, read_json, check_output_path):
        with pytest.raises(InvalidParameterError, match="`path` must be the name of a file or folder; got"):
            function(path)


def test_json_of_strangers(tmp_path):
    path = tmp_path / "a.json"
    for content, why in [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"{", "it is not JSON"),
        (b"", "it is not JSON"),
        (b"1" * 5000, "it is not JSON"),
        (b'"\xff"', "it is not text in UTF-8"),
    ]:
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=why):
            read_json(path)
    path.write_text(json.dumps({"a": [1, 2.5, "é"]}))
    assert read_json(path) == {"a": [1, 2.5, "é"]}
    with pytest.raises(FileFormatError, match="more than the 8 bytes"):
        read_json(path, limit=8)
    assert len(read_bytes(path, limit=path.stat().st_size)) == path.stat().st_size
