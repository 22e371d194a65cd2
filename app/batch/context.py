"""What every micro-batch of a run shares."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import SparkSession

from app.config.load import Config
from app.contract.contract import Contract
from app.ledger.ledger import Ledger
from app.s3.read import ClientFactory
from app.source.dimensions import Dimensions


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
