"""Log lines about the files of a committed batch that were not loaded as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from app.ledger.types import Attempt, Change, FileResult, FileState, Outcome, Reject

log = logging.getLogger(__name__)

# Files that one batch names; of a thousand bad files the first ones say why.
MOST_LINES = 20


def log_outcomes(attempt: Attempt, outcome: Outcome) -> None:
    """Write a WARNING for each file that was rejected, skipped or loaded in part, with the first reason; a bounded number of them."""
    odd = [result for result in outcome.files if result.state not in (FileState.COMMITTED, *Change) or result.rows_rejected > 0]
    for line in outcome_lines(odd[:MOST_LINES], attempt, outcome):
        log.warning("%s", line)
    if len(odd) > MOST_LINES:
        log.warning(
            "batch=%s %d more files were rejected, skipped or loaded in part; see ./spark-submit.sh files",
            attempt.batch_key,
            len(odd) - MOST_LINES,
        )


def outcome_lines(results: list[FileResult], attempt: Attempt, outcome: Outcome) -> Iterator[str]:
    """Yield a line for each of these files."""
    keys = {file.id: file.version.key for file in attempt.files}
    for result in results:
        key = keys.get(result.file_id)
        name = f"batch={attempt.batch_key} file={result.file_id}" + (f" key={key!r}" if key is not None else "")
        if result.state not in (FileState.COMMITTED, *Change):
            rows = f" rows_rejected={result.rows_rejected}" if result.rows_rejected else ""
            yield f"{name} state={result.state} reason={result.reason_code}{rows} detail={result.reason_detail or ''!r}"
            continue
        counts = f"rows_read={result.rows_read} rows_rejected={result.rows_rejected}"
        yield f"{name} state=COMMITTED {counts}{_first(outcome.rejects, result.file_id)}"


def _first(rejects: tuple[Reject, ...], file_id: int) -> str:
    """Describe the first rejected row of a file."""
    own = [reject for reject in rejects if reject.file_id == file_id]
    if not own:
        return ""
    first = min(own, key=lambda reject: (reject.first_line is None, reject.first_line or 0))
    line = f" first_line={first.first_line}" if first.first_line is not None else ""
    column = f" column={first.first_column}" if first.first_column else ""
    text = f" value={first.first_text!r}" if first.first_text is not None else ""
    return f" reason={first.reason_code}{line}{column}{text}"
