"""The read job of new files: its tasks parse, type, judge, enrich and group rows, and yield pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from app.batch.classify import Classifier
from app.batch.context import Job
from app.batch.corrected_rows import with_corrected_lines
from app.batch.gather import Gatherer
from app.batch.held_pieces import made_by
from app.contract.rules import CompiledRules
from app.ledger.types import Attempt
from app.model.dimensions import KnownKeys
from app.model.lookup import LookupSource
from app.model.marts import MARTS
from app.model.pieces import Piece
from app.parsing.record_rules import Limits
from app.source.split_reader import SplitReader
from app.source.splits import Split, bundle_splits


@dataclass(frozen=True)
class ReadSplits:
    """What a task does with its bundle of splits. It is pickled to the workers."""

    reader: SplitReader
    classifier: Classifier
    bundles: Sequence[Sequence[Split]]
    is_mending: bool = False

    def __call__(self, task: int) -> Iterator[Piece]:
        """Yield the pieces of a task: of all its rows, and a MARKER for each split."""
        gatherer = Gatherer(MARTS, with_lines=self.is_mending)
        for rows in self.reader.read(self.bundles[task]):
            is_marker = rows.column("_marker").null_count < rows.num_rows
            yield from gatherer.add(self.classifier.of(with_corrected_lines(rows) if self.is_mending and not is_marker else rows))
        yield from gatherer.rest()


def read_files(job: Job, attempt: Attempt, splits: Sequence[Split], lookups: LookupSource) -> DataFrame:
    """Return the pieces of splits. Those of a file whose markers are not all OK, or with broken borders, do not count."""
    stream = job.config.stream
    bundles = bundle_splits(splits, stream.split_bytes, job.spark.sparkContext.defaultParallelism)
    limits = Limits(stream.max_record_lines, stream.max_record_bytes, stream.max_header_bytes)
    reader = SplitReader(job.contract, limits, KnownKeys(lookups).of, job.clients)
    classifier = Classifier(job.contract, CompiledRules.of(job.contract), attempt.planned_at.date())
    work = ReadSplits(reader, classifier, bundles, attempt.is_mending)
    return made_by(job.spark, work, len(bundles))
