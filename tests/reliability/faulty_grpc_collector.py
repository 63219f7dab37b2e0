"""The same over gRPC, by the server of grpcio."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from faulty_collector import REQUESTS, FaultyCollector, Reply, Request

__all__ = ["faulty_grpc_collector"]


@contextmanager
def faulty_grpc_collector(port: int = 0) -> Iterator[FaultyCollector]:
    """Run one. A reply's status is a code of gRPC, 0 where all is well; its headers are the trailing metadata."""
    collector = FaultyCollector()
    collector.reply = lambda signal, message: Reply(0)

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc] # no types
        def service(self, details: Any) -> Any:
            signal = {"trace": "traces", "logs": "logs", "metrics": "metrics"}[details.method.split(".")[3]]
            sent = dict(details.invocation_metadata)

            def export(body: bytes, context: Any) -> bytes:
                message = REQUESTS[signal].FromString(body)
                reply = collector.reply(signal, message)
                taken = reply.status == 0 if reply.taken is None else reply.taken
                collector.requests.append(Request(signal, time.monotonic(), message, taken, sent))
                time.sleep(reply.after_s)
                if reply.status != 0:
                    context.set_trailing_metadata([each for each in reply.headers.items() if each[0].islower()])
                    code = next(code for code in grpc.StatusCode if code.value[0] == reply.status)
                    context.abort(code, "as told")
                return reply.body

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
