"""Spark's classes as the JVM keeps them once they are loaded and checked: with them each start of a test's JVM costs a third less.

`python -m tests.class_archive` makes the archive, below .cache; without it the tests only take longer.
"""

from __future__ import annotations

import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from app import local
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / ".cache" / "test"
# The JVM takes an archive only for the very class path that it was made with, and none that holds a folder with files in it.
CONF = FOLDER / "conf"
HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


def archive() -> Path:
    """Return where the archive for these packages and this repository lies."""
    known = sha256(str(REPOSITORY).encode())
    for name in ("requirements.txt", "scripts/packages.sh", "spark-submit.sh"):
        known.update((REPOSITORY / name).read_bytes())
    return FOLDER / f"classes-{known.hexdigest()[:16]}.jsa"


def java_options(*, made: Path | None = None) -> str:
    """Return the options of every JVM that the tests start: quick to begin, as they pay back little of what the second compiler costs."""
    logging = (REPOSITORY / "conf" / "log4j2.properties").as_uri()
    options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-Dlog4j2.configurationFile={logging}"]
    # Nobody looks at it, but for the test that asks for it.
    options.append("-Dspark.ui.enabled=false")
    if made is not None:
        options += ["-Xlog:disable", f'-XX:ArchiveClassesAtExit="{made}"']
    elif archive().exists():
        # A JVM that cannot use it says nothing and does without.
        options += ["-Xlog:disable", "-Xshare:auto", f'-XX:SharedArchiveFile="{archive()}"']
    return " ".join(options)


def environment() -> dict[str, str]:
    """Return what makes ./spark-submit.sh and pyspark start such a JVM."""
    CONF.mkdir(parents=True, exist_ok=True)
    return {"SPARK_CONF_DIR": str(CONF), "SPARK_SUBMIT_OPTS": java_options()}


def make() -> None:
    """Let the real job load a file with all kinds of rows, and its JVM keep the classes at the end."""
    from tests.product import Product

    if archive().exists():
        return
    CONF.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="salestream-classes-") as folder:
        drops, new = Path(folder) / "drops", FOLDER / f"new-{Path(folder).name}.jsa"
        drops.mkdir()
        rows = ("1,121,sugar,2024-02-01,1,50,2,100", "x,121,sugar,2024-02-01,1,50,2,100", "9001,121,sugar,2024-02-01,1,50,2,100")
        (drops / "a.csv").write_text("\n".join((HEADER, *rows, "")))
        local.up(Path(folder), die_with_parent=True)
        try:
            product = Product(Path(folder))
            product.call("init-db", "--seed")
            product.call("upload", str(drops))
            # The archive is written after the driver has ended.
            product.call("run", "--once", SPARK_SUBMIT_OPTS=java_options(made=new), SALESTREAM_LINGER_SECONDS="300")
            new.rename(archive())
        finally:
            local.down(Path(folder))
            new.unlink(missing_ok=True)


if __name__ == "__main__":
    make()
    sys.stdout.write(f"classes: {archive()}, {archive().stat().st_size >> 20} MB\n")
