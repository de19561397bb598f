#!/usr/bin/python3
"""An SMTP server that keeps what it gets and misbehaves by recipient, for tests.

usage: smtp_peer.py [--log FILE] [--certs DIR] [--user NAME --password WORD]

Needs Debian's python3-aiosmtpd.  Prints one line of JSON when it is ready:

  plain                   port without TLS; AUTH is offered, and not needed
  plain_auth              port without TLS; AUTH is needed
  bare                    EHLO is answered without a single extension
  helo                    knows HELO only
  starttls                (needs --certs, as the next) STARTTLS is needed, and then AUTH
  smtps                   implicit TLS, AUTH is needed
  starttls_open, smtps_open                   the same without AUTH
  starttls_KIND, smtps_KIND                   a bad certificate: self_signed, expired,
                                              wrong_host
  tls_offered             offers STARTTLS and does not insist
  tls_broken              offers STARTTLS and refuses it with 454
  utf8                    plain, with SMTPUTF8
  busy                    greets with 421 and closes
  silent                  accepts and says nothing
  small                   plain, messages up to 10,000 bytes
  ca                      file with the CA certificate
  pid

By the local part of a recipient, whatever follows a "+" left out:

  perm550@  perm553@      that at RCPT             temp450@  temp451@  temp452@
  data554@  data452@      that after the message   data421@   421 and close
  hang@                   RCPT is never answered
  hangdata@               the message is never answered, and not kept
  drop@                   closes at DATA           dropafter@ keeps the message, closes
  temponce@               451 at the first RCPT of this address, then accepted
  multiline@              a 550 of three lines     weird@     a 550 with control bytes
By the sender: perm553@ and temp451@ at MAIL.

The log has a JSON object a line: {"event": "connect" | "close" | "auth" | "refused" |
"mail", "time", "connection", "port"}; a mail has mail_from, rcpt_tos, options (of
MAIL), helo, auth (the user), tls, data (base64) and, as Python's email parser reads
it, headers (a list of pairs), subject, from, to, cc, message_id, date (seconds), text,
html, types (of all parts, depth first) and defects.
"""

import argparse
import asyncio
import base64
import email
import email.policy
import logging
import os
import re
import sys
import warnings

try:
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
except ImportError:
    sys.exit("python3-aiosmtpd is not there")

from peer import Certificates, Log, serve, sockets

# What goes wrong is what the tests are about
warnings.simplefilter("ignore")
logging.disable()

TEXTS = {"421": "4.3.0 Try again later", "450": "4.2.1 Mailbox busy", "451": "4.3.0 Try again later",
         "452": "4.2.2 Mailbox full", "550": "5.1.1 No such user here",
         "553": "5.1.8 Not allowed", "554": "5.6.0 Message refused"}


def described(data):
    """What the email parser of Python sees in a message"""
    message = email.message_from_bytes(data, policy=email.policy.default)
    defects = [repr(defect) for part in message.walk() for defect in part.defects]
    result = {"headers": [[name, str(value)] for name, value in message.items()],
              "types": [part.get_content_type() for part in message.walk()]}
    for name, value in message.items():
        defects.extend("%s: %r" % (name, defect) for defect in getattr(value, "defects", ()))
    for name in ("subject", "from", "to", "cc", "reply-to", "message-id"):
        value = message.get(name)
        result[name.replace("-", "_")] = None if value is None else str(value)
    try:
        result["date"] = message["date"].datetime.timestamp()
    except (AttributeError, TypeError):
        result["date"] = None
    for name, kind in (("text", "plain"), ("html", "html")):
        part = message.get_body(preferencelist=(kind,))
        try:
            result[name] = None if part is None else part.get_content()
        except (LookupError, UnicodeError) as error:
            result[name] = None
            defects.append(repr(error))
    result["defects"] = defects
    return result


class Handler:
    def __init__(self, log, user, password):
        self.log = log
        self.user = user
        self.password = password
        self.seen = set()

    def authenticate(self, server, session, _envelope, mechanism, data):
        good = (isinstance(data, LoginPassword) and self.user is not None
                and data.login == self.user.encode() and data.password == self.password.encode())
        server.write_log("auth", mechanism=mechanism, success=good,
                         user=data.login.decode(errors="replace"))
        session.user = data.login.decode(errors="replace")
        return AuthResult(success=good, handled=False)

    async def handle_EHLO(self, server, session, _envelope, hostname, responses):
        if server.label == "helo":
            return ["502 5.5.1 EHLO is not known"]
        session.host_name = hostname
        if server.label == "bare":
            return ["250 peer.test"]
        return responses

    async def handle_MAIL(self, server, _session, envelope, address, options):
        refusal = await self.refusal(server, address, ("perm", "temp"))
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, _session, envelope, address, options):
        refusal = await self.refusal(server, address, ("perm", "temp"))
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def refusal(self, server, address, kinds):
        name = re.split("[+@]", address)[0].strip('"')
        found = re.fullmatch("(%s)([0-9]{3})" % "|".join(kinds), name)
        answer = None
        if found:
            answer = "%s %s" % (found.group(2), TEXTS.get(found.group(2), "so it is"))
        elif name == "temponce" and address not in self.seen:
            self.seen.add(address)
            answer = "451 " + TEXTS["451"]
        elif name == "multiline":
            answer = "550-5.1.1 No such user\r\n550-5.1.1 at all\r\n550 5.1.1 here"
        elif name == "weird":
            answer = "550 5.1.1 \x1b[31mred\x01 \x7f caf\u00e9 100%s".encode("latin-1")
        elif name == "hang":
            server.write_log("refused", address=address, answer=None)
            await asyncio.Event().wait()
        if answer:
            if not isinstance(answer, bytes):
                server.write_log("refused", address=address, answer=answer)
            else:
                server.write_log("refused", address=address, answer=answer.decode("latin-1"))
        return answer

    async def handle_DATA(self, server, session, envelope):
        names = [re.split("[+@]", address)[0] for address in envelope.rcpt_tos]
        for name in names:
            found = re.fullmatch("data([0-9]{3})", name)
            if found:
                server.write_log("refused", address=name, answer=found.group(1))
                if found.group(1) == "421":
                    await server.push("421 " + TEXTS["421"])
                    server.transport.close()
                    await asyncio.Event().wait()
                return "%s %s" % (found.group(1), TEXTS.get(found.group(1), "so it is"))
        if "hangdata" in names:
            server.write_log("refused", address="hangdata", answer=None)
            await asyncio.Event().wait()
        data = bytes(envelope.content)
        server.write_log("mail", mail_from=envelope.mail_from, rcpt_tos=envelope.rcpt_tos,
                         options=envelope.mail_options, helo=session.host_name,
                         auth=getattr(session, "user", None) if session.authenticated else None,
                         tls=server.encrypted(), data=base64.b64encode(data).decode(),
                         **described(data))
        if "dropafter" in names:
            server.transport.abort()
            await asyncio.Event().wait()
        return "250 2.0.0 kept"


class Server(SMTP):
    """One connection"""

    count = 0

    def __init__(self, handler, label, implicit_tls, **options):
        self.label = label
        self.implicit_tls = implicit_tls
        self.number = 0
        super().__init__(handler, hostname="peer.test", ident="test", **options)

    def write_log(self, event, **values):
        self.event_handler.log.write(event, connection=self.number, port=self.label, **values)

    def encrypted(self):
        return self.implicit_tls or bool(self._tls_protocol)

    def connection_made(self, transport):
        # Called a second time by STARTTLS
        if not self.number:
            Server.count += 1
            self.number = Server.count
            self.write_log("connect")
        super().connection_made(transport)

    def connection_lost(self, error):
        self.write_log("close")
        super().connection_lost(error)

    async def _handle_client(self):
        if self.label == "silent":
            await asyncio.Event().wait()
        if self.label == "busy":
            await self.push("421 4.3.2 Too many connections")
            self.transport.close()
            return
        await super()._handle_client()

    async def smtp_STARTTLS(self, arg):
        if self.label == "tls_broken":
            await self.push("454 4.7.0 TLS not available")
        else:
            await super().smtp_STARTTLS(arg)

    async def smtp_DATA(self, arg):
        if any(re.split("[+@]", address)[0] == "drop" for address in self.envelope.rcpt_tos):
            self.write_log("refused", address="drop", answer=None)
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--log")
    parser.add_argument("--certs")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    args = parser.parse_args()
    handler = Handler(Log(args.log), args.user, args.password)
    kept = []

    async def start():
        ports = {"pid": os.getpid()}
        loop = asyncio.get_running_loop()

        async def listen(label, tls=None, **options):
            def server():
                return Server(handler, label, tls is not None, authenticator=handler.authenticate,
                              loop=loop, timeout=3600, **options)
            one = sockets(["127.0.0.1"])[0]
            ports[label] = one.getsockname()[1]
            kept.append(await loop.create_server(server, sock=one, ssl=tls))

        clear = {"auth_require_tls": False}
        need_auth = {"auth_require_tls": False, "auth_required": True}
        await listen("plain", **clear)
        await listen("plain_auth", **need_auth)
        for label in ("bare", "helo", "busy", "silent"):
            await listen(label)
        await listen("utf8", enable_SMTPUTF8=True)
        await listen("small", data_size_limit=10000)
        if args.certs:
            certificates = Certificates(args.certs)
            ports["ca"] = certificates.ca
            good = certificates.context("good")
            needed = {"tls_context": good, "require_starttls": True}
            await listen("starttls", auth_required=True, **needed)
            await listen("starttls_open", **needed)
            await listen("tls_offered", tls_context=good)
            await listen("tls_broken", tls_context=good)
            await listen("smtps", tls=good, **need_auth)
            await listen("smtps_open", tls=good, **clear)
            for kind in ("self_signed", "expired", "wrong_host"):
                bad = certificates.context(kind)
                await listen("starttls_" + kind, tls_context=bad, require_starttls=True)
                await listen("smtps_" + kind, tls=bad, **clear)
        return ports

    serve(start)


if __name__ == "__main__":
    main()
