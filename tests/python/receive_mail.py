#!/usr/bin/env python3
"""A receiver that we did not write: aiosmtpd, keeping each mail as it came.

usage: receive_mail.py FOLDER PORT USER PASSWORD

Listens on 127.0.0.1:PORT without TLS, wants the login, and writes RECIPIENT.eml (RECIPIENT.2.eml, ... for further
mails) into FOLDER, with RECIPIENT.from beside it: the envelope's sender. Prints `ready`, and ends when its input does.
"""
import pathlib
import sys
import urllib.parse

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Keep:
    def __init__(self, folder):
        self.folder = folder
        self.counts = {}

    async def handle_DATA(self, server, session, envelope):
        for recipient in envelope.rcpt_tos:
            count = self.counts[recipient] = self.counts.get(recipient, 0) + 1
            name = urllib.parse.quote(recipient, safe="@") + (f".{count}" if count > 1 else "")
            (self.folder / f"{name}.from").write_text(envelope.mail_from)
            # Written under another name first: whoever waits for *.eml sees whole mails only.
            part = self.folder / f"{name}.part"
            part.write_bytes(envelope.original_content)
            part.rename(self.folder / f"{name}.eml")
        return "250 2.0.0 kept"


def main():
    folder, port, user, password = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]

    def authenticate(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and data.login == user.encode() and data.password == password.encode()
        return AuthResult(success=good, handled=False)

    controller = Controller(
        Keep(folder), hostname="127.0.0.1", port=port, authenticator=authenticate,
        auth_required=True, auth_require_tls=False,
    )
    controller.start()
    print("ready", flush=True)
    sys.stdin.read()
    controller.stop()


if __name__ == "__main__":
    main()
