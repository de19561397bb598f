"""The series, in the order in which they are run."""
from . import (burdened, cron, enqueue, flow, history, idle, latency, memory, pickup, pressure, restart,
               snapshot, steps, take, throughput, variety)

ALL = {module.__name__.rsplit(".", 1)[-1]: module for module in (
    throughput, enqueue, pickup, take, snapshot, burdened, flow, steps, variety, history, latency, pressure, restart, idle, memory, cron)}
