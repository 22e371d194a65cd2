"""The real job with a MySQL or an S3 that falls silent: a stop ends it in time, and nothing is lost."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.integration.test_stream import HEADER
from tests.product import PATIENCE, Product
from tests.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
STOP_SECONDS = 20


def settings(server: str, proxy: TcpProxy) -> dict[str, str]:
    stop = {"SALESTREAM__STREAM__STOP_TIMEOUT_SECONDS": str(STOP_SECONDS), "SALESTREAM__STREAM__TAKEOVER_SECONDS": "3"}
    if server == "mysql":
        return stop | {"SALESTREAM__MYSQL__HOST": "127.0.0.1", "SALESTREAM__MYSQL__PORT": str(proxy.port)}
    return stop | {"SALESTREAM__S3__ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}


@pytest.mark.parametrize("server", ["mysql", "s3"])
def test_a_stop_ends_a_run_whose_server_is_silent(product: Product, tmp_path: Path, server: str) -> None:
    env = product.environment_of_servers()
    month = {"mysql": "2041-01", "s3": "2041-02"}[server]
    (tmp_path / "drops").mkdir()
    (tmp_path / "drops" / f"{server}.csv").write_text(f"{HEADER}\n1,121,sugar,{month}-05,1,50,2,100\n")
    marker = tmp_path / "paused"
    port = env.mysql_port if server == "mysql" else int(env.endpoint_url.rpartition(":")[2])
    with tcp_proxy("127.0.0.1", port) as proxy:
        pause = {"SALESTREAM_FAILPOINT": "after_begin:1:pause", "SALESTREAM_FAILPOINT_FILE": str(marker)}
        running = product.start("run", **settings(server, proxy), **pause)
        product.call("upload", str(tmp_path / "drops"))
        deadline = time.monotonic() + PATIENCE
        while not marker.exists():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        proxy.go_silent()
        marker.unlink()
        time.sleep(2)
        began = time.monotonic()
        running.terminate()
        out, err = running.communicate(timeout=PATIENCE)
        assert time.monotonic() - began < STOP_SECONDS, err
        assert running.returncode in (0, 1), (out, err)
        assert "Traceback" not in err
    time.sleep(3)
    product.call("run", "--once")
    found = product.query(f"SELECT total_sales FROM customers_data_mart WHERE sales_date_month = '{month}'")
    assert found == [(Decimal(100),)]
    assert product.found_by_verify() == []
