"""FirstUse: the store, who is written to it, who is refused, and what others may do to it."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace

import pytest

import handfast
from handfast import limits
from handfast.trust import first_use
from handfast.trust.first_use import read_store
from handfast.trust.presented import PresentedChain
from handfast.x509.purpose import Purpose
from tests import certificates
from tests.protocol.sessions import World

from .crafting import NOW

LEAF = certificates.server().chain[0]
OTHER = certificates.client().chain[0]
PIN, OTHER_PIN = handfast.key_pin(LEAF), handfast.key_pin(OTHER)


def presented(leaf: bytes = LEAF, name: str | None = "localhost", purpose: Purpose = Purpose.SERVER) -> PresentedChain:
    return PresentedChain(chain=(leaf,), purpose=purpose, server_name=name, at=NOW)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "known servers"


def test_the_first_meeting_is_written_down_for_its_owner_alone(store):
    assert handfast.FirstUse(store).verify(presented()).accepted
    assert read_store(store) == {"localhost": PIN}
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert [path.name for path in store.parent.iterdir() if path.name.endswith(".new")] == []


def test_the_same_key_is_accepted_again_and_the_file_left_alone(store):
    handfast.FirstUse(store).verify(presented())
    before = store.stat()
    assert handfast.FirstUse(store).verify(presented()).accepted
    assert (store.stat().st_ino, store.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_key_is_refused_with_both_and_how_to_accept_it(store):
    handfast.FirstUse(store).verify(presented())
    verdict = handfast.FirstUse(store).verify(presented(OTHER))
    assert verdict.code == "key_changed"
    assert PIN in verdict.explanation
    assert OTHER_PIN in verdict.explanation
    assert "remove the line of localhost" in verdict.advice
    assert str(store) in verdict.advice
    assert read_store(store) == {"localhost": PIN}


def test_an_old_session_is_no_first_meeting(store):
    restored = replace(presented(), restored=True)
    assert handfast.FirstUse(store).verify(restored).code == "policy"
    assert read_store(store) == {}
    handfast.FirstUse(store).verify(presented())
    assert handfast.FirstUse(store).verify(restored).accepted


def test_removing_the_line_forgets_its_sessions(store):
    world = World()
    world.client["verifier"] = handfast.FirstUse(store)
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    store.write_text("")
    assert not world.meet().resumed
    assert list(read_store(store)) == ["localhost"]


def test_removing_the_line_accepts_the_new_key(store):
    handfast.FirstUse(store).verify(presented())
    store.write_text("".join(line for line in store.read_text().splitlines(True) if not line.startswith("localhost")))
    assert handfast.FirstUse(store).verify(presented(OTHER)).accepted
    assert read_store(store) == {"localhost": OTHER_PIN}


def test_one_name_in_all_its_spellings(store):
    verifier = handfast.FirstUse(store)
    assert verifier.verify(presented(name="Localhost.")).accepted
    assert verifier.verify(presented(OTHER, name="localhost")).code == "key_changed"
    assert verifier.verify(presented(OTHER, name="[::1]")).accepted
    assert set(read_store(store)) == {"localhost", "::1"}


@pytest.mark.parametrize(
    "asked", [presented(name=None), presented(name=None, purpose=Purpose.CLIENT), presented(name="not a name")]
)
def test_who_has_no_name_is_refused(store, asked):
    assert not handfast.FirstUse(store).verify(asked).accepted
    assert not store.exists()


@pytest.mark.parametrize(
    "text", ["localhost\n", "localhost sha256//a extra\n", "localhost md5//a\n", "a sha256//a\na sha256//b\n", "\x80 x"]
)
def test_a_store_that_cannot_be_read_refuses_everybody(store, text):
    store.write_text(text)
    store.chmod(0o600)
    verdict = handfast.FirstUse(store).verify(presented())
    assert verdict.code == "verifier_failed"
    assert "line " in verdict.explanation
    assert store.read_text() == text


def test_a_store_that_others_may_write_to_refuses_everybody(store):
    handfast.FirstUse(store).verify(presented())
    store.chmod(0o620)
    verdict = handfast.FirstUse(store).verify(presented())
    assert verdict.code == "verifier_failed"
    assert "others may write" in verdict.explanation


def test_a_store_in_no_folder_refuses(tmp_path):
    assert handfast.FirstUse(tmp_path / "none" / "store").verify(presented()).code == "verifier_failed"


def test_a_store_that_is_a_folder_refuses(tmp_path):
    assert handfast.FirstUse(tmp_path).verify(presented()).code == "verifier_failed"


def test_many_at_once_forget_nobody_and_agree(store):
    """Sixteen servers and one that shows two keys, each met by a thread of its own."""
    leaves = [LEAF, OTHER] * 8
    met: dict[int, bool] = {}
    same: dict[int, bool] = {}

    def meet(number: int) -> None:
        verifier = handfast.FirstUse(store)
        met[number] = verifier.verify(presented(name=f"host{number}.example")).accepted
        same[number] = verifier.verify(presented(leaves[number], name="same.example")).accepted

    threads = [threading.Thread(target=meet, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = read_store(store)
    assert len(known) == 17
    assert all(met[number] for number in range(16))
    winner = known["same.example"]
    assert all(same[number] == (handfast.key_pin(leaves[number]) == winner) for number in range(16))


def test_in_a_handshake_a_server_that_cannot_prove_its_key_is_not_written_down(store):
    """The verifier is asked only when the proof is in: here the server shows a certificate of another key."""
    issued = certificates.server()
    credentials = handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)
    victim = certificates.server("ecdsa-p256", names=("victim.example",))
    stolen = certificates.Careless(victim.chain[:1], credentials.signer)
    client = handfast.ClientConnection(
        handfast.ClientConfig(verifier=handfast.FirstUse(store)), server_name="victim.example"
    )
    server = handfast.ServerConnection(handfast.ServerConfig(credentials=[stolen]))
    server.receive(client.outgoing())
    with pytest.raises(handfast.HandfastError) as caught:
        client.receive(server.outgoing())
    assert caught.value.code == "bad_signature"
    assert not store.exists()


def test_policy_ids_go_with_the_file(tmp_path):
    one, other = handfast.FirstUse(tmp_path / "a"), handfast.FirstUse(tmp_path / "b")
    assert one.policy_id == handfast.FirstUse(tmp_path / "a").policy_id != other.policy_id


def full_store(store, room=0):
    """A store in which ``room`` bytes are left, beside one server that is known."""
    line = f"localhost {PIN}\n"
    left = limits.FIRST_USE_STORE_BYTES - len(line) - room
    store.write_text(line + "#" * (left - 1) + "\n")
    store.chmod(0o600)


def test_a_store_has_room_for_so_many_bytes_and_forgets_no_server(store, monkeypatch):
    monkeypatch.setattr(first_use, "FIRST_USE_STORE_BYTES", 1000)
    verifier = handfast.FirstUse(store)
    names = [f"server-{number}.example" for number in range(20)]
    verdicts = {name: verifier.verify(presented(name=name)) for name in names}
    known = read_store(store)
    assert 0 < len(known) < len(names)
    assert store.stat().st_size <= 1000
    refused = next(verdict for name, verdict in verdicts.items() if name not in known)
    assert refused.code == "verifier_failed"
    assert "more than 1000 bytes" in refused.explanation
    # Who is known is known still, and so is a changed key.
    for name in known:
        assert verifier.verify(presented(name=name)).accepted
        assert verifier.verify(presented(OTHER, name=name)).code == "key_changed"
    assert read_store(store) == known
    # Room that its owner makes is used.
    store.write_text("".join(store.read_text().splitlines(True)[:-1]))
    assert verifier.verify(presented(name="another.example")).accepted


def test_a_store_that_somebody_filled_is_read_up_to_its_limit_and_no_further(store):
    full_store(store)
    assert handfast.FirstUse(store).verify(presented()).accepted
    full_store(store, room=-1)
    verdict = handfast.FirstUse(store).verify(presented())
    assert verdict.code == "verifier_failed"
    assert f"more than {limits.FIRST_USE_STORE_BYTES} bytes" in verdict.explanation
