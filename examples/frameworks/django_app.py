"""Django: a middleware that makes the client's certificate a user, and a view for some users only.

The whole project is this file. Its application is an ASGI one, as ``django-admin startproject`` writes it to asgi.py.

handfast certs localhost
handfast serve --cert pki/server.pem --key pki/server.key --client-ca pki/ca.pem --app django_app:application
handfast connect https://localhost:1337/ --cacert pki/ca.pem --cert pki/client.pem --key pki/client.key
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import path

from handfast.contrib.asgi import verified_peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

STAFF = {"CN=alice,O=handfast"}


def client_certificate(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware of Django's: nobody comes in without a certificate of our CA."""

    def middleware(request: Any) -> Any:
        peer = verified_peer(request.scope)
        if peer is None:
            raise PermissionDenied("show a certificate of our CA")
        request.client_name = peer.verdict.subject
        return get_response(request)

    return middleware


def home(request: HttpRequest) -> HttpResponse:
    """For all whom the CA knows."""
    return HttpResponse(f"hello, {request.client_name}\n")


def staff(request: HttpRequest) -> HttpResponse:
    """For some of them."""
    if request.client_name not in STAFF:
        raise PermissionDenied(f"{request.client_name} is not of the staff")
    return HttpResponse("the keys are under the mat\n")


urlpatterns = [path("", home), path("staff", staff)]

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    MIDDLEWARE=[f"{__name__}.client_certificate"],
    # A throw-away one: this project keeps no sessions.
    SECRET_KEY="an example has no secrets",
)
application = get_asgi_application()
