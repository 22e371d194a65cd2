"""What becomes of whole files of a batch: unusable, too many bad rows, the same content again, or their counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.batch.counts import Census
from app.contract.contract import Contract
from app.errors import BatchFailed, LedgerError
from app.ledger.ledger import Ledger
from app.ledger.types import Attempt, Change, FileResult, FileState, Reject
from app.model.pieces import LOADED, REJECTED, WAITING
from app.source.blocks import content_digests
from app.source.ranges import FAULT, OBJECT_REFUSED, REFUSED
from app.source.splits import OK, Marker

LOST = {"OVERWRITTEN": FileState.OVERWRITTEN, "GONE": FileState.GONE}
# S3 did not give the object: app.batch.refused decides what that means.
REFUSALS = frozenset({OBJECT_REFUSED, REFUSED, FAULT})
REJECT_RATIO = "REJECT_RATIO"


@dataclass
class Plan:
    """What an evaluation already learnt and must respect when it starts over."""

    whole: set[int] = field(default_factory=set)
    results: dict[int, FileResult] = field(default_factory=dict)
    lost: dict[int, FileState] = field(default_factory=dict)
    why: dict[int, str] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    replaces_nothing: set[int] = field(default_factory=set)
    refreshed: bool = False

    def is_open(self, file_id: int) -> bool:
        """Tell whether a file's fate is still to be found."""
        return file_id not in self.results and file_id not in self.lost

    def forget_duplicates(self) -> bool:
        """Forget which files are duplicates: one of their originals may turn out not to be loaded. Returns whether there were any."""
        found = [file_id for file_id, result in self.results.items() if result.reason_code == "DUPLICATE"]
        for file_id in found:
            del self.results[file_id]
        self.replaces_nothing.clear()
        return bool(found)


@dataclass(frozen=True)
class Scanned:
    """What the scan and the census say about the files of a batch."""

    markers: list[Marker]
    census: Census
    digests: Mapping[int, bytes]
    rows: Mapping[int, int]

    @classmethod
    def of(cls, attempt: Attempt, markers: list[Marker], census: Census) -> Scanned:
        """Add up the markers of each file.

        Raises:
            S3Unavailable: not all bytes of a file were read.
        """
        rows: dict[int, int] = defaultdict(int)
        for marker in markers:
            rows[marker.file_id] += marker.rows
        digests = content_digests(markers, {file.id: file.version.size for file in attempt.files})
        return cls(markers, census, digests, dict(rows))


def note_unusable(markers: list[Marker], plan: Plan) -> set[int]:
    """Note the files that cannot be loaded as a whole: rejected ones with their reason, lost ones with their state."""
    found = set()
    for marker in markers:
        if marker.outcome == OK or not plan.is_open(marker.file_id):
            continue
        found.add(marker.file_id)
        if marker.outcome in LOST:
            plan.lost[marker.file_id] = LOST[marker.outcome]
            plan.why[marker.file_id] = marker.detail or ""
        else:
            plan.results[marker.file_id] = FileResult(
                marker.file_id, FileState.REJECTED, reason_code=marker.outcome, reason_detail=marker.detail
            )
    return found


def note_duplicates(ledger: Ledger, contract: Contract, scanned: Scanned, plan: Plan, own: Collection[int] = ()) -> set[int]:
    """Note the files whose content already counts, in the ledger or earlier in this batch; a file without rows is no duplicate.

    The files are judged in the order of their ids, as if each came in a batch of its own: what one of them supersedes is no original for
    the next. A rejected file cannot be the original of a duplicate, but it may be a duplicate itself. `own` are files that this batch
    reads again; they are not compared with themselves.
    """
    policy = contract.settings.duplicates
    if policy == "process":
        return set()
    is_open = sorted(file_id for file_id in scanned.digests if plan.is_open(file_id))
    contents = {file_id: scanned.digests[file_id] for file_id in is_open if scanned.rows[file_id]}
    earlier = ledger.earlier_versions(is_open) if contract.replaces and is_open else {}
    leaving = [one for versions in earlier.values() for one in versions]
    held = ledger.files_in_force({*contents.values(), *(digest for _, digest in leaving if digest)}, [*own, *(old for old, _ in leaving)])
    lonely = {digest: [old for old, other in leaving if other == digest] for _, digest in leaving if digest and digest not in held}
    heirs = ledger.skipped_files(lonely) if lonely else {}
    found = _Contents(contents, earlier, held, heirs, spoilt_files(contract, scanned, plan)).duplicates(is_open)
    state = FileState.DUPLICATE if policy == "skip" else FileState.REJECTED
    for file_id, original in found.items():
        detail = f"same content as file {original}"
        digest = contents[file_id]
        plan.results[file_id] = FileResult(file_id, state, reason_code="DUPLICATE", reason_detail=detail, content_digest=digest)
    return set(found)


class _Contents:
    """Who holds each content while the files of a batch are judged one after the other."""

    def __init__(
        self,
        contents: Mapping[int, bytes],
        earlier: Mapping[int, Sequence[tuple[int, bytes | None]]],
        held: Mapping[bytes, int],
        heirs: Mapping[bytes, int],
        spoilt: Collection[int],
    ) -> None:
        """Begin before the first file.

        Args:
            contents: the files of the batch that have rows.
            earlier: the versions in force that a file would supersede, each with its content.
            held: content -> the file that holds it, whatever becomes of this batch.
            heirs: content -> the skipped file, of an earlier batch, that takes over when nobody holds it.
            spoilt: files that are rejected unless they are duplicates.
        """
        self._contents = contents
        self._earlier = earlier
        self._heirs = heirs
        self._spoilt = spoilt
        self._holders: dict[bytes, list[int]] = {digest: [file_id] for digest, file_id in held.items()}
        for old, digest in sorted(one for versions in earlier.values() for one in versions if one[1] is not None):
            self._holders.setdefault(digest or b"", []).append(old)
        self._skipped: dict[bytes, list[int]] = defaultdict(list)

    def duplicates(self, file_ids: Sequence[int]) -> dict[int, int]:
        """Return the duplicates among the files, each with its original."""
        for file_id in file_ids:
            digest = self._contents.get(file_id)
            if digest is not None and self._holders.get(digest, [file_id])[0] != file_id:
                self._skipped[digest].append(file_id)
            elif file_id not in self._spoilt:
                self._load(file_id)
        return {file_id: self._holders[digest][0] for digest, skipped in self._skipped.items() for file_id in skipped}

    def _load(self, file_id: int) -> None:
        if file_id in self._contents:
            self._holders[self._contents[file_id]] = [file_id]
        for old, digest in self._earlier.get(file_id, ()):
            if digest is not None:
                self._leave(old, digest)

    def _leave(self, old: int, digest: bytes) -> None:
        """Take a superseded file away from its content; the oldest skipped one takes over when it was the last that held it."""
        holders = self._holders.get(digest, [])
        if old not in holders:
            return
        holders.remove(old)
        if holders:
            return
        del self._holders[digest]
        skipped = self._skipped[digest]
        while skipped and skipped[0] in self._spoilt:
            skipped.pop(0)
        heir = min((*skipped[:1], *([self._heirs[digest]] if digest in self._heirs else [])), default=None)
        if heir is None:
            return
        self._holders[digest] = [heir]
        if heir in skipped:
            skipped.remove(heir)
            self._load(heir)


def spoilt_files(contract: Contract, scanned: Scanned, plan: Plan) -> dict[int, int]:
    """Return the files with a larger share of rejected rows than the contract allows, with the number of those rows."""
    limit = contract.settings.max_reject_ratio
    counts = {file_id: scanned.census.by_file[file_id][REJECTED] for file_id in scanned.census.by_file if plan.is_open(file_id)}
    return {file_id: count for file_id, count in counts.items() if count and count / scanned.rows[file_id] > limit}


def note_spoilt(contract: Contract, scanned: Scanned, plan: Plan) -> set[int]:
    """Note the files that are rejected as a whole for their rejected rows; all their rows count as rejected."""
    limit = contract.settings.max_reject_ratio
    allowed = f"{limit:.2f}" if float(f"{limit:.2f}") == limit else f"{limit:g}"
    found = spoilt_files(contract, scanned, plan)
    for file_id, count in found.items():
        rows = scanned.rows[file_id]
        plan.results[file_id] = FileResult(
            file_id,
            FileState.REJECTED,
            rows_read=rows,
            rows_rejected=rows,
            reason_code=REJECT_RATIO,
            reason_detail=f"{count} of {rows} rows rejected, at most {allowed} allowed",
            content_digest=scanned.digests.get(file_id),
        )
    return set(found)


def file_results(attempt: Attempt, scanned: Scanned, plan: Plan) -> list[FileResult]:
    """Put together each file's counts: rows read as the scan counted them, the rest from the census.

    Raises:
        LedgerError: a file of the batch was not scanned, or its rows do not add up.
    """
    results = []
    for file in attempt.files:
        if file.id in plan.lost:
            continue
        if file.id in plan.results:
            results.append(plan.results[file.id])
            continue
        if file.id not in scanned.digests:
            raise LedgerError(f"batch {attempt.batch_key}: file {file.id} {file.version.key!r} was claimed but not scanned")
        counts = scanned.census.by_file.get(file.id, defaultdict(int))
        results.append(
            FileResult(
                file.id,
                rows_read=scanned.rows[file.id],
                rows_loaded=counts[LOADED],
                rows_rejected=counts[REJECTED],
                rows_pending=counts[WAITING],
                content_digest=scanned.digests[file.id],
            )
        )
    return results


def released_results(census: Census, read: set[int]) -> list[FileResult]:
    """Return the changes of files that were not read in this batch: their rows were waiting, and are loaded or wait on."""
    return [
        FileResult(file_id, Change.RELEASED, rows_read=sum(counts.values()), rows_loaded=counts[LOADED], rows_pending=counts[WAITING])
        for file_id, counts in sorted(census.by_file.items())
        if file_id not in read
    ]


def mended_results(attempt: Attempt, scanned: Scanned) -> list[FileResult]:
    """Return the changes of files of which rejected rows were mended: all their rejected rows, loaded, pending or rejected again.

    Raises:
        BatchFailed: the mended rows cannot be read.
    """
    for marker in scanned.markers:
        if marker.outcome != OK:
            raise BatchFailed(f"the mended rows of file {marker.file_id} cannot be read: {marker.outcome} {marker.detail or ''}")
    empty: dict[str, int] = defaultdict(int)
    counted = [(file.id, scanned.census.by_file.get(file.id, empty)) for file in attempt.files]
    return [
        FileResult(
            file_id,
            Change.MENDED,
            rows_read=sum(counts[outcome] for outcome in (LOADED, WAITING, REJECTED)),
            rows_loaded=counts[LOADED],
            rows_pending=counts[WAITING],
            rows_rejected=counts[REJECTED],
        )
        for file_id, counts in counted
    ]


def headers_to_keep(scanned: Scanned) -> dict[int, str]:
    """Return the headers of the files of which rows go into the quarantine, as they are written: an export begins with them."""
    written = {marker.file_id: marker.header_text for marker in scanned.markers if marker.header_text is not None}
    return {file_id: written[file_id] for file_id, counts in scanned.census.by_file.items() if counts[REJECTED] and file_id in written}
