"""The page in a browser: bytes and fields, pointer and keys, links, widths, colours, print, and what is hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lens.page.test_page import HOSTILE

DRAWN = [
    "mutual", "certificate_required", "HelloRetryRequest", "resumed", "early data", "KeyUpdate", "TLS 1.2",
    "authentication after the handshake", "compressed certificates", "small records", "two", "hostile", "with secrets",
]  # fmt: skip
OPEN_ALL = "document.querySelectorAll('.tools > button')[0].click()"
NOT_WIDER = "document.documentElement.scrollWidth <= innerWidth"
# Each block of bytes: how many its leaves stand for, and what is shown of them where nothing is hidden.
BLOCKS = """[...document.querySelectorAll('.annotated')].map((block) => ({
  record: block.closest('.record').querySelector('.size').textContent,
  wire: block === block.closest('.body').querySelector('.annotated'),
  size: [...block.querySelectorAll('.leaf')].reduce((sum, leaf) => sum + Number(leaf.dataset.size), 0),
  wrong: [...block.querySelectorAll('.leaf')].filter((leaf) => !leaf.classList.contains('hid')
    && leaf.textContent.split(' ').length !== Number(leaf.dataset.size)).length,
  unnamed: [...block.querySelectorAll('.leaf')].filter((leaf) =>
    !block.querySelector(`.fields [data-at="${leaf.dataset.at}"] .name`)?.textContent).length}))"""
# Text that is too near to its background: WCAG 2.1, 1.4.3.
TOO_PALE = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3])).concat(1);
  const light = (colour) => { const [r, g, b] = colour.map((part) => { part /= 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (element) => { const layers = [];
    for (let one = element; one; one = one.parentElement) layers.unshift(rgba(getComputedStyle(one).backgroundColor));
    return layers.reduce((under, top) => over(top, under), [255, 255, 255, 1]); };
  const found = new Set(); let seen = 0;
  for (const element of document.querySelectorAll('#page *')) {
    if (![...element.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim())) continue;
    if (!element.checkVisibility?.() || element.namespaceURI.endsWith('svg')) continue;
    seen++;
    const style = getComputedStyle(element), under = ground(element), ink = over(rgba(style.color), under);
    const [high, low] = [light(ink), light(under)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [seen, [...found]];
}"""


@pytest.mark.parametrize("name", DRAWN)
def test_every_byte_is_drawn_beside_its_field(window, address, name):
    page = window().open(address(name))
    page.evaluate(OPEN_ALL)
    blocks = page.evaluate(BLOCKS)
    assert len(blocks) > 5
    for block in blocks:
        assert (block["wrong"], block["unnamed"]) == (0, 0)
        if block["wire"]:
            assert block["record"] == f"{block['size']} bytes"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["mutual", "certificate_required", "two", "hostile", "with secrets", "in Chinese"])
def test_it_fits_and_can_be_read(window, address, name, width, scheme):
    # In motion colours are between two others.
    page = window(width=width, color_scheme=scheme, reduced_motion="reduce").open(address(name))
    assert page.evaluate(NOT_WIDER)
    page.evaluate(OPEN_ALL)
    assert page.evaluate(NOT_WIDER)
    field = page.locator(".fields [role=option]").nth(5)
    field.click()
    page.locator(".fields [role=option]").nth(7).hover()
    seen, pale = page.evaluate(TOO_PALE)
    assert seen > 500
    assert pale == []


def test_pointing_ties_bytes_and_fields(window, address):
    page = window().open(address("mutual"))
    page.locator("[id='1/1'] > summary").click()
    leaf = page.locator("[id='1/1'] .leaf[data-at='6']")
    row = page.locator("[id='1/1'] .fields [data-at='6']")
    leaf.hover()
    name, _, sentence, section = leaf.get_attribute("title").split("\n")
    assert (name, section) == (row.locator(".name").inner_text(), "RFC 9846 4.2.2")
    assert sentence.endswith(".")
    assert row.evaluate("one => one.classList.contains('hot')")
    row.hover()
    assert leaf.evaluate("one => one.classList.contains('hot')")
    page.mouse.move(1, 1)
    assert not leaf.evaluate("one => one.classList.contains('hot')")
    leaf.click()
    assert row.get_attribute("aria-selected") == "true"
    name = row.locator(".name").inner_text()
    said = page.locator("[id='1/1'] .words").inner_text()
    assert said.startswith(name)
    assert "RFC 9846 4.2.2" in said
    assert page.evaluate("decodeURIComponent(location.hash)") == f"#1/1/ClientHello/{name}"


def test_keys_are_enough(window, address):
    page = window().open(address("mutual"))
    summary = page.locator("[id='1/1'] > summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("[id='1/1'] .fields").wait_for()
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
    names = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "End", "Home"):
        page.keyboard.press(key)
        names.append(page.evaluate("document.activeElement.querySelector('.name').textContent"))
        assert page.locator("[id='1/1'] [aria-selected=true]").count() == 1
        assert page.locator("[id='1/1'] .words h5").inner_text().count(names[-1]) == 1
    assert names[:3] == ["legacy_record_version", "length", "legacy_record_version"]
    assert names[4] == "type"
    page.locator(".nodes [tabindex='0']").focus()
    before = page.locator(".node h5").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator(".node h5").inner_text() != before


def test_who_cannot_see_is_told_what_is_there(window, address):
    page = window().open(address("mutual"))
    page.evaluate(OPEN_ALL)
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("listbox", name="Key schedule").count() == 1
    assert page.get_by_role("option", name="random").count() >= 2
    assert page.get_by_role("button", name="Open all").count() == 1
    assert page.locator(".words[aria-live=polite]").count() > 5
    nameless = (
        "[...document.querySelectorAll('button, summary, [role]')].filter((one) => !one.textContent.trim()).length"
    )
    assert page.evaluate(nameless) == 0


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("#1/1/ClientHello", "ClientHello"),
        ("#1/1/ClientHello/random", "random"),
        ("#1/5/CertificateRequest/extensions.certificate_authorities.authorities.[0]", "CN=Test CA,O=handfast"),
        ("#1/5/record/ciphertext", "ciphertext"),
        ("#1/5/inside/type", "type"),
    ],
)
def test_links_lead_to_a_message_or_field(window, address, link, shown):
    page = window().open(address("mutual") + link)
    chosen = page.locator("#page .fields [aria-selected=true]")
    assert chosen.count() == 1
    assert page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    panel = chosen.locator("xpath=ancestor::div[contains(@class, 'panes')]").locator(".words")
    assert shown in panel.inner_text()
    box = chosen.bounding_box()
    assert 0 <= box["y"] <= 900


def test_links_lead_to_records_secrets_and_connections(window, address):
    opened = window()
    page = opened.open(address("mutual") + "#1/keys/3")
    assert page.locator(".nodes [aria-selected=true]").get_attribute("id") == "1/keys/3"
    page.evaluate("location.hash = '#1/2'")
    page.locator("[id='1/2'][open] .fields").first.wait_for()
    page = window().open(address("many") + "#150/1/ClientHello/random")
    assert page.locator("[id='150'] .fields [aria-selected=true] .name").inner_text() == "random"
    assert page.locator("details.connection[open]").count() == 1


def test_a_link_to_nothing_does_nothing(window, address):
    for link in ("#9/9/9", "#%", "#1/keys/999", "#1/1/Nothing/here", "#//"):
        page = window().open(address("mutual") + link)
        assert page.locator(".record").count() > 5


def test_two_stand_side_by_side_with_the_difference_marked(window, address):
    page = window().open(address("two"))
    left, right = (page.locator(f"section[id='{number}']").bounding_box() for number in (1, 2))
    assert left["x"] + left["width"] <= right["x"]
    assert left["y"] == right["y"]
    differing = page.locator(".record:has(.differs)")
    assert [differing.nth(at).locator("b").first.inner_text() for at in range(differing.count())] == [
        "Certificate", "Certificate (empty: the client declined)",
    ]  # fmt: skip
    assert "client: CertificateVerify" in page.locator(".difference").inner_text()
    page.set_viewport_size({"width": 400, "height": 900})
    left, right = (page.locator(f"section[id='{number}']").bounding_box() for number in (1, 2))
    assert left["x"] == right["x"]


def test_the_language_is_switched(window, address):
    page = window().open(address("mutual"))
    page.locator("[id='1/1'] > summary").click()
    page.get_by_role("button", name="中文").click()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.get_by_role("heading", name="密钥派生").count() == 1
    assert page.locator("[id='1/1'][open]").count() == 1
    page.get_by_role("button", name="English").click()
    assert page.get_by_role("heading", name="Key schedule").count() == 1
    page = window().open(address("in Chinese"))
    assert page.get_by_role("heading", name="线路上的往来").count() == 1


def test_names_stand_there_as_they_are(window, address):
    """A program that fills words into sentences might take some of what is in a name for its own marks."""
    page = window().open(address("hostile"))
    title = page.locator(".ladder .card .title", has_text="The client is accepted").inner_text()
    assert "alice\\</b\\> $& {1},O=" in title


def test_what_is_hidden_is_said_where_it_would_be(window, address):
    page = window().open(address("mutual"))
    page.evaluate(OPEN_ALL)
    hidden = page.locator(".fields [role=option]", has_text="bytes, hidden")
    assert hidden.count() == 2
    hidden.first.click()
    assert page.get_by_text('hidden; --secrets shows it (in a program: secrets="traffic")').count() > 0


def test_shell_lines_are_there_with_secrets(window, address):
    page = window().open(address("with secrets") + "#1/keys/6")
    assert page.locator(".node .shell pre").inner_text().startswith("openssl kdf -keylen")
    assert page.locator(".edge.on").count() > 2
    # What a secret depends on, its transcript included, can be computed; likewise a Finished.
    page = window().open(address("with secrets") + "#1/keys/5")
    assert page.locator(".node .shell pre").last.inner_text().startswith('printf "$(echo 01')
    page.evaluate(OPEN_ALL)
    assert page.locator(".steps .shell pre").count() == 2


def test_printing_opens_everything_and_closes_it_again(window, address):
    page = window().open(address("mutual"))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate(
        "[...document.querySelectorAll('.bytes')].every((one) => one.scrollHeight <= one.clientHeight + 2)"
    )
    assert not page.locator(".tools").is_visible()
    assert len(page.pdf()) > 10_000
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_a_hostile_page_shows_its_text(window, address):
    page = window(width=400).open(address("hostile"))
    page.evaluate(OPEN_ALL)
    assert page.locator("h1").inner_text().startswith("</script><script>alert(1)")
    assert page.evaluate("document.querySelectorAll('#page img, #page script, #page i').length") == 0
    assert "</script>" in page.locator(".person.client").inner_text().replace("\\", "")
    assert HOSTILE.startswith("</script>")


def test_a_saved_page_opens_again(window, address, tmp_path: Path):
    first = window().open(address("mutual") + "#1/1/ClientHello/random")
    saved = tmp_path / "saved page.html"
    saved.write_text(f"<!doctype html>{first.content().removeprefix('<!DOCTYPE html>')}", "utf-8")
    again = window().open(saved.as_uri())
    assert again.locator(".record").count() == first.locator(".record").count()
    assert again.locator("#page > main").count() == 1


def test_two_hundred_connections_are_drawn_when_they_are_opened(window, address):
    page = window().open(address("many"))
    assert page.locator("details.connection").count() == 200
    assert page.evaluate("document.querySelectorAll('*').length") < 3000
    assert "20 of them failed" in page.locator(".summary").inner_text()
    page.locator("[id='77'] > summary").click()
    page.locator("[id='77/1'] > summary").click()
    page.locator("[id='77/1'] .leaf").first.wait_for()
    assert page.locator("[id='77/1'] .leaf").count() > 50
    assert page.evaluate(NOT_WIDER)


@pytest.mark.parametrize(("wish", "duration"), [("reduce", "0s"), ("no-preference", "0.12s")])
def test_reduced_motion_is_honoured(window, address, wish, duration):
    page = window(reduced_motion=wish).open(address("mutual") + "#1/1")
    leaf = page.locator(".leaf").first
    assert leaf.evaluate("one => getComputedStyle(one).transitionDuration") == duration
