"""One call by gRPC: its limit in seconds, port, CA and name of the server, certificate and key of the client or ""."""

import sys
from pathlib import Path

import grpc


def read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


def main(limit: str, port: str, ca: str, name: str, certificate: str, key: str) -> None:
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    target = f"ipv4:127.0.0.1:{port}"
    with grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", name)]) as channel:
        print(channel.unary_unary("/Greeter/Hello")(b"world", timeout=float(limit)))


if __name__ == "__main__":
    main(*sys.argv[1:])
