"""The checker itself: it finds nothing in good mail, and each kind of fault in bad mail."""
import base64
import email
import email.policy
import unittest

import dkim
from nacl.signing import SigningKey

from check_mail import content_faults, faults_of, seven_bit_faults

BODY = (
    b"From: Shop <news@shop.example>\r\nTo: a@b.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@shop.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b"List-Unsubscribe: <https://shop.example/u/x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"\r\nGr=C3=BC=C3=9Fe\r\n"
)
KEY = SigningKey(bytes(32))
TABLE = {
    "mw1e._domainkey.shop.example": "v=DKIM1; k=ed25519; p=" + base64.b64encode(bytes(KEY.verify_key)).decode()
}
COVERED = [b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type",
           b"list-unsubscribe", b"list-unsubscribe-post"]


def signed(octets, covered=COVERED):
    field = dkim.sign(octets, b"mw1e", b"shop.example", base64.b64encode(bytes(KEY)), signature_algorithm=b"ed25519-sha256",
                      canonicalize=(b"relaxed", b"relaxed"), include_headers=covered)
    return field + octets


def faults(octets, **options):
    return list(faults_of(octets, TABLE, wanted=1, bulk=True, **options))


class CheckMail(unittest.TestCase):
    def test_good_mail_has_no_fault(self):
        self.assertEqual(faults(signed(BODY)), [])

    def test_each_fault_is_found(self):
        good = signed(BODY)
        cases = {
            "does not verify": good.replace(b"Gr=C3=BC=C3=9Fe\r\n", b"Other\r\n"),
            "alone": good.replace(b"\r\n\r\nGr", b"\r\n\r\nx\nGr"),
            "2 times Subject": signed(b"Subject: x\r\n" + BODY),
            "0 times Date": signed(BODY.replace(b"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n", b""), COVERED),
            "a line of": signed(BODY + b"x" * 999 + b"\r\n"),
            "does not cover list-unsubscribe": signed(BODY, COVERED[:-2]),
            "no http link": signed(BODY.replace(b"https://shop.example/u/x", b"mailto:x@shop.example")),
            "0 DKIM signatures": BODY,
            "outside ASCII": signed(BODY.replace(b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße".encode())),
            "codec can't decode": signed(BODY.replace(b"=C3=BC=C3=9Fe", b"=FC")),
        }
        for fault, octets in cases.items():
            with self.subTest(fault):
                self.assertTrue(any(fault in found for found in faults(octets)), faults(octets))

    def test_an_unknown_key_is_a_fault(self):
        self.assertTrue(list(faults_of(signed(BODY), {}, wanted=1)))

    def test_the_html_is_the_previews_but_for_tokens(self):
        octets = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hi</p>\r\n<a href=\"https://s.example/u/abc\">x</a>\r\n"
        message = email.message_from_bytes(octets, policy=email.policy.default)
        self.assertEqual(list(content_faults(message, '<p>Hi</p>\n<a href="https://s.example/u/other">x</a>\n')), [])
        self.assertTrue(list(content_faults(message, '<p>Ho</p>\n<a href="https://s.example/u/other">x</a>\n')))
        self.assertTrue(list(content_faults(message, '<p>Hi</p>\n<a href="https://t.example/u/other">x</a>\n')))

    def test_eight_bits_are_a_fault_where_seven_are_wanted(self):
        octets = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".encode()
        message = email.message_from_bytes(octets, policy=email.policy.default)
        self.assertEqual(len(list(seven_bit_faults(octets, message))), 2)


if __name__ == "__main__":
    unittest.main()
