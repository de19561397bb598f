#!/usr/bin/env python3
"""defer against its peers: runs the series, writes the table and the plots.

Started by tools/bench, which builds and installs everything; see README.md.
"""
import argparse
import os
import platform
import sys
import time
import traceback

import report
import series
import workload
from server import SETTINGS, Server


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def memory():
    with open("/proc/meminfo", encoding="utf-8") as file:
        return int(file.readline().split()[1]) / 1024 / 1024


def versions(bench):
    found = []
    for name in ("graphile-worker", "pg-boss", "absurd-sdk", "@dbos-inc/dbos-sdk"):
        path = os.path.join(bench.peers or "", "node_modules", name, "package.json")
        if bench.peers and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found += [f"{name} {line.split(chr(34))[3]}" for line in file if '"version"' in line][:1]
    return found


def environment(bench, options):
    with bench.server.admin() as admin:
        server = admin.value("SHOW server_version")
        default_settings = ", ".join(f"`{n} = {v}`" for n, v in SETTINGS.items())
    told = [f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {os.cpu_count()} × {processor()}, "
            f"{memory():.0f} GiB, Linux {platform.release()}, PostgreSQL {server.split()[0]}, "
            f"defer {options.revision}",
            ", ".join(versions(bench) or ["no peers of Node.js"]) +
            (f", pg_cron {options.pg_cron}" if bench.pg_cron else ", no pg_cron")]
    told.append(f"`SCALE={options.scale:g} ROUNDS={options.rounds}`; settings: {default_settings}, the rest "
                f"PostgreSQL's defaults (`fsync` on). A ratio is the median of the ratios within a round.")
    return ".\n".join(told)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True, help="folder of the throwaway server")
    parser.add_argument("--bin", required=True, help="its programs")
    parser.add_argument("--pgbench", required=True)
    parser.add_argument("--peers", help="folder with node_modules")
    parser.add_argument("--pg-cron", default="", help="version of pg_cron, if it is installed")
    parser.add_argument("--revision", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--out", required=True)
    parser.add_argument("series", nargs="*")
    options = parser.parse_args()

    for name in options.series:
        if name not in series.ALL:
            parser.error(f"there is no series {name}: {' '.join(series.ALL)}")
    server = Server(options.work, options.bin)
    bench = workload.Bench(server, options.rounds, options.scale, options.peers,
                           options.pgbench, bool(options.pg_cron))
    server.restart()
    with server.admin() as admin:
        admin.run("CREATE ROLE app LOGIN")
    told = environment(bench, options)
    done, failed = [], []
    for name in options.series or series.ALL:
        module = series.ALL[name]
        one = report.Series(name, module.TITLE)
        begun = time.monotonic()
        print(f"== {name}: {module.TITLE}", flush=True)
        try:
            module.run(bench, one)
        except Exception:                           # the other series go on
            failed.append(name)
            one.note(f"broken off: {traceback.format_exc(limit=-1).splitlines()[-1]}")
            traceback.print_exc()
        one.note(f"It took {time.monotonic() - begun:.0f} s.")
        done.append(one)
        report.write(options.out, done, told)
    server.stop()
    print()
    print(report.table(done))
    if failed:
        print("\nbroken off:", " ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
