"""What each secret of the key schedule is for, what an NSS key log calls it, and how much it gives away. RFC 9850."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from handfast.events import SecretLevel
from handfast.registry.sentences import Explained, split

# Level TRAFFIC is the path from the key exchange to the records of this connection, each step of it, so that the key
# schedule can be followed by hand; who may see these may see the whole connection, and can compute the exporter and
# resumption secrets too. Those, which other protocols and later connections rely on, are only ever shown by name at
# level ALL.
SecretNames: TypeAlias = Mapping[str, tuple[str, SecretLevel]]
SECRETS: SecretNames = {
    "psk": ("", SecretLevel.ALL),
    "early_secret": ("", SecretLevel.TRAFFIC),
    "binder_key": ("", SecretLevel.ALL),
    "client_early_traffic_secret": ("CLIENT_EARLY_TRAFFIC_SECRET", SecretLevel.TRAFFIC),
    "early_exporter_secret": ("EARLY_EXPORTER_SECRET", SecretLevel.ALL),
    "derived_from_early_secret": ("", SecretLevel.TRAFFIC),
    "shared_secret": ("", SecretLevel.TRAFFIC),
    "handshake_secret": ("", SecretLevel.TRAFFIC),
    "client_handshake_traffic_secret": ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", SecretLevel.TRAFFIC),
    "server_handshake_traffic_secret": ("SERVER_HANDSHAKE_TRAFFIC_SECRET", SecretLevel.TRAFFIC),
    "derived_from_handshake_secret": ("", SecretLevel.TRAFFIC),
    "main_secret": ("", SecretLevel.TRAFFIC),
    "client_application_traffic_secret_0": ("CLIENT_TRAFFIC_SECRET_0", SecretLevel.TRAFFIC),
    "server_application_traffic_secret_0": ("SERVER_TRAFFIC_SECRET_0", SecretLevel.TRAFFIC),
    "exporter_secret": ("EXPORTER_SECRET", SecretLevel.ALL),
    "resumption_secret": ("", SecretLevel.ALL),
    "resumption_psk": ("", SecretLevel.ALL),
}

# TLS 1.2 has one secret, with which everything of a connection can be computed.
SECRETS_12: SecretNames = {
    "shared_secret": ("", SecretLevel.TRAFFIC),
    "main_secret": ("CLIENT_RANDOM", SecretLevel.TRAFFIC),
    "key_block": ("", SecretLevel.TRAFFIC),
}

# What each is, in one sentence with its section.
MEANINGS: Mapping[str, str] = {
    "psk": "The pre-shared key that both sides have from an earlier session, or 0 without one. RFC 9846 7.1.",
    "early_secret": "The first secret, made of the pre-shared key alone. RFC 9846 7.1.",
    "binder_key": "Makes the MAC with which the client proves that it has the pre-shared key. RFC 9846 4.3.11.2.",
    "client_early_traffic_secret": "Protects the client's early data. RFC 9846 7.1.",
    "early_exporter_secret": "Makes keys for other protocols before the handshake is over. RFC 9846 7.5.",
    "derived_from_early_secret": "Carries the early secret on to where the shared secret comes in. RFC 9846 7.1.",
    "shared_secret": "What the key exchange gave both sides, and no one who listened. RFC 9846 7.4.",
    "handshake_secret": "Joins the shared secret to what came before it. RFC 9846 7.1.",
    "client_handshake_traffic_secret": "Protects the client's handshake messages after ServerHello. RFC 9846 7.1.",
    "server_handshake_traffic_secret": "Protects the server's handshake messages after ServerHello. RFC 9846 7.1.",
    "derived_from_handshake_secret": "Carries the handshake secret on to the main secret. RFC 9846 7.1.",
    "main_secret": "All secrets after the handshake come of it. RFC 9846 7.1.",
    "client_application_traffic_secret_0": "Protects what the client sends after the handshake. RFC 9846 7.1.",
    "server_application_traffic_secret_0": "Protects what the server sends after its Finished. RFC 9846 7.1.",
    "exporter_secret": "Makes keys for other protocols, which are bound to this connection. RFC 9846 7.5.",
    "resumption_secret": "Makes the pre-shared keys of the tickets of this session. RFC 9846 7.1.",
    "resumption_psk": "The pre-shared key that belongs to one ticket. RFC 9846 4.7.1.",
}
MEANINGS_12: Mapping[str, str] = {
    "shared_secret": "What the key exchange gave both sides, and no one who listened. RFC 8422 5.10.",
    "main_secret": "The one secret of TLS 1.2, of which all keys are made. RFC 5246 8.1.",
    "key_block": "The keys and IVs of both directions, one after the other. RFC 5246 6.3.",
}
NEXT_GENERATION = "Protects one direction after a KeyUpdate, and is made of the secret before it. RFC 9846 7.2."


def explained(name: str, meanings: Mapping[str, str] = MEANINGS) -> Explained:
    """What the secret called ``name`` is, and its section; both "" for an unknown one."""
    return split(meanings.get(name, NEXT_GENERATION if "_application_traffic_secret_" in name else ""))


def about(name: str, names: SecretNames = SECRETS) -> tuple[str, SecretLevel]:
    """The NSS label ("" if a key log does not hold it) and the level of the secret called ``name``.

    The traffic secrets that KeyUpdate makes are not in the table: a key log does without them, since one who has
    number 0 can compute number N.
    """
    return names.get(name, ("", SecretLevel.TRAFFIC if "_application_traffic_secret_" in name else SecretLevel.ALL))
