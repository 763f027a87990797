"""The standard library's readers and writers of formats work on our handles."""

from __future__ import annotations

import bz2
import configparser
import csv
import gzip
import io
import json
import logging
import lzma
import pickle
import shutil
import sqlite3
import tarfile
import tomllib
import wave
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from stratavfs import VirtualFileSystem

DATA = bytes(range(256)) * 3
ROWS = [["name", "note"], ["één", 'a "quoted", word'], ["twee", "two\nlines"]]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zipfile_writes_reads_and_appends(
    vfs: VirtualFileSystem, compression: int
) -> None:
    with vfs.open("/a.zip", "wb") as f, zipfile.ZipFile(f, "w", compression) as archive:
        archive.writestr("one", DATA)
        with archive.open("two", "w") as member:
            member.write(b"streamed")
    with vfs.open("/a.zip", "r+b") as h, zipfile.ZipFile(h, "a") as archive:
        archive.writestr("three", b"appended")

    with vfs.open("/a.zip", "rb") as g, zipfile.ZipFile(g) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["one", "two", "three"]
        assert archive.read("one") == DATA
        assert archive.read("two") == b"streamed"


def test_zipfile_appends_to_what_is_no_archive(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/program", b"#!/bin/sh\n")

    with vfs.open("/program", "r+b") as f, zipfile.ZipFile(f, "a") as archive:
        archive.writestr("inside", b"data")

    assert vfs.read_bytes("/program").startswith(b"#!/bin/sh\n")
    with vfs.open("/program", "rb") as g, zipfile.ZipFile(g) as archive:
        assert archive.read("inside") == b"data"


def test_zipfile_on_a_raw_handle_reads(vfs: VirtualFileSystem) -> None:
    with vfs.open("/a.zip", "wb") as f, zipfile.ZipFile(f, "w") as archive:
        archive.writestr("one", b"data")

    with vfs.open("/a.zip", "rb", 0) as raw, zipfile.ZipFile(raw) as archive:
        with archive.open("one") as member:
            member.seek(2)
            assert member.read() == b"ta"
        assert zipfile.is_zipfile(raw)


def member_of(name: str, data: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    return entry, io.BytesIO(data)


def tar_names(vfs: VirtualFileSystem, mode: Any) -> list[str]:
    with vfs.open("/a.tar", "rb") as f, tarfile.open(fileobj=f, mode=mode) as archive:
        return [entry.name for entry in archive]


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_tarfile_writes_and_reads(vfs: VirtualFileSystem, compression: str) -> None:
    mode: Any = f"w:{compression}"
    with vfs.open("/a.tar", "wb") as f, tarfile.open(fileobj=f, mode=mode) as archive:
        archive.addfile(*member_of("one", DATA))
        archive.addfile(*member_of("two", b"2"))

    assert tar_names(vfs, "r:*") == ["one", "two"]
    assert tar_names(vfs, "r|*") == ["one", "two"]
    with vfs.open("/a.tar", "rb") as g, tarfile.open(fileobj=g) as archive:
        member = archive.extractfile("one")
        assert member is not None
        assert member.read() == DATA


def test_tarfile_appends(vfs: VirtualFileSystem) -> None:
    with vfs.open("/a.tar", "wb") as f, tarfile.open(fileobj=f, mode="w") as archive:
        archive.addfile(*member_of("one", DATA))

    with vfs.open("/a.tar", "r+b") as h, tarfile.open(fileobj=h, mode="a") as archive:
        archive.addfile(*member_of("two", DATA))

    assert tar_names(vfs, "r:") == ["one", "two"]


def test_tarfile_streams_into_a_raw_handle(vfs: VirtualFileSystem) -> None:
    with (
        vfs.open("/a.tar", "wb", 0) as raw,
        tarfile.open(fileobj=raw, mode="w|gz") as archive,
    ):
        archive.addfile(*member_of("one", DATA))

    assert tar_names(vfs, "r|gz") == ["one"]


@pytest.mark.parametrize("module", [gzip, bz2, lzma], ids=lambda m: m.__name__)
def test_compressors_write_append_and_read(vfs: VirtualFileSystem, module: Any) -> None:
    for mode in ("wb", "ab"):
        with vfs.open("/z", mode) as f, module.open(f, mode) as z:
            z.write(DATA)

    with vfs.open("/z", "rb") as g, module.open(g) as z:
        assert z.read() == DATA * 2
        assert z.seek(300) == 300
        assert z.read(5) == DATA[44:49]
    with vfs.open("/z", "rb") as g, module.open(g, "rt", encoding="latin-1") as z:
        assert z.read(3) == "\0\x01\x02"


@pytest.mark.parametrize("dialect", ["excel", "excel-tab", "unix"])
def test_csv_writes_and_reads(vfs: VirtualFileSystem, dialect: str) -> None:
    with vfs.open("/a.csv", "w", newline="") as f:
        csv.writer(f, dialect).writerows(ROWS)

    with vfs.open("/a.csv", newline="") as f:
        assert list(csv.reader(f, dialect)) == ROWS


def test_json_dumps_and_loads(vfs: VirtualFileSystem) -> None:
    value = {"één": [1, 2.5, None, True, "😀"]}
    with vfs.open("/a.json", "w") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)

    with vfs.open("/a.json") as f:
        assert json.load(f) == value
    with vfs.open("/a.json", "rb") as f:
        assert json.load(f) == value


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_pickle_dumps_and_loads(
    vfs: VirtualFileSystem, protocol: int, buffering: int
) -> None:
    value = {"a": (1, DATA), "b": bytearray(b"x" * 3000)}
    with vfs.open("/a.pickle", "wb", buffering) as f:
        pickle.dump(value, f, protocol)
        pickle.dump("second", f, protocol)

    with vfs.open("/a.pickle", "rb", buffering) as f:
        assert pickle.load(f) == value
        assert pickle.load(f) == "second"


def test_configparser_writes_and_reads(vfs: VirtualFileSystem) -> None:
    config = configparser.ConfigParser()
    config["section"] = {"key": "wärde", "other": "1"}
    with vfs.open("/a.ini", "w") as f:
        config.write(f)

    found = configparser.ConfigParser()
    with vfs.open("/a.ini") as f:
        found.read_file(f)

    assert found == config


def test_wave_writes_its_length_back_into_the_head(vfs: VirtualFileSystem) -> None:
    with vfs.open("/a.wav", "wb") as f, wave.open(f, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(DATA)
        sound.writeframes(DATA)

    with vfs.open("/a.wav", "rb") as g, wave.open(g, "rb") as sound:
        assert sound.getnframes() == len(DATA)
        assert sound.readframes(len(DATA)) == DATA * 2


def test_tomllib_loads(vfs: VirtualFileSystem) -> None:
    vfs.write_text("/a.toml", '[table]\nkey = "één"\n')

    with vfs.open("/a.toml", "rb") as f:
        assert tomllib.load(f) == {"table": {"key": "één"}}


@pytest.mark.parametrize("length", [0, 7, 100_000])
def test_copyfileobj_copies_both_ways(vfs: VirtualFileSystem, length: int) -> None:
    with vfs.open("/a", "w+b") as f:
        shutil.copyfileobj(io.BytesIO(DATA * 3), f, length)
        f.seek(0)
        with vfs.open("/b", "wb") as g:
            shutil.copyfileobj(f, g, length)

    assert vfs.read_bytes("/b") == DATA * 3


def test_sqlite_database_goes_in_and_out(vfs: VirtualFileSystem) -> None:
    with closing(sqlite3.connect(":memory:")) as cx:
        cx.execute("CREATE TABLE t (x)")
        cx.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(100)])
        cx.commit()
        vfs.write_bytes("/a.db", cx.serialize())

    with closing(sqlite3.connect(":memory:")) as cx:
        cx.deserialize(vfs.read_bytes("/a.db"))
        assert cx.execute("SELECT sum(x) FROM t").fetchone() == (4950,)


def test_sqlite_dump_goes_line_by_line(vfs: VirtualFileSystem) -> None:
    with closing(sqlite3.connect(":memory:")) as cx, vfs.open("/a.sql", "w") as f:
        cx.execute("CREATE TABLE t (x)")
        cx.execute("INSERT INTO t VALUES ('één')")
        f.writelines(f"{line}\n" for line in cx.iterdump())

    with closing(sqlite3.connect(":memory:")) as cx, vfs.open("/a.sql") as f:
        cx.executescript(f.read())
        assert cx.execute("SELECT x FROM t").fetchall() == [("één",)]


def test_logging_writes_each_record_at_once(vfs: VirtualFileSystem) -> None:
    with vfs.open("/a.log", "a") as f:
        handler = logging.StreamHandler(f)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        handler.emit(logging.makeLogRecord({"msg": "één", "levelname": "INFO"}))
        assert vfs.read_text("/a.log") == "INFO één\n"
        handler.emit(logging.makeLogRecord({"msg": "twee", "levelname": "INFO"}))

    assert vfs.read_text("/a.log").splitlines() == ["INFO één", "INFO twee"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "us-ascii"])
def test_xml_writes_and_parses(vfs: VirtualFileSystem, encoding: str) -> None:
    tree = ET.ElementTree(ET.fromstring("<a><b key='é'>tëxt</b></a>"))
    with vfs.open("/a.xml", "wb") as f:
        tree.write(f, encoding=encoding, xml_declaration=True)

    with vfs.open("/a.xml", "rb") as g:
        found = ET.parse(g).getroot()
    with vfs.open("/a.xml", "rb") as g:
        events = [element.tag for _, element in ET.iterparse(g)]

    assert found[0].text == "tëxt"
    assert found[0].get("key") == "é"
    assert events == ["b", "a"]


def test_print_writes_to_a_handle(vfs: VirtualFileSystem) -> None:
    with vfs.open("/a.txt", "w") as f:
        print("one", 2, sep=", ", end="!\n", file=f, flush=True)
        assert vfs.read_text("/a.txt") == "one, 2!\n"


def test_buffered_pair_of_raw_handles_works(vfs: VirtualFileSystem) -> None:
    vfs.write_bytes("/in", DATA)

    with (
        vfs.open("/in", "rb", 0) as source,
        vfs.open("/out", "wb", 0) as target,
        io.BufferedRWPair(source, target) as pair,
    ):
        pair.write(pair.read(100))

    assert vfs.read_bytes("/out") == DATA[:100]
