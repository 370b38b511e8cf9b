"""gunicorn's configuration for flask_app.py."""

from handfast.contrib import ServerFiles
from handfast.contrib.gunicorn import factory

bind = "127.0.0.1:8000"
worker_class = "gthread"
# gunicorn speaks TLS where it is given these two; what is in them is read from here by handfast.
certfile, keyfile = "pki/server.pem", "pki/server.key"
ssl_context = factory(ServerFiles(certificate=certfile, key=keyfile, client_ca="pki/ca.pem"))
