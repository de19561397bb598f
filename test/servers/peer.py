"""What the test peers share: a log of JSON lines, certificates, start and end.

A peer prints one line of JSON with its ports once it is ready, and serves until
SIGTERM or, when its standard input is a pipe, until that is closed: a test that
dies takes its peers along.
"""

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time


class Log:
    """Appends one JSON object a line; each line is written whole."""

    def __init__(self, path):
        self.fd = None
        if path:
            self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, event, **values):
        if self.fd is not None:
            line = json.dumps({"event": event, "time": time.time(), **values})
            os.write(self.fd, line.encode() + b"\n")


class Certificates:
    """A test CA and server certificates, made by the openssl program.

    ca.pem                  the CA, to be trusted by the client under test
    good.pem                for 127.0.0.1, ::1 and localhost
    expired.pem             the same, but of the year 2020
    future.pem              the same, but from 2090 on
    wrong_host.pem          for another host's name and address
    self_signed.pem         for the right host, but signed by nobody
    """

    NAMES = "IP:127.0.0.1,IP:::1,DNS:localhost,DNS:peer.test"
    CONFIG = """
[ca]
default_ca = ours
[ours]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = policy
unique_subject = no
copy_extensions = copy
[policy]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
"""
    KINDS = ("good", "expired", "future", "wrong_host", "self_signed")

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.ca = os.path.join(self.folder, "ca.pem")
        # Several peers may share a folder
        if not os.path.exists(self.ca):
            self.make()

    def make(self):
        os.makedirs(self.folder, exist_ok=True)
        for name, text in (("ca.cnf", self.CONFIG), ("index.txt", ""), ("serial", "01\n")):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
                file.write(text)
        self.request("ca", "defer test CA", "basicConstraints=critical,CA:TRUE",
                     "-x509", "-days", "3650", "-out", "ca.new")
        self.issue("good", self.NAMES)
        self.issue("expired", self.NAMES, "20200101000000Z", "20200201000000Z")
        self.issue("future", self.NAMES, "20900101000000Z", "20900201000000Z")
        self.issue("wrong_host", "IP:192.0.2.1,DNS:wrong.example")
        self.request("self_signed", "localhost", "subjectAltName=" + self.NAMES,
                     "-x509", "-days", "3650", "-out", "self_signed.pem")
        # Last: that the file is there means that all of them are
        os.rename(os.path.join(self.folder, "ca.new"), self.ca)

    def openssl(self, *args):
        done = subprocess.run(("openssl",) + args, cwd=self.folder, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit("openssl %s:\n%s" % (" ".join(args), done.stdout.decode(errors="replace")))

    def request(self, name, subject, extension, *more):
        self.openssl("req", "-config", "ca.cnf", "-newkey", "ec",
                     "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", name + ".key", "-subj", "/CN=" + subject,
                     "-addext", extension, *more)

    def issue(self, name, names, begin="20200101000000Z", end="20900101000000Z"):
        self.request(name, "localhost", "subjectAltName=" + names, "-out", name + ".csr")
        self.openssl("ca", "-batch", "-config", "ca.cnf", "-keyfile", "ca.key",
                     "-cert", "ca.new", "-in", name + ".csr", "-out", name + ".pem",
                     "-startdate", begin, "-enddate", end, "-notext")

    def context(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.folder, name + ".pem"),
                                os.path.join(self.folder, name + ".key"))
        return context


def sockets(hosts, backlog=4096):
    """Listen on the same port, a free one, of all these addresses."""
    while True:
        result = []
        port = 0
        try:
            for host in hosts:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                one = socket.socket(family, socket.SOCK_STREAM)
                result.append(one)
                if family == socket.AF_INET6:
                    # "::" alone stands for both families
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(len(hosts) > 1))
                one.bind((host, port))
                one.listen(backlog)
                port = one.getsockname()[1]
            return result
        except OSError as error:
            for one in result:
                one.close()
            # Free at the first address and taken at another: the next port
            if port == 0 or error.errno != errno.EADDRINUSE:
                raise


def serve(start):
    """Run: await start() gives what is printed; then wait for the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def run():
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        # What a client under test does to a connection is not worth a trace
        loop.set_exception_handler(lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end.set)
        mode = os.fstat(0).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            loop.add_reader(0, lambda: os.read(0, 4096) or end.set())
        print(json.dumps(await start()), flush=True)
        await end.wait()

    asyncio.run(run())
    # Handlers that hang are not waited for
    sys.stdout.flush()
    os._exit(0)
