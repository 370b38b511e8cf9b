"""A wide part of the protocol tests, with our side's primitives from the other provider.

Left out are those that put keys of their own into the seams, which only the default provider can use, and those that
no primitive has a part in.
"""

from __future__ import annotations

from tests.protocol import (
    test_choose_config,
    test_client_auth,
    test_early_data,
    test_honest_peer,
    test_identity,
    test_key_shares,
    test_post_handshake,
    test_post_handshake_auth,
    test_records,
    test_resumption,
    test_server_hellos,
    test_skipped_early_data,
)
from tests.protocol12 import test_honest_peers, test_key_exchange, test_sessions
from tests.protocol12 import test_records as test_records_12
from tests.protocol12 import test_resumption as test_resumption_12
from tests.providers.again import again

globals().update(
    again(
        test_choose_config,
        test_client_auth,
        test_early_data,
        test_honest_peer,
        test_identity,
        test_key_shares,
        test_post_handshake,
        test_post_handshake_auth,
        test_records,
        test_resumption,
        test_server_hellos,
        test_skipped_early_data,
        test_honest_peers,
        test_key_exchange,
        test_sessions,
        test_records_12,
        test_resumption_12,
    )
)
