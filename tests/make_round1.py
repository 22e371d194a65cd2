"""Make `tests/data/round1`: a database of schema level 005 in the middle of its work, with its configuration and its bucket.

It was run once, before level 006, by `python -m tests.make_round1`, and is kept to show how the files came about. With a newer schema
it refuses to run: what it would write is not what users of that day have.

What is in it: files in every state; rows that wait; parts of facts and quarantine in every state; an attempt that was interrupted
after it had written everything, the batch before it committed but not yet archived, a batch planned, a file only discovered;
operations done, failed and requested.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
from pyspark.sql import SparkSession

from app import failpoints, local
from app.failpoints import InjectedFailure
from app.ledger.file_search import Choice
from app.ledger.ledger import Ledger
from app.ledger.ownership import Ownership
from app.ledger.types import OperationKind
from app.mysql.migrations import SQL_FOLDER
from app.operations.compact import mergeable, request_merge
from app.operations.corrected_rows import request_mend, upload_mended
from app.operations.select_files import choose, request_files
from app.source.planner import planner_of
from app.views.quarantine import find_file
from tests.dump import ROUND1, dump
from tests.world import World, spark_session

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
LEVEL = "005_operations"


def sale(customer: int, day: str, price: int, *, store: int = 121, seller: int = 1) -> str:
    """One good row that sells one thing."""
    return f"{customer},{store},sugar,{day},{seller},{price},1,{price}"


def csv(*rows: str) -> str:
    return "\n".join((HEADER, *rows)) + "\n"


def ask(world: World, kind: OperationKind, name: str) -> None:
    files = choose(world.db, world.config, kind, Choice(names=(name,)), replaces=False)
    request_files(world.db, world.config, kind, files, "somebody")


def mend(world: World, name: str, *lines: str) -> None:
    path = world.folder / "mend.csv"
    path.write_text("\n".join((f"_line,{HEADER}", *lines)) + "\n")
    file = find_file(world.db, world.config.s3.source_prefix, name)
    mended = upload_mended(world.db, world.client, world.config, file, path)
    world.db.run(lambda tx: request_mend(tx, mended, "somebody"))


def set_contract(world: World, old: str, new: str) -> None:
    path = world.folder / "conf" / "contract.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@contextmanager
def paused(world: World, spark: SparkSession, where: str) -> Iterator[None]:
    """Run the stream once in a thread, and do something while it stands at a fail point."""
    marker = world.folder / "paused"
    os.environ["SALESTREAM_FAILPOINT"], os.environ["SALESTREAM_FAILPOINT_FILE"] = f"{where}:pause", str(marker)
    failpoints.reset()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            world.run_once(spark)
        except BaseException as exc:  # noqa: BLE001 - raised below
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    while not marker.exists():
        assert thread.is_alive(), failures
        time.sleep(0.1)
    try:
        yield
    finally:
        marker.unlink()
        thread.join()
        del os.environ["SALESTREAM_FAILPOINT"]
    assert failures == []


def make(world: World, spark: SparkSession) -> None:
    """Live through everything that a ledger can tell of, and dump it in the middle of a batch."""
    world.set("stream", max_attempts=2)
    poison = "  - name: poison\n    expression: if(price > 600, raise_error('poisoned'), true)\n    columns: [price]\n    on_fail: reject\n"
    contract = world.folder / "conf" / "contract.yml"
    plain = contract.read_text()
    contract.write_text(plain + poison)
    world.drop("first.csv", csv(sale(1, "2024-01-05", 10), sale(2, "2024-02-05", 20, store=122, seller=4)))
    world.drop(
        "rejects.csv", csv(sale(3, "2024-01-06", 30), sale(3, "2024-13-06", 31), sale(3, "never", 32), "4,121,sugar,2024-01-06,1,5,0,0")
    )
    world.drop("late.csv", csv(sale(5, "2024-01-07", 40), sale(9001, "2024-01-07", 41), sale(9002, "2024-02-07", 42)))
    world.drop("warned.csv", csv("6,121,no such thing,2024-01-08,2,50,1,55"))
    world.drop("no header.csv", "no,sales\n1,2\n")
    world.drop("poison.csv", csv(sale(7, "2024-01-09", 666)))
    world.drop("day.csv", csv(sale(8, "2024-01-10", 60), sale(9, "2024-01-10", 61)))
    world.drop("wrong.csv", csv(sale(10, "2024-01-11", 70)))
    world.run_once(spark)
    contract.write_text(plain)
    world.drop("first again.csv", csv(sale(1, "2024-01-05", 10), sale(2, "2024-02-05", 20, store=122, seller=4)))
    world.execute("INSERT INTO customer (customer_id, first_name, last_name) VALUES (9001, 'Lætitia', NULL)")
    world.run_once(spark)

    set_contract(world, "redelivery: append", "redelivery: replace")
    world.drop("day.csv", csv(sale(8, "2024-01-10", 62), sale(9, "2024-01-10", 61)))
    world.run_once(spark)
    ask(world, OperationKind.RETRACT, "wrong.csv")
    for _ in range(2):
        # The second finds that the rejected rows are others by then.
        mend(world, "rejects.csv", f"3,{sale(3, '2024-12-06', 31)}")
    ask(world, OperationKind.REPLAY, "first.csv")
    world.run_once(spark)
    # Line 2 is none of its rejected rows: this one fails.
    mend(world, "rejects.csv", f"2,{sale(3, '2024-01-06', 30)}")
    world.run_once(spark)
    request_merge(world.db, mergeable(world.db, None), "somebody")
    world.run_once(spark)

    world.drop("over.csv", csv(sale(11, "2024-03-01", 80)))
    world.drop("gone.csv", csv(sale(12, "2024-03-01", 81)))
    with paused(world, spark, "after_begin:1"):
        world.drop("over.csv", csv(sale(11, "2024-03-01", 82)))
        world.client.delete_object(Bucket=world.bucket, Key="sales_data/gone.csv")

    # An attempt that failed after it had written its parts; the next one did it.
    world.drop("second try.csv", csv(sale(13, "2024-03-02", 83), sale(13, "never", 84), sale(9002, "2024-03-02", 85)))
    os.environ["SALESTREAM_FAILPOINT"] = "after_facts:1:raise"
    failpoints.reset()
    try:
        world.run_once(spark)
    except InjectedFailure:
        pass
    else:
        raise AssertionError("the attempt should have failed")
    del os.environ["SALESTREAM_FAILPOINT"]
    world.run_once(spark)

    # The last morning: two batches planned; the first is done, the second interrupted; two files planned, one discovered.
    world.set("stream", max_files_per_trigger=2, max_attempts=3)
    for number in range(1, 8):
        rows = [sale(13 + number, f"2024-0{4 + number % 2}-01", 100 + number, store=122, seller=4 + number % 2)]
        if number == 1:
            rows = [sale(14, "2024-03-03", 101)]
        if number == 3:
            rows += [sale(17, "never", 1), sale(9003, "2024-04-01", 110)]
        world.drop(f"last {number}.csv", csv(*rows))
    with Ownership(world.db, "by hand", 15) as owner:
        planner = planner_of(world.config, Ledger(world.db, owner.epoch))
        first = planner.next_batch(planner.ledger.last_batch())
        assert first is not None and planner.next_batch(first) == first + 1
    with paused(world, spark, "after_facts:2"):
        epoch = world.rows("SELECT epoch FROM stream_owner")[0]["epoch"]
        assert planner_of(world.config, Ledger(world.db, epoch)).next_batch(first + 1) == first + 2
        ask(world, OperationKind.RETRACT, "warned.csv")
        ask(world, OperationKind.REPLAY, "late.csv")
        request_merge(world.db, mergeable(world.db, None), "somebody")
        world.execute("INSERT INTO customer (customer_id, first_name) VALUES (9002, 'Late')")
        dump(world, ROUND1)


def main() -> None:
    newest = max(path.stem for path in SQL_FOLDER.glob("[0-9]*.sql"))
    if newest != LEVEL:
        sys.exit(f"the schema is at {newest}, and {ROUND1} holds one at {LEVEL}: check out a commit of that day")
    with tempfile.TemporaryDirectory(prefix="salestream-round1-") as name:
        home, folder = Path(name) / "home", Path(name) / "world"
        folder.mkdir()
        env = local.up(home, die_with_parent=True)
        os.environ.update(env.variables())
        try:
            with pymysql.connect(**local.root_connection_args(home), autocommit=True) as root:
                spark = spark_session(env)
                make(World.make(env, root, folder), spark)
                spark.stop()
        finally:
            local.down(home)


if __name__ == "__main__":
    main()
