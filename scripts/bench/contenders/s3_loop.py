"""The bare S3 requests that Salestream makes for each file, and nothing else: GET, HEAD, and for the archive HEAD, COPY, HEAD, DELETE.

Two processes of eight threads read, as two Spark workers do; what this takes is what S3 alone costs.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

from scripts.bench.worker import bucket, report, s3_client, serve

PROCESSES = 2
THREADS = 8


def read(keys: list[str]) -> None:
    """Read objects and look at them once more."""
    client = s3_client()

    def one(key: str) -> None:
        client.get_object(Bucket=bucket(), Key=key)["Body"].read()
        client.head_object(Bucket=bucket(), Key=key)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, keys))


def main() -> None:
    """Watch the prefix; read what is new, report it, then move it."""
    client = s3_client()
    workers = multiprocessing.get_context("spawn").Pool(PROCESSES)

    def move(key: str) -> None:
        target = key.replace("sales_data/", "sales_data_processed/", 1)
        _is_there(client, target)
        client.copy_object(Bucket=bucket(), Key=target, CopySource={"Bucket": bucket(), "Key": key})
        client.head_object(Bucket=bucket(), Key=key)
        client.delete_object(Bucket=bucket(), Key=key)

    def process(keys: list[str]) -> None:
        workers.map(read, [keys[at::PROCESSES] for at in range(PROCESSES)])
        report(keys)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(move, keys))

    serve(process)
    workers.terminate()


def _is_there(client: object, key: str) -> bool:
    try:
        client.head_object(Bucket=bucket(), Key=key)  # type: ignore[attr-defined]  # boto3 makes its clients at run time
    except Exception:  # noqa: BLE001 - 404 is the expected answer
        return False
    return True


if __name__ == "__main__":
    main()
