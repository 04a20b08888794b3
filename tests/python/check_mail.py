#!/usr/bin/env python3
"""Checks a folder of delivered mail (*.eml) with Python's own email parser and with dkimpy.

usage: check_mail.py FOLDER --dns TABLE.json [--bulk] [--count N] [--signatures N] [--expected FOLDER]

TABLE.json     an object of DNS name -> TXT value (without a final dot): the local DNS that DKIM keys come from
--bulk         every mail must carry List-Unsubscribe with one-click POST, covered by each signature (RFC 8058)
--count N      there must be exactly N mails
--expected F   F/NAME.html is the HTML that NAME.eml must carry; tokens in links of this server may differ
--signatures N each mail must carry exactly N DKIM signatures, all good (default 2)

Prints one JSON object: {"mails": n, "faults": [{"file", "fault"}]}. Exit status 1 when there is a fault.
"""
import argparse
import codecs
import email
import email.policy
import encodings.aliases
import json
import pathlib
import re
import sys

import dkim

LINE_LEN_MAX = 998  # RFC 5322 section 2.1.1, without CR LF
ONCE = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]
SIGNED = ["from", "to", "subject", "date", "message-id", "mime-version", "content-type"]
BULK = ["list-unsubscribe", "list-unsubscribe-post"]
# Names of encodings mean what the Encoding Standard says, as in browsers and mail programs; Python's codecs of these
# names are narrower, or have another name.
encodings.aliases.aliases.update({
    "shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gbk", "big5": "big5hkscs", "windows_874": "cp874",
    "iso_2022_jp": "read_iso_2022_jp",  # no such module: the search goes on to `jis_codec`
})


def read_iso_2022_jp(octets, errors="strict"):
    """ISO-2022-JP with the rows of NEC and IBM, which no codec of Python reads: its cells are those of cp932."""
    octets = bytes(octets)
    text, state = [], b"(B"
    for piece in re.split(rb"(\x1b(?:\([BJ]|\$[@B]))", octets):
        if piece.startswith(b"\x1b"):
            state = piece[1:]
        elif state.startswith(b"$"):
            if len(piece) % 2 or not all(0x21 <= octet <= 0x7E for octet in piece):
                raise UnicodeDecodeError("iso-2022-jp", piece, 0, len(piece), "no pairs of JIS octets")
            for high, low in zip(piece[::2], piece[1::2]):
                high -= 0x21
                lead = (high >> 1) + (0x81 if high < 62 else 0xC1)
                trail = low + (0x7E if high & 1 else 0x1F + (low >= 0x60))
                text.append(bytes([lead, trail]).decode("cp932"))
        else:
            text.append(piece.decode("ascii"))
    if state != b"(B":
        raise UnicodeDecodeError("iso-2022-jp", octets, len(octets) - 1, len(octets), "does not end in ASCII")
    return "".join(text), len(octets)


def jis_codec(name):
    if name.replace("-", "_") == "iso_2022_jp":
        return codecs.CodecInfo(codecs.lookup("iso2022_jp").encode, read_iso_2022_jp, name=name)
    return None


codecs.register(jis_codec)

def octet_faults(octets):
    """Faults of the bare octets, before any parser has been kind to them."""
    if re.search(rb"(?<!\r)\n|\r(?!\n)", octets):
        yield "a CR or LF stands alone"
    if b"\0" in octets:
        yield "a NUL"
    longest = max((len(line) for line in octets.split(b"\r\n")), default=0)
    if longest > LINE_LEN_MAX:
        yield f"a line of {longest} octets"
    head = octets.split(b"\r\n\r\n", 1)[0]
    if any(octet > 127 for octet in head):
        yield "octets outside ASCII in the header"


def header_faults(message, bulk):
    for name in ONCE:
        count = len(message.get_all(name, []))
        if count != 1:
            yield f"{count} times {name}"
    for name, value in message.items():
        for defect in getattr(value, "defects", []):
            yield f"{name}: {type(defect).__name__}"
    if message["Date"] is not None and getattr(message["Date"], "datetime", None) is None:
        yield "Date cannot be read"
    if not re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", str(message["Message-ID"] or "").strip()):
        yield "Message-ID has not the form <left@right>"
    if bulk:
        target = str(message["List-Unsubscribe"] or "")
        if not re.search(r"<https?://[^>\s]+>", target):
            yield "List-Unsubscribe has no http link"
        if str(message["List-Unsubscribe-Post"] or "").strip() != "List-Unsubscribe=One-Click":
            yield "List-Unsubscribe-Post is not One-Click"


def text_of(part):
    """The text of a part, strictly decoded, with one kind of line end."""
    return part.get_payload(decode=True).decode(part.get_content_charset() or "us-ascii").replace("\r\n", "\n")


def part_faults(message):
    """Every part must decode without a defect."""
    for part in message.walk():
        for defect in part.defects:
            yield f"{part.get_content_type()}: {type(defect).__name__}"
        if part.get_content_maintype() != "text":
            continue
        try:
            text = text_of(part)
        except (LookupError, UnicodeDecodeError, AttributeError) as error:
            yield f"{part.get_content_type()}: {error}"
            continue
        if not text.strip():
            yield f"{part.get_content_type()}: empty"


def same_links(html):
    """One line end, and tokens of links (/u/TOKEN, /l/TOKEN/1) left out: a preview's act on nobody, so they differ."""
    return re.sub(r"/([lmou])/[A-Za-z0-9_-]+", r"/\1/", html.replace("\r\n", "\n")).strip()


def content_faults(message, expected):
    """The decoded HTML is the one that the preview had shown."""
    part = message.get_body(preferencelist=("html",))
    if part is None:
        yield "no HTML"
    elif same_links(part.get_content()) != same_links(expected):
        yield "the HTML is not what the preview had shown"


def seven_bit_faults(octets, message):
    """7-bit encodings give 7-bit octets, whatever a server on the way can carry."""
    if any(octet > 127 for octet in octets):
        yield "octets outside ASCII"
    for part in message.walk():
        encoding = str(part.get("Content-Transfer-Encoding", "7bit")).lower()
        if encoding not in ("7bit", "quoted-printable", "base64"):
            yield f"{part.get_content_type()}: {encoding}"


def signature_faults(octets, table, wanted, bulk):
    fields = re.findall(rb"^dkim-signature:(.*?)\r\n(?![ \t])", octets.split(b"\r\n\r\n", 1)[0] + b"\r\n", re.I | re.M | re.S)
    if len(fields) != wanted:
        yield f"{len(fields)} DKIM signatures"

    def answer(name, timeout=5):
        return table.get(name.decode().rstrip(".")).encode() if name.decode().rstrip(".") in table else None

    for index, field in enumerate(fields):
        tags = dict(pair.split("=", 1) for pair in re.sub(r"\s+", "", field.decode()).split(";") if "=" in pair)
        covered = tags.get("h", "").lower().split(":")
        for name in SIGNED + (BULK if bulk else []):
            if name not in covered:
                yield f"signature {index} ({tags.get('a')}) does not cover {name}"
        if "l" in tags:
            yield f"signature {index} covers a part of the body only (l=)"
        try:
            good = dkim.DKIM(octets).verify(idx=index, dnsfunc=answer)
        except dkim.DKIMException as error:
            yield f"signature {index} ({tags.get('a')}) does not verify: {error}"
            continue
        if not good:
            yield f"signature {index} ({tags.get('a')}) does not verify"


def faults_of(octets, table, wanted=2, bulk=False):
    """All faults of one mail, as texts."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    yield from octet_faults(octets)
    yield from header_faults(message, bulk)
    yield from part_faults(message)
    yield from signature_faults(octets, table, wanted, bulk)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--dns", type=pathlib.Path, required=True)
    parser.add_argument("--expected", type=pathlib.Path)
    parser.add_argument("--bulk", action="store_true")
    parser.add_argument("--count", type=int)
    parser.add_argument("--signatures", type=int, default=2)
    arguments = parser.parse_args()
    table = json.loads(arguments.dns.read_text("utf-8"))
    files = sorted(arguments.folder.glob("*.eml"))
    faults = []
    for file in files:
        octets = file.read_bytes()
        found = list(faults_of(octets, table, arguments.signatures, arguments.bulk))
        if arguments.expected is not None:
            message = email.message_from_bytes(octets, policy=email.policy.default)
            expected = arguments.expected / f"{file.stem}.html"
            found += content_faults(message, expected.read_text("utf-8") if expected.exists() else "")
            found += seven_bit_faults(octets, message)
        faults += [{"file": file.name, "fault": fault} for fault in found]
    if arguments.count is not None and len(files) != arguments.count:
        faults.append({"file": "", "fault": f"{len(files)} mails instead of {arguments.count}"})
    print(json.dumps({"mails": len(files), "faults": faults}, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
