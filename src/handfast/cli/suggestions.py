"""What an option is called here that curl, OpenSSL or another program calls otherwise."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# Foreign name -> what to give instead; its first word is one of our options.
INSTEAD = {
    "--ciphers": "--suites", "--cipher": "--suites", "--ciphersuites": "--suites", "--tls13-ciphers": "--suites",
    "--sni": "--servername", "--server-name": "--servername", "--host": "--servername",
    "--connect": "--connect-to", "-connect": "--connect-to",
    "--curves": "--groups", "--curve": "--groups", "--ecdh-curve": "--groups",
    "--ca": "--cacert", "--ca-cert": "--cacert", "--cafile": "--cacert", "--CAfile": "--cacert", "--capath": "--cacert",
    "--CApath": "--cacert", "--ca-file": "--cacert", "--truststore": "--cacert", "--trust": "--cacert",
    "--client-cert": "--cert", "--certificate": "--cert", "--cert-file": "--cert", "-E": "--cert", "--p12": "--cert",
    "--client-key": "--key", "--private-key": "--key", "--key-file": "--key", "--keyfile": "--key",
    "--pass": "--key-password-file FILE", "--password": "--key-password-file FILE",
    "--key-password": "--key-password-file FILE", "--pin-file": "--key-password-file FILE",
    "--verify": "--client-auth require_and_verify", "--mtls": "--client-auth require_and_verify",
    "--require-client-cert": "--client-auth require_and_verify", "--client-cert-ca": "--client-ca",
    "--tlsv1.2": "--tls 1.2", "--tlsv1.3": "--tls 1.3", "--tls1.2": "--tls 1.2", "--tls1.3": "--tls 1.3",
    "--tls1_2": "--tls 1.2", "--tls1_3": "--tls 1.3", "--tls-max": "--tls 1.2", "--version-tls": "--tls",
    "--protocols": "--alpn", "--next-protos": "--alpn", "--http1.1": "--alpn http/1.1",
    "--verbose": "--trace", "-v": "--trace", "--debug": "--trace", "--msg": "--trace=fields", "--dump": "--trace=bytes",
    "--sslkeylogfile": "--keylog", "--keylogfile": "--keylog", "--key-log": "--keylog", "--ssl-key-log": "--keylog",
    "--pcap": "--pcapng", "--capture": "--pcapng", "-w": "--pcapng",
    "--method": "--request", "--post": "--data", "--data-raw": "--data", "--data-binary": "--data", "--body": "--data",
    "-A": "--header 'User-Agent: ...'", "--user-agent": "--header 'User-Agent: ...'",
    "-u": "--header 'Authorization: ...'", "--user": "--header 'Authorization: ...'", "--headers": "--header",
    "-m": "--max-time", "--timeout": "--max-time", "--connect-timeout": "--max-time", "-x": "--proxy",
    "--no-verify": "--insecure", "--no-check-certificate": "--insecure", "--skip-verify": "--insecure",
    "--pinnedpubkey": "--pin", "--tofu": "--trust-on-first-use FILE", "--crlfile": "--crl", "--crl-file": "--crl",
    "--cert-status": "--ocsp require", "--status": "--ocsp check", "--reconnect": "--resume",
    "--sess_in": "--session FILE", "--sess_out": "--session FILE", "-sess_in": "--session FILE",
    "-sess_out": "--session FILE", "-starttls": "--starttls", "-showcerts": "--showcerts",
    "--max-redirects": "--max-redirs", "--follow": "--location", "--quiet": "--silent", "-q": "--silent",
    "--noproxy": "--proxy ''",
    "--0rtt": "--early-data", "--tls-earlydata": "--early-data", "--early_data": "--early-data",
    "-p": "--listen HOST:PORT", "--port": "--listen HOST:PORT", "--address": "--listen HOST:PORT",
    "--bind": "--listen HOST:PORT", "--accept": "--listen HOST:PORT",
    "--out": "--dir", "--output-dir": "--dir", "--san": "NAME", "--domain": "NAME", "--force": "--replace",
    "--overwrite": "--replace", "--validity": "--days", "--keytype": "--key-type", "--algorithm": "--key-type",
    "--user-cert": "--client NAME",
    "--purpose": "--as", "-purpose": "--as", "--hostname": "--for", "-verify_hostname": "--for", "-attime": "--at",
    "-passin": "--key-password-file FILE", "--CRLfile": "--crl", "-CRLfile": "--crl", "-CAfile": "--cacert",
}  # fmt: skip


def instead_of(option: str, known: Collection[str]) -> str:
    """What to give instead of an unknown option where ``known`` are there; "" where nothing is known to mean that."""
    wanted = INSTEAD.get(option, "")
    if wanted and (wanted.split()[0].partition("=")[0] in known or not wanted.startswith("-")):
        return wanted
    # Letters alone mean little: only a slip of the hand is close enough.
    begun = sorted(name for name in known if len(option) > 3 and name.startswith(option))
    return " or ".join(begun or get_close_matches(option, sorted(known), cutoff=0.85))
