"""What the library says in the words of its API, in those of the command line's options."""

from __future__ import annotations

# What the library says -> what is said here. ``tests/cli/test_in_options.py`` finds each of them in the library.
PHRASES = (
    ('a Trace with detail="fields" shows', "--trace=fields shows"),
    ('a Trace with detail="bytes" shows', "--trace=bytes shows"),
    ("a Trace shows", "--trace shows"),
    ("what a Trace wrote", "--trace"),
    ('hidden: secrets="all" shows', "hidden: --secrets=all shows"),
    ('hidden: secrets="traffic" shows', "hidden: --secrets shows"),
    ("or let versions have TLS 1.3", "or let --tls have 1.3"),
    ("left out of versions", "left out by --tls"),
    ("left out of groups", "left out by --groups"),
    ("left out of application_protocols", "left out by --alpn"),
    ("widen suites", "widen --suites"),
    ("widen groups", "widen --groups"),
    ("there is require_extended_main_secret=False", "there is --old-main-secret"),
    ("its versions say which", "--tls says which"),
    ("what versions says", "what --tls says"),
    ("give one in credentials", "give one with --cert and --key"),
    ("give one of its in application_protocols", "give one of its with --alpn"),
    ('application_protocols=["postgresql"] will do', "--alpn postgresql will do"),
    ("TLS starts there when it is asked for (STARTTLS)", "TLS starts there when it is asked for (--starttls)"),
    ("allow more time", "allow more with --max-time"),
    ("say as what the certificate is wanted:", "say what it is wanted for with --as:"),
    ("give the certificate first and the key second", "swap --cert and --key"),
    ("give its password", "give --key-password-file"),
    ("give the PIN as pin,", "give --key-password-file,"),
    ("give credentials", "give --cert and --key; handfast certs NAME makes them"),
    ("Wireshark and handfast.lens.pcapng write", "Wireshark and --pcapng write"),
    ("the key's own file as the key", "the key's own file with --key"),
    ("was made with, as the key", "was made with, with --key"),
    ("a key goes to the key's argument", "a key goes to --key"),
    ("a CA's certificate goes to Roots", "a CA's certificate goes to --cacert or --client-ca"),
    ("a list goes to Crls", "a list goes to --crl"),
    ("add that CA to the verifier's roots, or make the server", "trust that CA with --cacert, or make the server"),
    ("add that CA to the verifier's roots, or make the client", "trust that CA with --client-ca, or make the client"),
    ("add this very certificate to the verifier's roots, or have it issued by a CA",
     "trust this very certificate with --cacert, or have it issued by a CA"),
    ("add this very certificate to the verifier's roots, or have it issued by the CA",
     "trust this very certificate with --client-ca, or have it issued by the CA"),
    ("give a verifier, or choose", "give --client-ca, or choose"),
    ("named issued, in credentials", "named issued, with --cert and --key"),
    ("certificate to the chain of our credentials", "certificate to the file of --cert"),
    ("with post_handshake_auth=True", "with --post-handshake-auth"),
    ('try groups=["x25519"]', "try --groups x25519"),
)  # fmt: skip


def in_options(text: str) -> str:
    """The text with options of the command line where it speaks of the API."""
    for said, option in PHRASES:
        text = text.replace(said, option)
    return text
