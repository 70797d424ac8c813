"""The write-ahead log: what is acknowledged is read back, whatever happened to the process or the disk."""

import errno
import os
import pathlib

import pytest

from h2rec_tf.errors import InputError
from serving.retrieval_service.log import LogReader, LogWriteError, WriteAheadLog, segments

GROUPS = [[b"one"], [b"two", b"", b"three" * 10], [b"four"]]
RECORDS = [record for group in GROUPS for record in group]


def write(folder: pathlib.Path, groups=GROUPS, **options) -> WriteAheadLog:
    log = WriteAheadLog(folder, next_sequence=1, **options)
    for group in groups:
        log.append(group)
    return log


def reopen(folder: pathlib.Path, after: int = 0) -> tuple[list[bytes], WriteAheadLog]:
    reader = LogReader(folder, after=after)
    records = list(reader)
    return records, WriteAheadLog(folder, next_sequence=reader.next_sequence, resume=reader.resume)


def test_records_come_back_in_order_and_the_log_goes_on(tmp_path):
    write(tmp_path).close()
    records, log = reopen(tmp_path)
    assert records == RECORDS
    assert log.append([b"five"]) == 6
    log.close()
    assert reopen(tmp_path, after=4)[0] == [b"four", b"five"]


def test_a_cut_at_any_byte_loses_whole_groups_from_the_end_only(tmp_path):
    write(tmp_path / "whole").close()
    ((_, path),) = segments(tmp_path / "whole")
    data = path.read_bytes()
    seen = set()
    for size in range(len(data)):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / path.name).write_bytes(data[:size])
        records, log = reopen(folder)
        assert records in ([], RECORDS[:1], RECORDS[:4]), size
        seen.add(len(records))
        # What is appended after a cut is read after the next start.
        log.append([b"more"])
        log.close()
        assert reopen(folder)[0] == [*records, b"more"]
    assert seen == {0, 1, 4}


@pytest.mark.parametrize("fill", [b"\0" * 5000, b"\xff" * 70, os.urandom(300)], ids=["zeros", "ones", "noise"])
def test_an_unfinished_write_of_any_content_is_cut_off(tmp_path, fill):
    write(tmp_path).close()
    ((_, path),) = segments(tmp_path)
    with path.open("ab") as file:
        file.write(fill)
    assert reopen(tmp_path)[0] == RECORDS


def test_damage_before_a_good_record_is_refused_with_file_and_offset(tmp_path):
    write(tmp_path).close()
    ((_, path),) = segments(tmp_path)
    data = path.read_bytes()
    starts = [data.index(b"RH2W")]
    while (place := data.find(b"RH2W", starts[-1] + 1)) >= 0:
        starts.append(place)
    assert len(starts) == len(GROUPS)
    for place in range(starts[0], starts[-1]):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        offset = max(start for start in starts if start <= place)
        with pytest.raises(InputError, match=f"{path}: damaged at offset {offset}"):
            list(LogReader(tmp_path, after=0))


def test_damage_in_a_segment_that_is_not_the_last_is_refused(tmp_path):
    log = write(tmp_path)
    log.rotate()
    log.append([b"five"])
    log.close()
    path = segments(tmp_path)[0][1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{path}: damaged at offset \d+"):
        list(LogReader(tmp_path, after=0))


def test_a_missing_segment_is_refused(tmp_path):
    log = write(tmp_path, segment_bytes=1)
    log.close()
    first, second, third = [path for _, path in segments(tmp_path)]
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(InputError, match=f"{third}: .*missing"):
        list(LogReader(tmp_path, after=0))
    second.write_bytes(kept)
    first.unlink()
    with pytest.raises(InputError, match="record 1 is in no file"):
        list(LogReader(tmp_path, after=0))
    assert reopen(tmp_path, after=1)[0] == RECORDS[1:]


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / f"{1:020d}.log").write_bytes(b"not a log at all")
    with pytest.raises(InputError, match=r"not a log file of this program \(offset 0\)"):
        list(LogReader(tmp_path, after=0))


def test_segments_that_a_snapshot_covers_go_away(tmp_path):
    log = write(tmp_path)
    assert log.rotate() == 5
    assert log.rotate() == 5
    log.append([b"six"])
    log.remove_through(4)
    assert len(segments(tmp_path)) == 2
    log.remove_through(5)
    assert [first for first, _ in segments(tmp_path)] == [6]
    log.close()
    assert reopen(tmp_path, after=5)[0] == [b"six"]


def test_a_log_behind_its_snapshot_starts_a_new_segment(tmp_path):
    write(tmp_path).close()
    records, log = reopen(tmp_path, after=9)
    assert records == []
    assert log.append([b"ten"]) == 10
    log.close()
    assert reopen(tmp_path, after=9)[0] == [b"ten"]


@pytest.mark.parametrize("fail", ["write", "short write", "fsync"])
def test_a_full_disk_fails_the_write_and_nothing_else(tmp_path, monkeypatch, fail):
    log = write(tmp_path)
    really_write, failing = os.write, [True]

    def refuse(*unused):
        raise OSError(errno.ENOSPC, "No space left on device")

    def write_half(file, data):
        # A disk that fills up takes a part first.
        return really_write(file, data[: len(data) // 2]) if len(data) > 20 else refuse()

    def sync(file, really_sync=os.fsync):
        # The cut that follows must succeed.
        return refuse() if failing and failing.pop() else really_sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(
            os, "fsync" if fail == "fsync" else "write", {"write": refuse, "fsync": sync}.get(fail, write_half)
        )
        with pytest.raises(LogWriteError, match="No space left on device; free some space") as caught:
            log.append([b"lost" * 100])
        assert caught.value.full
    assert log.append([b"kept"]) == 6
    log.close()
    assert reopen(tmp_path)[0] == [*RECORDS, b"kept"]


def test_a_log_whose_failed_write_cannot_be_taken_back_takes_no_more(tmp_path, monkeypatch):
    log = write(tmp_path)

    def refuse(*unused):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(LogWriteError, match="Input/output error"):
            log.append([b"unknown"])
    with pytest.raises(LogWriteError, match="restart"):
        log.append([b"refused"])
