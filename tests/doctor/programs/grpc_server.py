"""A gRPC server: its certificate, its key, and the CA of its clients, "" to ask for no certificate."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc


def main(certificate: str, key: str, client_ca: str) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    hello = grpc.unary_unary_rpc_method_handler(lambda request, _context: b"hello " + request)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Greeter", {"Hello": hello}),))
    pairs = [(Path(key).read_bytes(), Path(certificate).read_bytes())]
    asking = {"root_certificates": Path(client_ca).read_bytes(), "require_client_auth": True} if client_ca else {}
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pairs, **asking))
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
