"""What went wrong on our own side: a signer, a file, the calling program."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from handfast.errors.base import Entry, Fault, HandfastError
from handfast.registry import AlertDescription as Alert
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Mapping


class LocalFailure(HandfastError):
    """Our own signer, verifier or code failed; the peer learns internal_error and no more."""

    fault = Fault.OURS
    default_hint = "the log of this side holds the reason"
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "signing_failed": Entry(
            Alert.internal_error, "our signer failed: {reason}", "", "check that the key and its holder work"
        ),
        "wrong_signature": Entry(
            Alert.internal_error,
            "our signer made a signature that our own certificate does not verify",
            "",
            "certificate and key do not belong together, or the signer is broken",
        ),
        "need_failed": Entry(Alert.internal_error, "{need} failed: {reason}"),
        "connection_exhausted": Entry(
            Alert.close_notify,
            "the write key of a TLS 1.2 connection is near its limit of {limit} records",
            "RFC 9846 5.5",
        ),
        "holder_unreachable": Entry(
            Alert.internal_error,
            "the key-holder at {holder} cannot be reached: {reason}",
            "",
            "check that it runs and that this process may use it",
        ),
        "holder_lost": Entry(
            Alert.internal_error,
            "the key-holder at {holder} went away before it signed: {reason}",
            "",
            "the next signature connects anew; the holder's log may tell more",
        ),
        "holder_timeout": Entry(
            Alert.internal_error,
            "the key-holder at {holder} did not sign within {seconds:g} s",
            "",
            "see what it waits for, or give the signer a longer timeout",
        ),
        "holder_refused": Entry(
            Alert.internal_error,
            "the key-holder at {holder} did not sign: {reason}",
            "",
            "compare its allow-lists with what this process asks for",
        ),
        "key_exhausted": Entry(
            Alert.internal_error, "the write key has protected {limit} records, its limit", "RFC 9846 5.5"
        ),
        "internal_error": Entry(
            Alert.internal_error,
            "handfast failed: {reason}",
            "",
            "this is a bug; please report it with what a Trace wrote",
        ),
    }


class ConfigError(HandfastError):
    """A local file or option is unusable; the sentence names it."""

    fault = Fault.OURS
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "file_missing": Entry(None, "{path}: no such file", "", "check the path"),
        "file_unreadable": Entry(
            None, "{path}: {reason}", "", "check the path and its permissions", "a file cannot be read"
        ),
        "file_exists": Entry(None, "{path}: exists already", "", "give another path, or remove it first"),
        "file_unwritable": Entry(None, "{path}: cannot be written: {reason}", "", "check the path and its permissions"),
        "not_a_regular_file": Entry(
            None, "{path}: is {kind}, not a regular file", "", "give the path of a regular file, or of none yet"
        ),
        "not_a_directory": Entry(None, "{path}: is {kind}, not a directory", "", "give the path of a directory itself"),
        "foreign_file": Entry(
            None, "{path}: belongs to another user, who could read what is written to it", "", "give another path"
        ),
        "hard_link": Entry(
            None,
            "{path}: is one of {names} names of one file, and to write here would change it under the others too",
            "",
            "remove this name if the file shall stay as it is, or give another path",
        ),
        "other_contents": Entry(
            None, "{path}: holds something else, to which nothing is appended", "", "give another path"
        ),
        "no_certificate": Entry(None, "{path}: holds no certificate: {found}", "", "{advice}"),
        "bad_certificate": Entry(None, "{path}: a certificate in it does not parse: {reason}", "", "export it again"),
        "cut_off": Entry(None, "{path}: ends in the middle of a PEM block", "", "wait until it is written"),
        "unsettled": Entry(None, "{path}: changes while it is read", "", "replace files by renaming"),
        "bad_store": Entry(None, "{path}: line {line}: {reason}", "", "correct or remove that line"),
        "store_too_large": Entry(
            None,
            "{path}: would have more than {limit} bytes, our limit for servers and their keys",
            "",
            "remove the lines of servers that are not used any more: nothing else is forgotten by itself",
        ),
        "writable_by_others": Entry(None, "{path}: others may write to it", "", "chmod 600 {path}"),
        "no_crl": Entry(None, "{path}: holds no revocation list: {found}", "", "{advice}"),
        "bad_crl": Entry(
            None, "{path}: a revocation list in it cannot be used: {reason}", "", "fetch it again from the CA"
        ),
        "bad_request": Entry(
            None,
            "{path}: no certificate request that can be signed: {reason}",
            "",
            "{advice}",
            "a certificate request cannot be signed",
        ),
        "not_its_issuer": Entry(
            None,
            "{path}: the CA in {ca} did not issue this",
            "",
            "give the CA that did: the issuer is named {issuer}",
            "something is not this CA's",
        ),
        "not_a_ca": Entry(None, "{path}: this certificate is not a CA's", "", "give the certificate of a CA"),
        "no_key": Entry(
            None,
            "{path}: holds no private key: {found}",
            "",
            "{advice}",
        ),
        "bad_key": Entry(None, "{path}: the private key does not parse: {reason}", "", "{advice}"),
        "der_as_pem": Entry(
            None, "{path}: is DER (binary), not PEM", "", "convert it: openssl {command} -inform DER -in {path}"
        ),
        "swapped": Entry(
            None,
            "{cert} holds a private key and {key} a certificate: the two are exchanged",
            "",
            "give the certificate first and the key second",
        ),
        "key_mismatch": Entry(
            None,
            "{key}: this key does not belong to the certificate in {cert}",
            "",
            "use the key that the certificate was made for",
        ),
        "chain_order": Entry(
            None, "{cert}: the key fits certificate no. {position}, the leaf must come first", "", "reorder the file"
        ),
        "issuer_order": Entry(
            None,
            "{cert}: certificate no. {position} issued no. {below} and must stand right after it",
            "",
            "reorder the file: each certificate is followed by its issuer",
        ),
        "bad_pkcs12": Entry(
            None, "{path}: the PKCS#12 file cannot be used: {reason}", "", "export it again, with AES and SHA-256"
        ),
        "password_needed": Entry(None, "{path}: the key is encrypted", "", "give its password"),
        "password_wrong": Entry(None, "{path}: the password does not open the key", "", "check the password"),
        "unsupported_key": Entry(
            None,
            "{path}: {reason}",
            "",
            "use ECDSA P-256, P-384, P-521, Ed25519, Ed448 or RSA",
            "a private key is of a kind that handfast cannot use",
        ),
        "weak_key": Entry(
            None, "{path}: {reason}", "", "make a new key of at least 2048 bits", "a private key is too short"
        ),
        # PKCS#11
        "bad_pkcs11_uri": Entry(
            None,
            "the PKCS#11 URI cannot be used: {reason}",
            "RFC 7512",
            "write pkcs11:token=LABEL;object=LABEL?pin-source=file:/PATH",
        ),
        "pkcs11_not_installed": Entry(
            None, "PKCS#11 needs the package python-pkcs11", "", "pip install 'handfast[pkcs11]'"
        ),
        "bad_pkcs11_module": Entry(
            None,
            "{path}: cannot be used as a PKCS#11 module: {reason}",
            "",
            "give the token's library as module-path in the URI, or in HANDFAST_PKCS11_MODULE, or install p11-kit",
        ),
        "no_token": Entry(
            None,
            "{fit} {uri}; {module} has {tokens}",
            "",
            "check the URI's token, and whether the token is plugged in and initialized",
            "the PKCS#11 token is not there, or several fit the URI",
        ),
        "no_token_key": Entry(
            None,
            "{uri}: the token holds no such private key",
            "",
            "check the URI's object and id: p11tool --list-privkeys",
        ),
        "several_token_keys": Entry(
            None, "{uri}: {count} private keys of the token fit", "", "give object and id in the URI"
        ),
        "pin_needed": Entry(
            None, "{uri}: the token wants a PIN", "", "give the PIN as pin, or pin-source=file:/PATH in the URI"
        ),
        "pin_wrong": Entry(
            None,
            "{uri}: the token refuses the PIN, which is not tried again",
            "",
            "check the PIN; a token locks itself after a few wrong ones",
        ),
        "pin_locked": Entry(None, "{uri}: {reason}", "", "have the PIN set anew", "a token's PIN is locked or expired"),
        "token_failed": Entry(None, "{uri}: the token fails: {reason}", "", "see the token's own log"),
        "token_mechanism": Entry(
            None,
            "{uri}: the token has no mechanism for TLS signatures with {key} keys",
            "",
            "use a key of another kind: ECDSA P-256 is the most common",
        ),
        "token_pkcs1_only": Entry(
            None,
            "{uri}: the token signs with RSA in PKCS#1 v1.5 only, and TLS 1.3 wants RSA-PSS",
            "RFC 9846 4.3.3",
            "use an ECDSA key in this token, or a token with CKM_RSA_PKCS_PSS; a client may get by with "
            "legacy_client_signatures (RFC 9963)",
        ),
        "bad_option": Entry(None, "{option}: {reason}", "", "{advice}", "an option's value cannot be used"),
        "no_credentials": Entry(None, "a server needs a certificate and its key", "", "give credentials"),
        "not_a_capture": Entry(
            None,
            "this is no capture: neither pcapng nor pcap",
            "",
            "tcpdump -w, Wireshark and handfast.lens.pcapng write captures",
        ),
        "damaged_capture": Entry(
            None, "the capture is damaged at byte {offset}: {reason}", "", "what stands before that can be used"
        ),
        "link_type_not_read": Entry(
            None,
            "{packets} packets of {name} were not read",
            "",
            "capture on an Ethernet or loopback interface, or at the host itself, where the packets are plain IP",
        ),
    }


def bad_option(option: str, reason: str, advice: str) -> ConfigError:
    """ConfigError bad_option: the value of an option cannot be used. What it repeats of the value is escaped."""
    return ConfigError("bad_option", option=option, reason=escape(reason), advice=advice)


class ApiMisuse(HandfastError):
    """The calling program used handfast wrongly; never caused by what a peer sends."""

    fault = Fault.CALLER
    default_hint = "see docs/api.md"
    catalogue: ClassVar[Mapping[str, Entry]] = {
        "not_connected": Entry(None, "send() before the handshake is complete"),
        "closed_for_writing": Entry(None, "send() after close()"),
        "reentrant": Entry(None, "a connection method was called from inside one of its own callbacks"),
        "no_need": Entry(None, "there is no pending need to answer"),
        "unjudged_bytes": Entry(
            None,
            "more than {limit} bytes came while the handshake waits for an answer, and the last of them were not taken",
            "",
            "read from the transport no more than limits.UNJUDGED_BYTES - connection.held bytes before it is connected",
        ),
        "foreign_need": Entry(None, "this answer belongs to another need, or to one already answered"),
        "cannot_await": Entry(
            None,
            "{need} returned an awaitable, and this side cannot await",
            "",
            "use handfast.aio, or a signer, a verifier or tickets that answer at once in this thread",
        ),
        "async_signer": Entry(
            None,
            "{signer} has to be awaited, and a blocking socket cannot await",
            "",
            "use handfast.aio, give on_need, or configure a signer that answers at once",
        ),
        "async_verifier": Entry(
            None,
            "{verifier} has to be awaited, and a blocking socket cannot await",
            "",
            "use handfast.aio, give on_need, or configure a verifier that answers at once",
        ),
        "nobody_answers": Entry(
            None, "{need} was deferred, and nobody is there to answer it", "", "give on_need, a coroutine function"
        ),
        "trailing_data_lost": Entry(
            None,
            "more than {limit} bytes came behind the peer's close_notify, and the rest of them is lost",
            "",
            "read no more from the transport once peer_closed is True",
        ),
        "still_connected": Entry(
            None,
            "TLS cannot be left now: {reason}",
            "RFC 9846 6.1",
            "receive until the peer's end, then leave",
        ),
        "cannot_request": Entry(
            None,
            "no certificate can be requested now: {reason}",
            "RFC 9846 4.7.2",
            "a client offers it with post_handshake_auth",
        ),
        "no_exporter_12": Entry(
            None, "without the extended main secret a TLS 1.2 connection exports nothing that is its own"
        ),
        "no_key_update": Entry(None, "TLS 1.2 has no way to change the keys of a connection"),
        "no_exporter": Entry(None, "exported keying material exists only after the handshake"),
        "no_channel_binding": Entry(None, "there is no channel binding {kind}: {reason}"),
        "extraction_not_enabled": Entry(
            None, "the configuration does not let secrets be extracted", "", "set enable_secret_extraction"
        ),
        "cannot_extract": Entry(None, "the secrets cannot be extracted now: {reason}"),
        "secrets_extracted": Entry(None, "the secrets were extracted: whoever has them goes on with this connection"),
        "bad_argument": Entry(None, "{reason}", meaning="an argument's value cannot be used"),
    }
