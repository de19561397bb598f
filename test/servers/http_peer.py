#!/usr/bin/python3
"""An HTTP server that misbehaves by path, for tests of HTTP clients.

usage: http_peer.py [--log FILE] [--certs DIR] [--host ADDRESS ...]

Prints one line of JSON when it is ready:

  http                    port without TLS
  https                   port with a good certificate (needs --certs, as the next)
  https_self_signed, https_expired, https_future, https_wrong_host
  deaf                    accepts and never reads
  closed                  nobody listens
  full                    the queue of connections is full: connecting takes for ever
                          (with --full; no such key if the kernel does not do it)
  ca                      file with the CA certificate
  pid

Paths; all answer whatever the method is, and after reading the request:

  /status/NNN?body=&header=Name:value     that status; 204 and 304 without a body
  /record?tag=            200
  /echo                   200 and JSON of the request
  /bytes?n=&chunked=1     n bytes
  /gzip?n=                n zero bytes, compressed
  /retry-after?value=&status=503&n=       Retry-After with that text (percent-encoded);
                          with n: only n times for each Idempotency-Key, then 200
  /flaky?n=&status=503    that status n times for each Idempotency-Key, then 200
  /date                   503 with Retry-After a date: in=SECONDS from now
  /redirect?to=&status=302    /redirect-loop    /redirect-chain?n=
  /slow?ms=               200 after a while
  /hang                   never an answer
  /hang-after-headers     200, Content-Length: 1000, and no body
  /drip?ms=               one byte of the body every ms, for ever
  /drip-headers?ms=       the same with the header
  /endless                a body without end       /endless-headers
  /short                  Content-Length larger than the body, then close
  /long                   body longer than Content-Length
  /bad-chunk              chunked, and not
  /close?after=headers    close before or after the header
  /reset?after=headers    RST before or after the header
  /garbage                not HTTP
  /empty-line             only an empty line
  /http10                 HTTP/1.0 without a length
  /early-hints            103, then 200
  /continue-flood         100 Continue for ever
  /two-lengths            two Content-Length that differ
  /many-headers?n=&name=  one name for all of them, if any
  /huge-header?n=
  /nul                    NUL, control bytes and invalid UTF-8 in header and body
  /cookie                 200 with Set-Cookie
  /auth?user=&password=   401 unless it is that by Basic authentication

The log has a JSON object a line: {"event": "connect" | "request" | "close", "time",
"connection", "port"}.  A connect has server, the address that was reached; a request
has method, target, path, query, version, headers (an object, names in small letters),
header_list, key (the Idempotency-Key), body (base64), length, and "complete": false
if the connection ended within its body.
"""

import argparse
import asyncio
import base64
import email.utils
import gzip
import json
import os
import socket
import struct
import time
from urllib.parse import parse_qsl, unquote, urlsplit

from peer import Certificates, Log, serve, sockets

MAX_LOGGED = 4 << 20
REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently",
           302: "Found", 303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect",
           400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           408: "Request Timeout", 425: "Too Early", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
           504: "Gateway Timeout"}


class Gone(Exception):
    """The connection is over."""


class Request:
    def __init__(self, method, target, version, header_list):
        self.method = method
        self.target = target
        self.version = version
        self.header_list = header_list
        self.headers = {}
        for name, value in header_list:
            name = name.lower()
            self.headers[name] = self.headers[name] + ", " + value if name in self.headers else value
        parts = urlsplit(target)
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape"))
        self.body = b""
        self.length = 0
        self.complete = True

    def number(self, name, default):
        return int(self.query.get(name, default))

    def described(self):
        return {"method": self.method, "target": self.target, "path": self.path,
                "query": self.query, "version": self.version, "headers": self.headers,
                "header_list": self.header_list, "key": self.headers.get("idempotency-key"),
                "body": base64.b64encode(self.body).decode(), "length": self.length,
                "complete": self.complete}


class Peer:
    def __init__(self, log):
        self.log = log
        self.connections = 0
        self.times = {}

    def first_times(self, request, n):
        """Is this one of the first n requests of its path with its key?"""
        what = (request.target, request.headers.get("idempotency-key"))
        self.times[what] = self.times.get(what, 0) + 1
        return self.times[what] <= n

    def handler(self, label):
        async def connected(reader, writer):
            self.connections += 1
            connection = Connection(self, label, self.connections, reader, writer)
            await connection.run()
        return connected


class Connection:
    def __init__(self, peer, label, number, reader, writer):
        self.peer = peer
        self.label = label
        self.number = number
        self.reader = reader
        self.writer = writer

    def write_log(self, event, **values):
        self.peer.log.write(event, connection=self.number, port=self.label, **values)

    async def run(self):
        server = self.writer.get_extra_info("sockname")
        self.write_log("connect", server=server[0] if server else None)
        try:
            while True:
                request = await self.read_request()
                self.write_log("request", **request.described())
                await self.answer(request)
                if (request.version != "HTTP/1.1"
                        or request.headers.get("connection", "").lower() == "close"):
                    break
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError,
                ValueError):
            pass
        finally:
            self.write_log("close")
            self.writer.close()

    # Requests

    async def read_request(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head[:-4].split("\r\n")
        method, target, version = lines[0].split(" ")
        header_list = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            header_list.append([name, value.strip()])
        request = Request(method, target, version, header_list)
        if request.headers.get("expect", "").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if request.headers.get("transfer-encoding", "").lower() == "chunked":
                while True:
                    size = int((await self.reader.readline()).split(b";")[0], 16)
                    await self.read_body(request, size)
                    await self.reader.readuntil(b"\r\n")
                    if size == 0:
                        break
            else:
                await self.read_body(request, int(request.headers.get("content-length", 0)))
        except (OSError, asyncio.IncompleteReadError, ValueError):
            request.complete = False
            self.write_log("request", **request.described())
            raise Gone() from None
        return request

    async def read_body(self, request, size):
        while size > 0:
            piece = await self.reader.read(min(size, 1 << 16))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(piece)
            request.length += len(piece)
            if len(request.body) < MAX_LOGGED:
                request.body += piece

    # Answers

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, status, body=b"", headers=(), length=None):
        """A whole answer; length: what is said, if not the truth"""
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogateescape")
        lines = ["HTTP/1.1 %d %s" % (status, REASONS.get(status, "Whatever"))]
        if not any(header.lower().startswith("content-type:") for header in headers):
            lines.append("Content-Type: text/plain; charset=utf-8")
        if status not in (204, 304) and status >= 200:
            lines.append("Content-Length: %d" % (len(body) if length is None else length))
        lines.extend(headers)
        head = "\r\n".join(lines) + "\r\n\r\n"
        if status in (204, 304):
            body = b""
        await self.send(head.encode("utf-8", "surrogateescape") + body)

    async def until_gone(self):
        while await self.reader.read(1 << 16):
            pass
        raise Gone()

    async def pause(self, seconds):
        """Wait, unless the client goes away before"""
        if self.reader.at_eof():
            raise Gone()
        gone = asyncio.ensure_future(self.until_gone())
        try:
            await asyncio.wait({gone}, timeout=seconds)
        finally:
            if gone.done():
                gone.exception()
                raise Gone()
            gone.cancel()
            await asyncio.wait({gone})

    def reset(self):
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Gone()

    async def answer(self, request):
        # A HEAD request gets what GET would, without a body; only plain answers
        words = request.path.strip("/").split("/")
        method = getattr(self, "path_" + words[0].replace("-", "_"), None)
        if request.method == "HEAD" and words[0] == "status":
            await self.send(b"HTTP/1.1 %d Whatever\r\nContent-Length: 10\r\n\r\n" % int(words[1]))
        elif method is None:
            await self.reply(404, "no such path\n")
        else:
            await method(request, *words[1:])

    async def path_status(self, request, status):
        headers = [request.query["header"]] if "header" in request.query else []
        await self.reply(int(status), request.query.get("body", "status %s\n" % status), headers)

    async def path_record(self, _request):
        await self.reply(200, "recorded\n")

    async def path_echo(self, request):
        await self.reply(200, json.dumps(request.described()), ["Content-Type: application/json"])

    async def path_bytes(self, request):
        n = request.number("n", 1000)
        block = (b"0123456789abcdef" * 4096)[:1 << 16]
        if request.query.get("chunked"):
            await self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        else:
            await self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
        while n > 0:
            piece = block[:n]
            n -= len(piece)
            if request.query.get("chunked"):
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            await self.send(piece)
        if request.query.get("chunked"):
            await self.send(b"0\r\n\r\n")

    async def path_gzip(self, request):
        await self.reply(200, gzip.compress(bytes(request.number("n", 1000))),
                         ["Content-Encoding: gzip"])

    async def path_retry_after(self, request):
        if "n" in request.query and not self.peer.first_times(request, request.number("n", 1)):
            await self.reply(200, "at last\n")
            return
        await self.reply(request.number("status", 503), "later\n",
                         ["Retry-After: " + request.query.get("value", "")])

    async def path_date(self, request):
        when = email.utils.formatdate(time.time() + float(request.query.get("in", 1)), usegmt=True)
        if self.peer.first_times(request, request.number("n", 1)):
            await self.reply(503, "later\n", ["Retry-After: " + when])
        else:
            await self.reply(200, "at last\n")

    async def path_flaky(self, request):
        if self.peer.first_times(request, request.number("n", 1)):
            await self.reply(request.number("status", 503), "not yet\n")
        else:
            await self.reply(200, "at last\n")

    async def path_redirect(self, request):
        await self.reply(request.number("status", 302), "elsewhere\n",
                         ["Location: " + request.query.get("to", "/record")])

    async def path_redirect_loop(self, _request):
        await self.reply(302, "elsewhere\n", ["Location: /redirect-loop"])

    async def path_redirect_chain(self, request):
        n = request.number("n", 3)
        await self.reply(302, "elsewhere\n", [
            "Location: " + ("/redirect-chain?n=%d" % (n - 1) if n > 1 else "/record")])

    async def path_slow(self, request):
        await self.pause(request.number("ms", 1000) / 1000)
        await self.reply(200, "slow\n")

    async def path_hang(self, _request):
        await self.until_gone()

    async def path_hang_after_headers(self, _request):
        await self.reply(200, b"", length=1000)
        await self.until_gone()

    async def path_drip(self, request):
        await self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await self.pause(request.number("ms", 100) / 1000)
            await self.send(b"x")

    async def path_drip_headers(self, request):
        await self.send(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while True:
            await self.pause(request.number("ms", 100) / 1000)
            await self.send(b"x")

    async def path_endless(self, _request):
        await self.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await self.send(bytes(1 << 16))

    async def path_endless_headers(self, _request):
        await self.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await self.send(b"X-Endless: headers\r\n" * 1000)

    async def path_short(self, _request):
        await self.reply(200, "short", length=1000)
        raise Gone()

    async def path_long(self, _request):
        await self.reply(200, "longer than it says" * 100, length=6)

    async def path_bad_chunk(self, _request):
        await self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"5\r\nhello\r\nthis is no number\r\n")
        raise Gone()

    async def path_close(self, request):
        if request.query.get("after"):
            await self.reply(200, b"", length=1000)
        raise Gone()

    async def path_reset(self, request):
        if request.query.get("after"):
            await self.reply(200, b"some", length=1000)
        self.reset()

    async def path_garbage(self, _request):
        await self.send(b"\x00\x01\xff SSH-2.0-what? \xfe\r\n\r\n<html>\x1b[31m")
        raise Gone()

    async def path_empty_line(self, _request):
        await self.send(b"\r\n")
        raise Gone()

    async def path_http10(self, _request):
        await self.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end\n")
        raise Gone()

    async def path_early_hints(self, _request):
        await self.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        await self.reply(200, "hinted\n")

    async def path_continue_flood(self, _request):
        while True:
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
            await self.pause(0.01)

    async def path_two_lengths(self, _request):
        await self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello!!")

    async def path_many_headers(self, request):
        n = request.number("n", 1000)
        name = request.query.get("name", "")
        await self.reply(200, "many\n", [name + ":" if name else "X-Header-%d: value %d" % (i, i)
                                         for i in range(n)])

    async def path_huge_header(self, request):
        await self.reply(200, "huge\n", ["X-Huge: " + "h" * request.number("n", 50000)])

    async def path_nul(self, _request):
        body = b"a\x00b\x01\x1b[31m\x7f\xff\xfe\xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 end\n"
        await self.send(b"HTTP/1.1 200 OK\r\nX-Control: a\x01b\x1b[31m\x7f\r\n"
                        b"X-Invalid: \xff\xfe\xc0\x80\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(body), body))

    async def path_nul_header(self, _request):
        await self.send(b"HTTP/1.1 200 OK\r\nX-Nul: a\x00b\r\nContent-Length: 3\r\n\r\nnul")

    async def path_cookie(self, _request):
        await self.reply(200, "a cookie\n", ["Set-Cookie: session=remember-me; Path=/"])

    async def path_auth(self, request):
        want = "%s:%s" % (request.query.get("user", ""), request.query.get("password", ""))
        want = "Basic " + base64.b64encode(want.encode()).decode()
        if request.headers.get("authorization") == want:
            await self.reply(200, "welcome\n")
        else:
            await self.reply(401, "who?\n", ['WWW-Authenticate: Basic realm="test"'])


def full_port(host, kept):
    """A port whose queue is full, so that the next connection waits; or None"""
    listener = sockets([host], backlog=0)[0]
    kept.append(listener)
    for _ in range(10):
        client = socket.socket(listener.family, socket.SOCK_STREAM)
        client.settimeout(0.3)
        kept.append(client)
        try:
            client.connect(listener.getsockname())
        except (TimeoutError, OSError):
            return listener.getsockname()[1]
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--log")
    parser.add_argument("--certs")
    parser.add_argument("--host", action="append")
    parser.add_argument("--full", action="store_true", help="with the port \"full\"")
    args = parser.parse_args()
    hosts = args.host or ["127.0.0.1"]
    peer = Peer(Log(args.log))
    kept = []

    async def start():
        ports = {"pid": os.getpid()}
        ways = [("http", None)]
        if args.certs:
            certificates = Certificates(args.certs)
            ports["ca"] = certificates.ca
            ports["certs"] = certificates.folder
            for kind in certificates.KINDS:
                ways.append(("https" if kind == "good" else "https_" + kind,
                             certificates.context(kind)))
        for label, context in ways:
            for one in sockets(hosts):
                ports[label] = one.getsockname()[1]
                kept.append(await asyncio.start_server(
                    peer.handler(label), sock=one, ssl=context, limit=1 << 20))
        deaf = sockets(hosts[:1])[0]
        kept.append(deaf)
        ports["deaf"] = deaf.getsockname()[1]
        # Bound and not listening: nobody else gets it
        closed = socket.socket(deaf.family, socket.SOCK_STREAM)
        closed.bind((hosts[0], 0))
        kept.append(closed)
        ports["closed"] = closed.getsockname()[1]
        if args.full:
            port = full_port(hosts[0], kept)
            if port:
                ports["full"] = port
        return ports

    serve(start)


if __name__ == "__main__":
    main()
