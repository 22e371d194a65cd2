"""What every micro-batch of a run shares."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import SparkSession

from app.config import Config
from app.core.contract import Contract
from app.dimensions import Dimensions
from app.ledger import Ledger
from app.s3 import ClientFactory


@dataclass(frozen=True)
class Job:
    """The open session, the configuration, the contract, the ledger under its epoch, and the cached dimensions."""

    spark: SparkSession
    config: Config
    contract: Contract
    ledger: Ledger
    dimensions: Dimensions

    @property
    def clients(self) -> ClientFactory:
        """The maker of S3 clients, for the driver and for Python workers."""
        return ClientFactory(self.config.s3)
