"""What a reader must find in the golden mail (crates/content/tests/golden/mail): NAME.eml is read with Python's own
parser under its strict policy, and compared with NAME.json, written by hand but for the links and the mirror's HTML.

In texts the links of the sending server stand for what they lead to: [https://the.link], [unsubscribe], [mirror],
[pixel], [asset FILE]; a link that carries values of its recipient is [link N?p1=...].
"""
import email
import email.policy
import email.utils
import html.parser
import pathlib
import re
import struct
import unicodedata
import zlib

from check_mail import faults_of, text_of

WORD_LEN_MAX = 75  # RFC 2047 section 2
WORD_LINE_LEN_MAX = 76
BLOCKS = {"p", "div", "br", "td", "th", "tr", "li", "ul", "h1", "h2", "h3", "table", "body"}
UNSEEN = {"style", "script", "title", "head"}
META_CHARSET = re.compile(r"(<meta[^>]*charset\s*=\s*[\"']?)([\w:.-]+)", re.I)
# Left digits of EAN-13 in sets A and B, and what their choice says of the first digit (ISO/IEC 15420).
EAN_LEFT = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011".split()
EAN_FIRST = "AAAAAA AABABB AABBAB AABBBA ABAABB ABBAAB ABBBAA ABABAB ABABBA ABBABA".split()


class Visible(html.parser.HTMLParser):
    """The text that a person sees, blanks made one."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.pieces, self.hidden = [], 0
        self.feed(source)
        self.close()
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in UNSEEN
        self.pieces.append(" " if tag in BLOCKS else "")

    def handle_endtag(self, tag):
        self.hidden -= tag in UNSEEN
        self.pieces.append(" " if tag in BLOCKS else "")

    def handle_data(self, data):
        if self.hidden <= 0:
            self.pieces.append(data)


def plain_links(text, expect):
    """The server's links as what they lead to."""
    base = re.escape(expect["public_url"])
    token = r"[A-Za-z0-9_-]+"

    def click(match):
        number, query = int(match[1]), match[2]
        return f"[link {number}{query}]" if query else f"[{expect['urls'][number]}]"

    text = re.sub(rf"{base}/l/{token}/(\d+)(\?[^\s\"'<>\]]*)?", click, text)
    text = re.sub(rf"{base}/u/{token}", "[unsubscribe]", text)
    text = re.sub(rf"{base}/m/{token}", "[mirror]", text)
    text = re.sub(rf"{base}/o/{token}\.gif", "[pixel]", text)
    return re.sub(rf"{base}/a/([0-9a-f]{{64}})\.\w+", lambda match: f"[asset {expect['assets'][match[1]]}]", text)


def structure(part):
    """`mixed(alternative(text/plain text/html) application/pdf)`"""
    if part.is_multipart():
        return f"{part.get_content_subtype()}({' '.join(structure(child) for child in part.iter_parts())})"
    return part.get_content_type()


def word_faults(octets):
    """Encoded words: their length, whole characters in each, and their lines."""
    head = octets.split(b"\r\n\r\n", 1)[0].decode("ascii", "replace")
    parts = re.split(r"\r\n\r\n", octets.decode("latin-1"))
    for line in head.split("\r\n"):
        words = re.findall(r"=\?[^?\s]+\?[BQbq]\?[^?\s]*\?=", line)
        if words and len(line) > WORD_LINE_LEN_MAX:
            yield f"a line of {len(line)} octets with an encoded word"
        for word in words:
            if len(word) > WORD_LEN_MAX:
                yield f"an encoded word of {len(word)} octets"
            try:
                text, defects = decode_word(word)
            except (UnicodeError, LookupError) as error:
                yield f"{word}: {error}"
                continue
            if defects or not text:
                yield f"{word}: {defects or 'empty'}"
    if any("=?" in part and "Content-Disposition" in part and "filename=\"=?" in part for part in parts):
        yield "an encoded word in a parameter (RFC 2047 section 5 forbids it)"


def decode_word(word):
    import email._encoded_words as words

    text, _, _, defects = words.decode(word)
    return text, defects


def named(value):
    """[display name, address] of a header with one address."""
    address = value.addresses[0]
    # Python puts a second blank between encoded words when the first one ends with a blank.
    return [" ".join(address.display_name.split()), address.addr_spec]


def header_differences(message, expect):
    found = {
        "subject": str(message["Subject"] or ""),
        "from": named(message["From"]),
        "to": message["To"].addresses[0].addr_spec,
        "reply_to": named(message["Reply-To"]) if message["Reply-To"] else None,
    }
    for name, value in found.items():
        wanted = expect.get(name)
        if wanted is not None and unified(value, expect) != unified(wanted, expect):
            yield f"{name} is {value!r}, not {wanted!r}"
    for name, value in expect.get("headers", {}).items():
        if str(message[name]) != value:
            yield f"{name} is {message[name]!r}, not {value!r}"
    for name in expect.get("no_headers", []):
        if message[name] is not None:
            yield f"there is a {name}"


def unified(value, expect):
    if isinstance(value, list):
        return [unified(one, expect) for one in value]
    return unicodedata.normalize("NFC", value) if expect.get("nfc") else value


def body_differences(message, expect):
    text, html_part = message.get_body(("plain",)), message.get_body(("html",))
    got = plain_links(text_of(text), expect).rstrip("\n") if text else ""
    if "text" in expect and unified(got, expect) != unified(expect["text"], expect).rstrip("\n"):
        yield f"the text is {got!r}, not {expect['text']!r}"
    for wanted in expect.get("text_has", []):
        if wanted not in got:
            yield f"the text lacks {wanted!r}: {got!r}"
    source = plain_links(text_of(html_part), expect) if html_part else ""
    for wanted in expect.get("html_has", []):
        if not any(one in source for one in wanted.split("|")):
            yield f"the HTML lacks {wanted!r}: {source!r}"
    seen, at = unified(Visible(source).text, expect), 0
    for wanted in expect.get("seen", []):
        wanted = unified(" ".join(wanted.split()), expect)
        found = seen.find(wanted, at)
        if found < 0:
            yield f"the HTML does not show {wanted!r} where it should: {seen!r}"
        else:
            at = found + len(wanted)
    named = set(re.findall(META_CHARSET, source))
    if any(name.lower() != html_part.get_content_charset() for _, name in named):
        yield f"the HTML says that it is in {named}, its part {html_part.get_content_charset()}"
    if html_part and "html" in expect and not expect.get("eight_bit"):
        # The mirror page is UTF-8 whatever the message is in, and says so.
        source, mirror = (re.sub(META_CHARSET, r"\1", one) for one in (source, plain_links(expect["html"], expect)))
        if unified(source.rstrip("\n"), expect) != unified(mirror.rstrip("\n"), expect):
            yield f"the HTML is {source!r}, the mirror page's {mirror!r}"


def file_differences(message, expect, assets):
    """Attachments and inline images: names, order and octets; every cid: leads to a part, every inline part is shown."""
    bytes_of = lambda name: (assets / name).read_bytes()
    attached = [part for part in message.walk() if part.get_content_disposition() == "attachment"]
    wanted = expect.get("attachments", [])
    if [part.get_filename() for part in attached] != [one["name"] for one in wanted]:
        yield f"attachments {[part.get_filename() for part in attached]}"
    for part, one in zip(attached, wanted):
        if part.get_payload(decode=True) != bytes_of(one["file"]):
            yield f"{one['name']} has other octets"
    related = [part for part in message.walk() if part["Content-ID"] is not None]
    codes = [part for part in related if str(part["Content-ID"]).startswith("<code")]
    inline = [part for part in related if part not in codes]
    names = expect.get("inline", [])
    if [part.get_payload(decode=True) for part in inline] != [bytes_of(name) for name in names]:
        yield f"{len(inline)} inline parts, not {names}"
    html_part = message.get_body(("html",))
    used = set(re.findall(r"cid:([^\"'\s>)]+)", text_of(html_part))) if html_part else set()
    ids = {str(part["Content-ID"]).strip().strip("<>") for part in related}
    if used != ids:
        yield f"the HTML shows {used}, the parts are {ids}"


def code_differences(message, expect):
    """Codes that go along: each a picture of its type and of the size that the HTML gives it."""
    codes = [part for part in message.walk() if str(part["Content-ID"]).startswith("<code")]
    wanted = expect.get("codes", [])
    if [part.get_content_type() for part in codes] != [one["type"] for one in wanted]:
        yield f"codes {[part.get_content_type() for part in codes]}"
    source = text_of(message.get_body(("html",))) if codes else ""
    for part, one in zip(codes, wanted):
        name = str(part["Content-ID"]).strip("<>")
        size = re.search(rf'src="cid:{re.escape(name)}" width="(\d+)" height="(\d+)"', source)
        octets = part.get_payload(decode=True)
        if part.get_content_type() == "image/gif":
            found = struct.unpack("<HH", octets[6:10])
        else:
            found, rows = png_rows(octets)
            if "ean13" in one and ean13(rows[0]) != one["ean13"]:
                yield f"the bar code says {ean13(rows[0])}, not {one['ean13']}"
        if size is None or found != (int(size[1]), int(size[2])):
            yield f"a picture of {found} stands as {size and size[0]}"


def png_rows(octets):
    """Size and rows of a picture of one bit a pixel (ISO/IEC 15948), 1 for dark; every sum is checked."""
    assert octets.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(octets):
        length = struct.unpack(">I", octets[at : at + 4])[0]
        body = octets[at + 4 : at + 8 + length]
        assert zlib.crc32(body) == struct.unpack(">I", octets[at + 8 + length : at + 12 + length])[0]
        chunks[body[:4]] = body[4:]
        at += 12 + length
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [1, 0, 0, 0, 0] and chunks[b"IEND"] == b""
    data = zlib.decompress(chunks[b"IDAT"])
    step = (width + 7) // 8 + 1
    assert len(data) == step * height and not any(data[::step])
    rows = [data[y * step + 1 : (y + 1) * step] for y in range(height)]
    return (width, height), [[1 - (row[x // 8] >> (7 - x % 8) & 1) for x in range(width)] for row in rows]


def ean13(row):
    """The number of a bar code in a row of pixels."""
    dark = "".join(map(str, row)).strip("0")
    scale = len(dark) // 95
    modules = dark[::scale]
    mirrored = [code[::-1] for code in EAN_LEFT]
    even = ["".join("10"[int(bit)] for bit in code) for code in mirrored]
    left = [modules[3 + 7 * n : 10 + 7 * n] for n in range(6)]
    right = [modules[50 + 7 * n : 57 + 7 * n] for n in range(6)]
    sets = "".join("A" if code in EAN_LEFT else "B" for code in left)
    digits = [EAN_FIRST.index(sets)]
    digits += [EAN_LEFT.index(code) if code in EAN_LEFT else even.index(code) for code in left]
    digits += [EAN_LEFT.index("".join("10"[int(bit)] for bit in code)) for code in right]
    return "".join(map(str, digits))


def form_differences(octets, message, expect):
    if structure(message) not in expect["structure"].split("|"):
        yield f"the structure is {structure(message)}, not {expect['structure']}"
    bodies = [part for part in message.walk() if part.get_content_type() in ("text/plain", "text/html")]
    bodies = [part for part in bodies if part.get_content_disposition() != "attachment"]
    if "charset" in expect:
        for part in bodies:
            if part.get_content_charset() != expect["charset"]:
                yield f"{part.get_content_type()} is in {part.get_content_charset()}"
    transfers = [str(part.get("Content-Transfer-Encoding", "7bit")).lower() for part in bodies]
    if "transfer" in expect and transfers != expect["transfer"]:
        yield f"transfer encodings {transfers}"
    if not expect.get("eight_bit"):
        if any(octet > 127 for octet in octets):
            yield "octets above 127, where no rule says 8bit"
        if any(transfer not in ("7bit", "quoted-printable", "base64") for transfer in transfers):
            yield f"transfer encodings {transfers}, where no rule says 8bit"
    if re.search(rb"^\.", octets, re.M):
        yield "a line begins with a dot"
    if re.search(rb"^From ", octets, re.M):
        yield "a line begins with `From `"


def differences(octets, expect, table, assets):
    """All that is wrong with one golden mail."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    yield from faults_of(octets, table, wanted=2, bulk=True)
    yield from word_faults(octets)
    yield from form_differences(octets, message, expect)
    yield from header_differences(message, expect)
    yield from body_differences(message, expect)
    yield from file_differences(message, expect, pathlib.Path(assets))
    yield from code_differences(message, expect)
