"""Under which titles ``--help`` lists the options of all verbs."""

from __future__ import annotations

# The titles under which ``--help`` lists options, by the names of their parameters.
GROUPS = {
    "What is read": ("hexadecimal", "interface", "delay", "capture", "read_keylog", "log_text"),
    "Which connections": ("host", "port", "sni", "subject", "failed"),
    "What is written": ("write", "no_secrets"),
    "What is made": ("directory", "client", "server", "intermediate", "csr", "purpose", "request", "replace"),
    "Which CA": ("ca", "ca_key", "ca_password_file", "ca_name", "constrain", "destroy_ca_key"),
    "What certificates say": ("fields", "key_type", "days", "until"),
    "How keys are kept": ("new_key_password_file", "p12", "p12_password_file", "combined"),
    "What is served": ("www", "chat", "app", "once", "naccept"),
    "Request": (
        "method", "data", "headers", "head", "include", "fail", "location", "max_redirects", "output", "max_time",
    ),
    "Which ends": ("listen_at", "to", "tcp", "from_anywhere", "to_anywhere"),
    "The service": (
        "to_cert", "to_key", "to_key_password_file", "to_cacert", "to_crl", "to_ocsp", "to_pin", "to_name",
        "to_starttls", "identity", "proxy_protocol",
    ),
    "Where to": ("servername", "starttls", "family", "connect_to", "resolve", "proxy", "listen"),
    "Whom to trust": (
        "cacert", "insecure", "policy", "client_ca", "client_auth", "require_later", "crl", "issuer", "ocsp", "pin",
        "trust_on_first_use", "allow_dns", "allow_uri", "allow_cn", "allow_ou", "allow_spki", "allow_file", "allow_if",
    ),
    "The server's own files": ("server_cert", "server_key"),
    "Who we are": ("cert", "key", "key_password_file", "staple", "post_handshake_auth", "reload"),
    "How it is run": (
        "config_file", "check", "workers", "access_log", "admin", "captures", "grace", "connections", "per_client",
        "per_second",
    ),
    "TLS": (
        "tls", "suites", "groups", "alpn", "old_main_secret", "crypto_provider", "key_update", "resume",
        "session_file", "early_data", "redis", "redis_key",
    ),
    "What is shown": (
        "verbose", "silent", "show_certificates", "trace", "explain", "every_byte", "summary", "as_json", "json",
        "report", "secrets", "html", "lang", "keylog", "pcapng",
    ),
}  # fmt: skip
OTHER = "Other"


def group_of(name: str) -> str:
    """The title above the option whose parameter has this name."""
    return next((title for title, names in GROUPS.items() if name in names), OTHER)
