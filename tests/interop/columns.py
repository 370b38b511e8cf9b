"""The columns of docs/interop.md: the foreign peers, each as client and as server, and what they are."""

from __future__ import annotations

import functools
import re
import ssl
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.peers import (
    BRIEF_CLIENTS,
    BRIEF_SERVERS,
    CLIENTS,
    SERVERS,
    ClientPeer,
    ServerPeer,
    bun,
    deno,
    golang,
    node,
    require_peer,
)
from tests.peers.gnutls import capabilities
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HYBRIDS = ("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024")
FIRST_OPENSSL_WITH_HYBRIDS = (3, 5)


_RUSTLS = {"pyreqwest", "uv", "granian", "deno"}
_LACKING = (
    ({"go"}, {"x448"}, "Go"),
    ({"jsse"}, HYBRIDS, "JSSE before Java 27"),
    ({"nss"}, {*HYBRIDS, "x448"}, "NSS 3.87"),
    ({"curl_cffi"}, {"SecP256r1MLKEM768", "SecP384r1MLKEM1024", "x448"}, "BoringSSL"),
    ({"granian"}, {"X25519MLKEM768"}, "rustls on ring"),
    (_RUSTLS, {"SecP256r1MLKEM768", "SecP384r1MLKEM1024", "secp521r1", "x448"}, "rustls, as it is configured there,"),
)

_ON_RING = {"granian"}
_PSS = {"rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"}
_LACKING_SCHEMES = (
    ({"go"}, {"ed448", *_PSS}, "Go"),
    ({"nss"}, {"ed25519", "ed448"}, "NSS 3.87"),
    ({"curl_cffi"}, {"ed448", *_PSS}, "BoringSSL"),
    (_RUSTLS, {"ed448", *_PSS}, "rustls"),
    (_ON_RING, {"ecdsa_secp521r1_sha512"}, "rustls on ring"),
    ({"nss"}, _PSS, "NSS's pk12util imports no such key: it"),
)


@dataclass(frozen=True)
class Column:
    """A foreign peer in one role. ``program`` is what is run, and ``version`` tells what that is on this machine.

    ``tls`` is the version that is spoken: with "1.2" the peer speaks no other, and ours speaks both.
    """

    peer: type[ClientPeer] | type[ServerPeer]
    program: str
    version: Callable[[], str]
    tls: str = "1.3"

    @property
    def name(self) -> str:
        return f"{self.peer.name} {'client' if self.is_client else 'server'}"

    @property
    def is_client(self) -> bool:
        return issubclass(self.peer, ClientPeer)

    def lacks_scheme(self, scheme: str) -> str | None:
        """Why this peer cannot show a certificate whose key makes such signatures, and verify ours, or None."""
        for names, schemes, reason in _LACKING_SCHEMES:
            if self.peer.name in names and scheme in schemes:
                return f"{reason} has no {scheme}"
        return None

    def lacks_group(self, group: str) -> str | None:
        """Why this peer cannot agree on a group, or None."""
        if self.peer.name == "gnutls":
            known = f"GROUP{group.upper()}" in capabilities().replace("-", "")
            return None if known else f"{self.version()} has no {group}"
        for names, groups, reason in _LACKING:
            if self.peer.name in names and group in groups:
                return f"{reason} has no {group}"
        number = re.search(r"OpenSSL[ /](\d+)\.(\d+)", self.version())
        if group in HYBRIDS and number and (int(number[1]), int(number[2])) < FIRST_OPENSSL_WITH_HYBRIDS:
            return f"OpenSSL before 3.5 has no {group}"
        return None


def _first_line(*command: str) -> str:
    run = subprocess.run([require_peer(command[0]), *command[1:]], capture_output=True, text=True, timeout=LIMIT)
    return run.stdout.splitlines()[0]


@functools.cache
def openssl_version() -> str:
    return " ".join(_first_line("openssl", "version").split()[:2])


@functools.cache
def gnutls_version() -> str:
    return f"GnuTLS {_first_line('gnutls-cli', '--version').split()[-1]}"


@functools.cache
def curl_version() -> str:
    curl, number, *_, libraries = _first_line("curl", "--version").split(maxsplit=3)
    library = re.search(r"(\w+SSL|GnuTLS)/(\S+)", libraries)
    return f"{curl} {number}" + (f", {library[1]} {library[2]}" if library else "")


@functools.cache
def python_version() -> str:
    import platform

    return f"Python {platform.python_version()}, {' '.join(ssl.OPENSSL_VERSION.split()[:2])}"


@functools.cache
def pyopenssl_version() -> str:
    import OpenSSL
    from OpenSSL import SSL

    library = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()
    return f"pyOpenSSL {OpenSSL.__version__}, {' '.join(library.split()[:2])}"


@functools.cache
def go_version() -> str:
    run = subprocess.run([golang.compiler(), "env", "GOVERSION"], capture_output=True, text=True, timeout=LIMIT)
    return f"Go {run.stdout.strip().removeprefix('go')}"


@functools.cache
def node_version() -> str:
    versions = "`Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`"
    run = subprocess.run([node.program(), "-p", versions], capture_output=True, text=True, timeout=LIMIT)
    return run.stdout.strip()


@functools.cache
def deno_version() -> str:
    return f"{' '.join(_first_line(deno.program(), '--version').split()[:2]).capitalize()}, rustls"


@functools.cache
def bun_version() -> str:
    return f"Bun {_first_line(bun.program(), '--version')}, BoringSSL"


@functools.cache
def java_version() -> str:
    name, number, *_ = _first_line("java", "--version").split()
    return f"{name} {number}"


def _installed(package: str) -> str:
    from importlib.metadata import version

    return f"{package} {version(package)}"


@functools.cache
def curl_cffi_version() -> str:
    from curl_cffi import Curl

    return f"{_installed('curl_cffi')}, {' '.join(Curl().version().decode().split()[:2])}"


def pyreqwest_version() -> str:
    return f"{_installed('pyreqwest')}, rustls"


def uv_version() -> str:
    return f"{_installed('uv')}, rustls"


def granian_version() -> str:
    return f"{_installed('granian')}, rustls"


@functools.cache
def nss_version() -> str:
    """That of the library, which its programs do not tell."""
    import ctypes

    get_version = ctypes.CDLL("libnss3.so").NSS_GetVersion
    get_version.restype = ctypes.c_char_p
    return f"NSS {get_version().decode()}"


@functools.cache
def nginx_version() -> str:
    run = subprocess.run([require_peer("nginx"), "-V"], capture_output=True, text=True, timeout=LIMIT)
    library = re.search(r"running with (OpenSSL \S+)", run.stderr) or re.search(r"built with (OpenSSL \S+)", run.stderr)
    number = re.search(r"nginx/(\S+)", run.stderr)
    return f"nginx {number[1] if number else ''}" + (f", {library[1]}" if library else "")


@functools.cache
def haproxy_version() -> str:
    run = subprocess.run([require_peer("haproxy"), "-vv"], capture_output=True, text=True, timeout=LIMIT)
    library = re.search(r"Running on OpenSSL version : (OpenSSL \S+)", run.stdout)
    number = re.search(r"version (\d[\d.]*)", run.stdout)
    return f"HAProxy {number[1] if number else ''}" + (f", {library[1]}" if library else "")


def _run(*command: str) -> str:
    run = subprocess.run([require_peer(command[0]), *command[1:]], capture_output=True, text=True, timeout=LIMIT)
    return run.stdout.strip()


@functools.cache
def ruby_version() -> str:
    return _run(
        "ruby", "-ropenssl", "-e", 'puts "Ruby #{RUBY_VERSION}, " + OpenSSL::OPENSSL_LIBRARY_VERSION[/\\w+ \\S+/]'
    )


@functools.cache
def php_version() -> str:
    shown = 'preg_match("/\\w+ \\S+/", OPENSSL_VERSION_TEXT, $found); echo "PHP ", PHP_VERSION, ", ", $found[0];'
    return _run("php", "-r", shown)


@functools.cache
def perl_version() -> str:
    shown = 'printf "Perl %vd, IO::Socket::SSL %s, %s", $^V, $IO::Socket::SSL::VERSION, Net::SSLeay::SSLeay_version()'
    return " ".join(_run("perl", "-MIO::Socket::SSL", "-e", shown).split()[:6])


@functools.cache
def erlang_version() -> str:
    shown = """application:load(ssl), {ok, V} = application:get_key(ssl, vsn),
        io:format("Erlang/OTP ~s, ssl ~s", [erlang:system_info(otp_release), V]), halt()."""
    return _run("erl", "-noshell", "-eval", shown)


@functools.cache
def lighttpd_version() -> str:
    return _first_line("lighttpd", "-v").split(" - ")[0].replace("/", " ").replace(" (ssl)", "") + ", OpenSSL"


@functools.cache
def h2o_version() -> str:
    h2o, library, *_ = _run("h2o", "--version").splitlines()
    return f"h2o {h2o.split()[-1]}, {' '.join(library.split()[1:3])}"


_ABOUT: dict[str, tuple[str, str, Callable[[], str]]] = {
    "openssl": ("s_client", "s_server", openssl_version),
    "gnutls": ("gnutls-cli", "gnutls-serv", gnutls_version),
    "curl": ("curl", "", curl_version),
    "python": ("ssl.SSLSocket", "ssl.SSLSocket", python_version),
    "pyopenssl": ("SSL.Connection", "SSL.Connection", pyopenssl_version),
    "go": ("crypto/tls", "crypto/tls", go_version),
    "node": ("tls.connect", "tls.Server", node_version),
    "deno": ("tls.connect", "tls.Server", deno_version),
    "nss": ("tstclnt", "selfserv", nss_version),
    "curl_cffi": ("curl_cffi.Curl", "", curl_cffi_version),
    "pyreqwest": ("SyncClient", "", pyreqwest_version),
    "uv": ("uv pip compile", "", uv_version),
    "nginx": ("", "nginx", nginx_version),
    "haproxy": ("", "haproxy", haproxy_version),
    "granian": ("", "granian", granian_version),
    "ruby": ("OpenSSL::SSL", "OpenSSL::SSL", ruby_version),
    "php": ("stream_socket_client", "stream_socket_server", php_version),
    "perl": ("IO::Socket::SSL", "IO::Socket::SSL", perl_version),
    "erlang": ("ssl:connect", "ssl:handshake", erlang_version),
    "bun": ("tls.connect", "tls.Server", bun_version),
    "h2o": ("", "h2o", h2o_version),
    "lighttpd": ("", "lighttpd", lighttpd_version),
    "jsse": ("SSLSocket", "SSLSocket", java_version),
}


def _columns(peers: Iterable[type[ClientPeer]] | Iterable[type[ServerPeer]]) -> tuple[Column, ...]:
    made = []
    for peer in peers:
        client, server, version = _ABOUT[peer.name]
        made.append(Column(peer, client if issubclass(peer, ClientPeer) else server, version))
    return tuple(made)


CLIENT_COLUMNS = _columns(CLIENTS.values())
SERVER_COLUMNS = _columns(SERVERS.values())
COLUMNS = (*CLIENT_COLUMNS, *SERVER_COLUMNS)
BRIEF_CLIENT_COLUMNS = _columns(BRIEF_CLIENTS.values())
BRIEF_SERVER_COLUMNS = _columns(BRIEF_SERVERS.values())
BRIEF_COLUMNS = (*BRIEF_CLIENT_COLUMNS, *BRIEF_SERVER_COLUMNS)


def in_both_versions(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """These, and the same again in TLS 1.2."""
    return (*columns, *(replace(column, tls="1.2") for column in columns))
