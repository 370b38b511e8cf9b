"""What each secret of the key schedule is called in an NSS key log, and how much it gives away. RFC 9850."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from handfast.events import SecretLevel

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


def about(name: str, names: SecretNames = SECRETS) -> tuple[str, SecretLevel]:
    """The NSS label ("" if a key log does not hold it) and the level of the secret called ``name``.

    The traffic secrets that KeyUpdate makes are not in the table: a key log does without them, since one who has
    number 0 can compute number N.
    """
    return names.get(name, ("", SecretLevel.TRAFFIC if "_application_traffic_secret_" in name else SecretLevel.ALL))
