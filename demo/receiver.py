#!/usr/bin/python3
"""The other end of the demonstration: an SMTP server and a webhook on 127.0.0.1
that print what arrives.

usage: receiver.py --ports FILE [--show N] [--busy N]

Needs Debian's python3-aiosmtpd.  FILE is written when it is ready: {"smtp": port,
"http": port, "pid": pid} in one line.  Of the mails the first N (3) are shown,
and as many of the messages to each path of the webhook.  Every Nth mailbox of
--busy is busy when it is first written to (450).  On SIGUSR1 it prints how many
came, and shows the first N of what comes then; on SIGTERM it ends.
"""

import argparse
import asyncio
import collections
import email
import email.policy
import json
import logging
import os
import signal
import sys
import textwrap

try:
    from aiosmtpd.smtp import SMTP
except ImportError:
    sys.exit("please install python3-aiosmtpd")

WIDTH = 100


class Receiver:
    def __init__(self, show, busy):
        self.show = show
        self.busy = busy
        self.mailboxes = set()
        self.count = collections.Counter()
        self.known = set()

    def arrived(self, kind, key):
        """Count it; is it to be shown?"""
        if key and key in self.known:
            self.count[kind, "again"] += 1
            return False
        self.known.add(key)
        self.count[kind] += 1
        return self.count[kind] <= self.show

    @staticmethod
    def print_block(title, lines):
        print(title)
        for line in lines:
            for part in textwrap.wrap(line, WIDTH) or [""]:
                print(("    " + part).rstrip())
        print(flush=True)

    # Mails

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address not in self.mailboxes:
            self.mailboxes.add(address)
            if self.busy and len(self.mailboxes) % self.busy == 0:
                self.count["mailbox", "busy"] += 1
                return "450 4.2.1 mailbox is busy, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        if self.arrived("e-mail", message["message-id"]):
            text = message.get_body(preferencelist=("plain", "html"))
            lines = ["%-9s%s" % (name + ":", message[name])
                     for name in ("From", "To", "Cc", "Subject") if message[name]]
            lines.append("")
            lines.extend((text.get_content() if text else "").rstrip().splitlines())
            if text and text.get_content_type() == "text/plain" and message.get_body(("html",)):
                lines.append("(and the same as HTML)")
            self.print_block("An e-mail", lines)
        return "250 OK"

    # The webhook

    async def webhook(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {}
                for line in head[1:]:
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.message(head[0].split(" ")[1], headers.get("idempotency-key"), body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                             b"Content-Length: 2\r\n\r\nok")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            writer.close()

    def message(self, path, key, body):
        if not self.arrived("message to " + path, key):
            return
        try:
            payload = json.loads(body)
        except ValueError:
            self.print_block("To " + path, body.decode("utf-8", "replace").splitlines())
            return
        if not isinstance(payload, dict) or not {"text", "blocks", "attachments"} & set(payload):
            self.print_block("To " + path, json.dumps(payload, indent=2, ensure_ascii=False)
                             .splitlines())
            return
        lines = []
        for attachment in [payload] + payload.get("attachments", []):
            for block in attachment.get("blocks", []):
                lines.extend(self.block_lines(block))
        # "text" is what notifications show if there are blocks
        self.print_block("A message in Slack (%s)" % path,
                         lines or str(payload.get("text", "")).splitlines())

    def block_lines(self, block):
        kind = block.get("type")
        if kind == "divider":
            return ["-" * 40]
        if kind == "header":
            return ["== %s ==" % self.text_of(block.get("text"))]
        if kind == "section":
            lines = self.text_of(block.get("text")).splitlines()
            for field in block.get("fields", []):
                lines.append("  " + self.text_of(field).replace("\n", " "))
            return lines
        if kind == "context":
            return ["(%s)" % " ".join(self.text_of(one) for one in block.get("elements", []))]
        return [json.dumps(block, ensure_ascii=False)]

    @staticmethod
    def text_of(value):
        text = value.get("text", "") if isinstance(value, dict) else value or ""
        # The three characters that Slack wants escaped
        return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    def summary(self):
        for kind in [kind for kind in self.count if isinstance(kind, str)]:
            n = self.count[kind]
            again = self.count[kind, "again"]
            name = kind if n == 1 else kind.replace("mail", "mails").replace("message", "messages")
            print("%s %s%s%s" % (f"{n:,}", name,
                                 " (above: the first %d)" % self.show if n > self.show else "",
                                 ", %d of them more than once" % again if again else ""))
        busy = self.count["mailbox", "busy"]
        if busy:
            print("%s mailbox%s busy at first (450)" % (f"{busy:,}", " was" if busy == 1 else "es were"))
        if not self.count:
            print("nothing arrived")
        self.count.clear()
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports", required=True)
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0)
    args = parser.parse_args()
    receiver = Receiver(args.show, args.busy)
    logging.disable()

    async def run():
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end.set)
        loop.add_signal_handler(signal.SIGUSR1, receiver.summary)
        smtp = await loop.create_server(
            lambda: SMTP(receiver, hostname="localhost", loop=loop), "127.0.0.1", 0)
        http = await asyncio.start_server(receiver.webhook, "127.0.0.1", 0, limit=1 << 24)
        ports = {"smtp": smtp.sockets[0].getsockname()[1],
                 "http": http.sockets[0].getsockname()[1], "pid": os.getpid()}
        with open(args.ports + ".new", "w", encoding="ascii") as file:
            print(json.dumps(ports), file=file)
        os.rename(args.ports + ".new", args.ports)
        await end.wait()

    asyncio.run(run())
    receiver.summary()
    os._exit(0)


if __name__ == "__main__":
    main()
