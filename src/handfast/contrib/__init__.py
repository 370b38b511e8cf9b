"""How servers and frameworks of others learn who a TLS peer is. docs/asgi.md explains.

Nothing of handfast imports this, and each module here imports the server it is for.
"""

from handfast.contrib.server_files import ServerFiles

__all__ = ["ServerFiles"]
