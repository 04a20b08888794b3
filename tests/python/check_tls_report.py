#!/usr/bin/env python3
"""Checks reports of TLS (RFC 8460) as their receivers would: mail (*.eml) with Python's email parser and dkimpy, and bare
files (*.json.gz) as they are posted.

usage: check_tls_report.py FOLDER --dns TABLE.json --submitter DOMAIN --day YYYY-MM-DD

TABLE.json   an object of DNS name -> TXT value (without a final dot): the local DNS that DKIM keys come from

Prints one JSON object: {"reports": {"FILE": report}, "faults": [{"file", "fault"}]}. Exit status 1 when there is a fault.
"""
import argparse
import datetime
import email
import email.policy
import gzip
import ipaddress
import json
import pathlib
import re
import sys

import dkim

POLICY_TYPES = {"tlsa", "sts", "no-policy-found"}  # section 4.2
RESULT_TYPES = {  # section 4.3
    "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
    "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
    "sts-policy-invalid", "sts-webpki-invalid",
}
DAY_S = 86_400


def texts(value):
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def failure_faults(failure):
    """One entry of failure-details (section 4.4)."""
    if failure.get("result-type") not in RESULT_TYPES:
        yield f"result type {failure.get('result-type')!r}"
    if not count(failure.get("failed-session-count")) or failure["failed-session-count"] == 0:
        yield "failed-session-count"
    for key in ("sending-mta-ip", "receiving-ip"):
        if key in failure:
            try:
                ipaddress.ip_address(failure[key])
            except ValueError:
                yield f"{key} is {failure[key]!r}"
    if "receiving-ip" in failure and "receiving-mx-hostname" not in failure:
        yield "an address without a host"


def policy_faults(told):
    """One entry of policies (section 4.4)."""
    policy, summary = told.get("policy", {}), told.get("summary", {})
    kind = policy.get("policy-type")
    if kind not in POLICY_TYPES:
        yield f"policy type {kind!r}"
    if "policy-domain" not in policy:
        yield "no policy-domain"
    for key in ("policy-string", "mx-host"):
        if key in policy and not texts(policy[key]):
            yield f"{key} is no list of texts"
        if key in policy and kind == "no-policy-found":
            yield f"{key} without a policy"
    counts = [summary.get(f"total-{how}-session-count") for how in ("successful", "failure")]
    if not all(count(one) for one in counts):
        yield f"summary {summary}"
    failures = told.get("failure-details", [])
    for failure in failures:
        yield from failure_faults(failure)
    if sum(failure.get("failed-session-count", 0) for failure in failures) != counts[1]:
        yield "the failures are not those of the summary"


def report_faults(report, day):
    """The report itself (section 4.4)."""
    for key in ("organization-name", "contact-info", "report-id"):
        if not isinstance(report.get(key), str) or not report[key]:
            yield f"no {key}"
    span = report.get("date-range", {})
    begin, end = (datetime.datetime.fromisoformat(span[key].replace("Z", "+00:00"))
                  for key in ("start-datetime", "end-datetime"))
    start = datetime.datetime.combine(day, datetime.time(), datetime.timezone.utc)
    if begin != start or not 0 <= (start + datetime.timedelta(days=1) - end).total_seconds() <= 1:
        yield f"it is not about {day}: {span}"
    policies = report.get("policies")
    if not isinstance(policies, list) or not policies:
        yield "no policies"
    for told in policies or []:
        yield from policy_faults(told)


def signature_faults(octets, sender, table):
    """Section 3: signed with DKIM by the domain of the sender."""

    def answer(name, timeout=5):
        text = table.get(name.decode().rstrip("."))
        return None if text is None else text.encode()

    signatures = re.findall(rb"^dkim-signature:(.*?)\r\n(?![ \t])", octets, re.I | re.M | re.S)
    if not signatures:
        yield "no DKIM signature"
    for index, field in enumerate(signatures):
        if not re.search(rb"\bd=" + re.escape(sender.encode()) + rb"\s*;", field):
            yield f"signature {index} is not the sender's"
        try:
            good = dkim.DKIM(octets).verify(idx=index, dnsfunc=answer)
        except dkim.DKIMException as error:
            yield f"signature {index}: {error}"
            continue
        if not good:
            yield f"signature {index} does not verify"


def of_mail(octets, submitter, table, faults):
    """The report in a mail (section 5.3), and its domain."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    sender = str(message["From"].addresses[0].domain)
    # Read a minute after it was written: stories set the program's clock forward, and dkimpy goes by this one.
    read_at = message["Date"].datetime.timestamp() + 60
    dkim.time.time = lambda: read_at
    faults += signature_faults(octets, sender, table)
    if sender != submitter:
        faults.append(f"from {sender}")
    if message.get_content_type() != "multipart/report" or message.get_param("report-type") != "tlsrpt":
        faults.append(f"it is {message['Content-Type']}")
    parts = list(message.iter_parts())
    kinds = [part.get_content_type() for part in parts]
    if kinds != ["text/plain", "application/tlsrpt+gzip"]:
        faults.append(f"its parts are {kinds}")
    report = json.loads(gzip.decompress(parts[-1].get_payload(decode=True)))
    domain = str(message["TLS-Report-Domain"])
    expected = f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report['report-id']}>"
    if str(message["Subject"]) != expected:
        faults.append(f"its subject is {message['Subject']!r}, not {expected!r}")
    if str(message["TLS-Report-Submitter"]) != submitter:
        faults.append(f"submitted by {message['TLS-Report-Submitter']}")
    if str(message["TLS-Required"]) != "No":  # RFC 8689 section 5
        faults.append("the report could be stopped by what it reports")
    name = re.fullmatch(r"([^!]+)!([^!]+)!(\d+)!(\d+)(![^!]+)?\.json\.gz", parts[-1].get_filename() or "")
    if not name or name[1] != submitter or name[2] != domain or int(name[4]) - int(name[3]) not in (DAY_S - 1, DAY_S):
        faults.append(f"its file is named {parts[-1].get_filename()!r}")
    return report, domain


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--dns", type=pathlib.Path, required=True)
    parser.add_argument("--submitter", required=True)
    parser.add_argument("--day", type=datetime.date.fromisoformat, required=True)
    arguments = parser.parse_args()
    table = json.loads(arguments.dns.read_text("utf-8"))
    reports, found = {}, []
    for file in sorted([*arguments.folder.glob("*.eml"), *arguments.folder.glob("*.json.gz")]):
        faults = []
        try:
            if file.suffix == ".eml":
                report, domain = of_mail(file.read_bytes(), arguments.submitter, table, faults)
            else:
                report = json.loads(gzip.decompress(file.read_bytes()))
                domain = report["policies"][0]["policy"]["policy-domain"]
            faults += report_faults(report, arguments.day)
            if any(told["policy"]["policy-domain"] != domain for told in report["policies"]):
                faults.append("it tells of another domain")
            reports[file.name] = report
        except Exception as error:  # whatever a receiver stumbles over is a fault
            faults.append(f"{type(error).__name__}: {error}")
        found += [{"file": file.name, "fault": fault} for fault in faults]
    print(json.dumps({"reports": reports, "faults": found}))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
