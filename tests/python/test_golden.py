"""The golden mail of the content room, read back by Python's email and dkimpy."""
import json
import pathlib
import unittest

from golden import differences

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "crates" / "content" / "tests" / "golden"
TABLE = json.loads((GOLDEN / "dns.json").read_text("utf-8"))


def read(name):
    expect = json.loads((GOLDEN / "mail" / f"{name}.json").read_text("utf-8"))
    return (GOLDEN / "mail" / f"{name}.eml").read_bytes(), expect


def found(octets, expect):
    assets = GOLDEN / "assets"
    return list(differences(octets, expect, TABLE, assets))


class GoldenMail(unittest.TestCase):
    def test_every_mail_says_what_it_should(self):
        names = sorted(path.stem for path in (GOLDEN / "mail").glob("*.eml"))
        self.assertGreater(len(names), 70)
        for name in names:
            with self.subTest(name):
                self.assertEqual(found(*read(name)), [])

    def test_each_kind_of_difference_is_found(self):
        """A changed octet breaks the signatures too; what counts is that the difference has a name of its own."""
        octets, expect = read("structure-everything")
        cases = {
            "the text is": (octets, expect | {"text": "Something else"}),
            "subject is": (octets, expect | {"subject": "Something else"}),
            "from is": (octets, expect | {"from": ["Somebody", "news@shop.example"]}),
            "to is": (octets, expect | {"to": "bob@example.org"}),
            "the structure is": (octets, expect | {"structure": "text/plain"}),
            "does not show": (octets, expect | {"seen": ["Nothing of the kind"]}),
            "the HTML lacks": (octets, expect | {"html_has": ["<blink>"]}),
            "inline parts": (octets, expect | {"inline": ["mark.png"]}),
            "attachments [": (octets, expect | {"attachments": []}),
            "other octets": (octets, expect | {"attachments": [{"name": "AGB.pdf", "file": "mark.png"}]}),
            "the parts are": (octets.replace(b"Content-ID: <", b"Content-ID: <x"), expect),
            "is in iso-8859-1": (octets, expect | {"charset": "utf-8"}),
            "transfer encodings": (octets, expect | {"transfer": ["8bit", "8bit"]}),
            "X-Season is": (octets, expect | {"headers": {"X-Season": "autumn"}}),
            "there is a Date": (octets, expect | {"no_headers": ["Date"]}),
            "with an encoded word": (octets.replace(b"Subject: ", b"Subject: " + b"x" * 60 + b" "), expect),
            "a line begins with a dot": (octets + b".x\r\n", expect),
            "does not verify": (octets.replace(b"Date: Thu", b"Date: Fri"), expect),
        }
        code, with_code = read("code-inline-with-everything")
        cases |= {
            "codes [": (code, with_code | {"codes": []}),
            "the bar code says": (code, with_code | {"codes": [{"type": "image/png", "ean13": "4006381333932"}]}),
            "a picture of": (code.replace(b"height=3D", b"height=3D1"), with_code),
        }
        named, in_jis = read("encoding-named-in-html")
        cases["the HTML says that it is in"] = (named.replace(b'CHARSET="ISO-2022-JP"', b'CHARSET="utf-8"'), in_jis)
        for difference, (mail, wanted) in cases.items():
            with self.subTest(difference):
                told = found(mail, wanted)
                self.assertTrue(any(difference in one for one in told), told)


if __name__ == "__main__":
    unittest.main()
