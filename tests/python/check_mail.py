#!/usr/bin/env python3
"""Checks a folder of delivered mail (*.eml) with Python's own email parser and with dkimpy.

usage: check_mail.py FOLDER --dns TABLE.json [--bulk] [--count N] [--signatures N]

TABLE.json     an object of DNS name -> TXT value (without a final dot): the local DNS that DKIM keys come from
--bulk         every mail must carry List-Unsubscribe with one-click POST, covered by each signature (RFC 8058)
--count N      there must be exactly N mails
--signatures N each mail must carry exactly N DKIM signatures, all good (default 2)

Prints one JSON object: {"mails": n, "faults": [{"file", "fault"}]}. Exit status 1 when there is a fault.
"""
import argparse
import email
import email.policy
import json
import pathlib
import re
import sys

import dkim

LINE_LEN_MAX = 998  # RFC 5322 section 2.1.1, without CR LF
ONCE = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]
SIGNED = ["from", "to", "subject", "date", "message-id", "mime-version", "content-type"]
BULK = ["list-unsubscribe", "list-unsubscribe-post"]


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


def part_faults(message):
    """Every part must decode without a defect."""
    for part in message.walk():
        for defect in part.defects:
            yield f"{part.get_content_type()}: {type(defect).__name__}"
        if part.get_content_maintype() != "text":
            continue
        try:
            text = part.get_payload(decode=True).decode(part.get_content_charset() or "us-ascii")
        except (LookupError, UnicodeDecodeError, AttributeError) as error:
            yield f"{part.get_content_type()}: {error}"
            continue
        if not text.strip():
            yield f"{part.get_content_type()}: empty"


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
    parser.add_argument("--bulk", action="store_true")
    parser.add_argument("--count", type=int)
    parser.add_argument("--signatures", type=int, default=2)
    arguments = parser.parse_args()
    table = json.loads(arguments.dns.read_text("utf-8"))
    files = sorted(arguments.folder.glob("*.eml"))
    faults = []
    for file in files:
        for fault in faults_of(file.read_bytes(), table, arguments.signatures, arguments.bulk):
            faults.append({"file": file.name, "fault": fault})
    if arguments.count is not None and len(files) != arguments.count:
        faults.append({"file": "", "fault": f"{len(files)} mails instead of {arguments.count}"})
    print(json.dumps({"mails": len(files), "faults": faults}, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
