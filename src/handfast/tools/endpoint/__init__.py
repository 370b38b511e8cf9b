"""A scriptable endpoint: one TLS connection, or several with one configuration, that does what it is told and then says
in one JSON line what came of it. docs/endpoint.md lists the flags and the line's fields.

    python -m handfast.tools.endpoint --role server --listen 127.0.0.1:0 --cert cert.pem --key key.pem --echo-xor

As a function: ``run(Options(config=ServerConfig(...), listen=("127.0.0.1", 0)))`` returns an ``Outcome``.
"""

from handfast.tools.endpoint.conversation import run, run_each
from handfast.tools.endpoint.options import Address, Export, KeyUpdate, Options, Shutdown
from handfast.tools.endpoint.report import Outcome

__all__ = ["Address", "Export", "KeyUpdate", "Options", "Outcome", "Shutdown", "run", "run_each"]
