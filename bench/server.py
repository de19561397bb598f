"""The throwaway server: its settings, its databases, its processes."""
import os
import subprocess
import time

import pq

# Those of a server that is meant for work, the same for everybody.  What has
# been left out has PostgreSQL's default: fsync, full_page_writes and
# synchronous_commit are on, autovacuum runs.
SETTINGS = {
    "shared_buffers": "1GB",
    "max_worker_processes": "32",
    "max_connections": "200",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "defer.max_workers": "16",
    "defer.shared_slots": "4096",
}


class Server:
    def __init__(self, folder, binaries):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "log", "server.log")
        self.binaries = binaries
        self.libraries = ["defer"]

    def _pg_ctl(self, *arguments):
        done = subprocess.run([os.path.join(self.binaries, "pg_ctl"), "-D", self.data, "-s", "-w",
                               "-t", "120", *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"pg_ctl {arguments}: {done.stderr}; see {self.log}")

    def restart(self, libraries=(), **settings):
        """A freshly started server with SETTINGS, and these besides."""
        if os.path.exists(os.path.join(self.data, "postmaster.pid")):
            self._pg_ctl("-m", "fast", "stop")
        everything = dict(SETTINGS)
        everything["shared_preload_libraries"] = ",".join([*self.libraries, *libraries])
        everything.update({name.replace("__", "."): value for name, value in settings.items()})
        with open(os.path.join(self.data, "postgresql.auto.conf"), "w", encoding="utf-8") as conf:
            for name, value in everything.items():
                conf.write(f"{name} = '{value}'\n")
        self._pg_ctl("-l", self.log, "start")

    def bounce(self, mode):
        """Stop in that mode and start again, with the settings as they are."""
        self._pg_ctl("-m", mode, "stop")
        self._pg_ctl("-l", self.log, "start")

    def stop(self):
        self._pg_ctl("-m", "fast", "stop")

    def admin(self, database="postgres"):
        return pq.Connection(database, user="postgres")

    def set(self, **settings):
        """Change settings that a reload is enough for; None: back to before."""
        with self.admin() as admin:
            for name, value in settings.items():
                name = name.replace("__", ".")
                admin.run(f"ALTER SYSTEM RESET {name}" if value is None
                          else f"ALTER SYSTEM SET {name} = '{value}'")
            admin.run("SELECT pg_reload_conf()")
        time.sleep(0.3)

    def database(self, name):
        """A new database of role app, with the extension."""
        with self.admin() as admin:
            admin.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)",
                      f"CREATE DATABASE {name} OWNER app")
        with self.admin(name) as admin:
            admin.run("CREATE EXTENSION defer", "GRANT USAGE ON SCHEMA defer TO app",
                      "GRANT ALL ON SCHEMA public TO app")
        return name

    def drop(self, *names):
        with self.admin() as admin:
            for name in names:
                admin.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    # ----- processes ------------------------------------------------------

    def processes(self):
        """{pid: title} of the postmaster and its children."""
        with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as file:
            postmaster = int(file.readline())
        found = {postmaster: "postmaster"}
        with open(f"/proc/{postmaster}/task/{postmaster}/children", encoding="utf-8") as file:
            for pid in file.read().split():
                try:
                    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as line:
                        found[int(pid)] = line.read().replace("\0", " ").strip()
                except OSError:
                    pass
        return found


def usage(pid):
    """(nanoseconds on a CPU, context switches) of a process so far."""
    with open(f"/proc/{pid}/schedstat", encoding="utf-8") as file:
        spent = int(file.read().split()[0])
    switches = 0
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if "ctxt_switches" in line:
                switches += int(line.split()[1])
    return spent, switches


def anonymous_memory(pid):
    """Bytes of a process that are its own: not shared memory, not files."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    raise OSError("no RssAnon")
