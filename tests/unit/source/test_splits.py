"""Which bytes are read by which task, and what markers add up to."""

from __future__ import annotations

from app.source.splits import Marker, ScanFile, Split, broken_borders, bundle_splits, line_bases, plan_splits

MB = 1 << 20


def file(number: int, size: int, key: str = "a.csv") -> ScanFile:
    return ScanFile(number, "drops", key, "etag", size)


def test_a_small_file_is_one_split() -> None:
    (split,) = plan_splits([file(1, 32 * MB)], 32 * MB)
    assert (split.number, split.start, split.end, split.is_whole) == (0, 0, 32 * MB, True)


def test_an_empty_file_is_read_too() -> None:
    (split,) = plan_splits([file(1, 0)], 32 * MB)
    assert (split.start, split.end, split.is_whole) == (0, 0, True)


def test_a_large_file_is_cut_into_equal_pieces_without_gaps() -> None:
    splits = plan_splits([file(1, 100)], 32, block_bytes=1)
    assert [(split.number, split.start, split.end) for split in splits] == [(0, 0, 25), (1, 25, 50), (2, 50, 75), (3, 75, 100)]
    assert not any(split.is_whole for split in splits)


def test_borders_are_multiples_of_a_block_and_splits_no_larger_than_asked_for() -> None:
    splits = plan_splits([file(1, 103)], 32, block_bytes=10)
    assert [(split.start, split.end) for split in splits] == [(0, 20), (20, 50), (50, 80), (80, 103)]
    assert [(split.start, split.end) for split in plan_splits([file(1, 25)], 3, block_bytes=10)] == [(0, 10), (10, 20), (20, 25)]
    assert {split.start % (256 << 10) for split in plan_splits([file(1, 100 * MB + 7)], 3 * MB + 1)} == {0}


def test_compressed_and_named_files_stay_whole() -> None:
    files = [file(1, 100, "a.csv.GZ"), file(2, 100), file(3, 100)]
    assert [split.file.file_id for split in plan_splits(files, 60, whole=frozenset({2}), block_bytes=1)] == [1, 2, 3, 3]


def test_a_small_batch_is_one_task() -> None:
    splits = plan_splits([file(1, 40_000)], 32 * MB)
    assert bundle_splits(splits, 32 * MB, 2) == [splits]


def test_many_small_files_keep_all_cores_busy() -> None:
    bundles = bundle_splits(plan_splits([file(n, 1000) for n in range(1000)], 32 * MB), 32 * MB, 2)
    assert [len(bundle) for bundle in bundles] == [500, 500]


def test_large_splits_are_spread_evenly() -> None:
    bundles = bundle_splits(plan_splits([file(1, 200 * MB), file(2, MB), file(3, MB)], 32 * MB), 32 * MB, 2)
    sizes = [sum(split.end - split.start for split in bundle) for bundle in bundles]
    assert len(bundles) % 2 == 0
    assert max(sizes) <= 32 * MB


def test_every_split_is_in_exactly_one_task() -> None:
    splits = plan_splits([file(n, n * n * 10_000) for n in range(60)], 4 * MB)
    bundles = bundle_splits(splits, 4 * MB, 2)
    assert sorted((s.file.file_id, s.number) for bundle in bundles for s in bundle) == sorted((s.file.file_id, s.number) for s in splits)
    assert all(bundles)


def test_nothing_to_read_is_no_task() -> None:
    assert bundle_splits([], MB, 2) == []


def test_line_bases_add_up_the_lines_before_each_split() -> None:
    markers = [Marker(7, 2, lines=5), Marker(7, 0, lines=10), Marker(7, 1, lines=20), Marker(8, 0, lines=3)]
    assert line_bases(markers) == {(7, 1): 10, (7, 2): 30}


def test_a_border_is_broken_where_a_split_ends_behind_the_beginning_of_the_next() -> None:
    good = [Marker(1, 0, began_at=5, ended_at=40), Marker(1, 1, began_at=40, ended_at=80)]
    bad = [Marker(2, 0, began_at=5, ended_at=44), Marker(2, 1, began_at=40, ended_at=80)]
    assert broken_borders([*good, *bad]) == {2}


def test_splits_in_which_no_line_begins_are_passed_over() -> None:
    markers = [Marker(1, 0, began_at=0, ended_at=90), Marker(1, 1), Marker(1, 2, began_at=90, ended_at=99), Marker(1, 3)]
    assert broken_borders(markers) == set()


def test_a_rejected_file_has_no_borders() -> None:
    assert broken_borders([Marker(1, 0, "MISSING_COLUMN"), Marker(1, 1, "MISSING_COLUMN")]) == set()


def test_a_marker_survives_its_journey() -> None:
    marker = Marker(1, 2, "NOT_CSV", 'a "detail" é', 3, 4, 5, 6, 7, b"\x00\xff", ("a", "ü\n"), "\t", '"a"\tü')
    assert Marker.from_json(marker.to_json()) == marker
    assert Marker.from_json(Marker(1, 0).to_json()) == Marker(1, 0)


def test_a_split_knows_whether_it_is_the_whole_file() -> None:
    assert Split(file(1, 10), 0, 0, 10).is_whole
    assert not Split(file(1, 10), 0, 0, 9).is_whole
