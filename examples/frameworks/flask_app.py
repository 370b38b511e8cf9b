"""Flask: who the client is, in the environ of WSGI.

Flask takes no connection apart, so TLS is its server's: gunicorn's here, through ``handfast.SSLContext``.

handfast certs localhost
gunicorn --config flask_gunicorn.py flask_app:app
handfast connect https://localhost:8000/ --cacert pki/ca.pem --cert pki/client.pem --key pki/client.key
"""

from __future__ import annotations

from flask import Flask, abort, request

from handfast.contrib.wsgi import TLSEnvironMiddleware

STAFF = {"CN=alice,O=handfast"}

app = Flask(__name__)
app.wsgi_app = TLSEnvironMiddleware(app.wsgi_app)  # type: ignore[method-assign, unused-ignore]


@app.before_request
def only_verified() -> None:
    """Nobody comes in without a certificate of our CA: SSL_CLIENT_S_DN is there for verified ones only."""
    if "SSL_CLIENT_S_DN" not in request.environ:
        abort(403, "show a certificate of our CA")


@app.get("/")
def home() -> str:
    """For all whom the CA knows."""
    return f"hello, {request.environ['SSL_CLIENT_S_DN']}\n"


@app.get("/staff")
def staff() -> str:
    """For some of them."""
    if request.environ["SSL_CLIENT_S_DN"] not in STAFF:
        abort(403, "you are not of the staff")
    return "the keys are under the mat\n"
