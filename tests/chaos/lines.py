"""What lies between the job and its servers: answers of S3 that are wrong, and lines that fall silent. Producers go past it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.local import LocalEnv
from tests.fault_proxy import Fault, FaultProxy, Request, fault_proxy
from tests.product import Product
from tests.tcp_proxy import TcpProxy, tcp_proxy

# Which requests a kind of fault befalls. The denials refuse an object, or the bucket, that is there.
ANYTHING = ("", "GET", "PUT", "HEAD", "sales_facts", "sales_data/")
# What a start tries to write and read is left out: it would take the denial for a wrong setting.
REAL = r"(?!_salestream_check)\S"
OBJECTS = (rf"^GET \S+/sales_\w+/{REAL}", rf"^HEAD \S+/sales_\w+/{REAL}", rf"^(GET|HEAD|PUT|DELETE) \S+/sales_data\w*/{REAL}")
DENIALS = {"404 NoSuchKey": OBJECTS, "404 NoSuchBucket": (*OBJECTS, *ANYTHING), "412 PreconditionFailed": OBJECTS}
FAILURES = {"500 InternalError": ANYTHING, "503 SlowDown": ANYTHING, "slow": ANYTHING, "truncated": ("GET",)}
KINDS = {**FAILURES, **DENIALS}


@dataclass
class Lines:
    """The proxies before S3 and MySQL, and the faults that were made there."""

    s3: FaultProxy
    to: dict[str, TcpProxy]
    _made: list[tuple[str, Fault, int]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Settings that send a run this way."""
        return {
            "SALESTREAM__S3__ENDPOINT_URL": f"http://127.0.0.1:{self.to['s3'].port}",
            "SALESTREAM__MYSQL__HOST": "127.0.0.1",
            "SALESTREAM__MYSQL__PORT": str(self.to["mysql"].port),
        }

    def add_fault(self, rng: random.Random) -> str:
        """Let the next few requests of a kind be answered wrongly. Returns what was made."""
        kind = rng.choice(list(KINDS))
        fault = Fault(rng.choice(KINDS[kind]), times=rng.randint(1, 6))
        if kind == "slow":
            fault.delay = rng.uniform(0.2, 3)
        elif kind == "truncated":
            fault.cut_after = rng.randint(0, 300)
        else:
            status, fault.code = kind.split()
            fault.status = int(status)
            if fault.status == 412:
                fault.when = has_condition
        self._made.append((kind, fault, fault.times or 0))
        self.s3.faults[:] = [old for old in self.s3.faults if old.times != 0] + [fault]
        return f"{kind} {fault.times} times on {fault.pattern or 'anything'}"

    def lead_to(self, env: LocalEnv) -> None:
        """Lead to servers that have come back at other ports."""
        self.s3.upstream, self.to["mysql"].upstream_port = env.endpoint_url, env.mysql_port

    @property
    def made(self) -> set[str]:
        """The kinds of wrong answers that were prepared, whether or not a request came that they befall."""
        return {kind for kind, _, _ in self._made}

    def hits(self) -> Counter[str]:
        """Count the requests that were answered wrongly, by kind of fault."""
        found: Counter[str] = Counter()
        for kind, fault, times in self._made:
            found[kind] += times - (fault.times or 0)
        return +found

    def calm(self) -> None:
        """End all of it."""
        self.s3.faults.clear()
        for line in self.to.values():
            line.speak()


def has_condition(request: Request) -> bool:
    """Tell whether a request asks for one version of an object: nothing else is ever answered with 412."""
    return any(name.endswith("if-match") for name in request.headers)


@contextmanager
def lines(product: Product) -> Iterator[Lines]:
    """Open the lines to a product's servers."""
    env = product.environment_of_servers()
    with (
        fault_proxy(env.endpoint_url) as s3,
        tcp_proxy("127.0.0.1", s3.port) as to_s3,
        tcp_proxy(env.mysql_host, env.mysql_port) as to_mysql,
    ):
        yield Lines(s3, {"s3": to_s3, "mysql": to_mysql})
