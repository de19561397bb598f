#!/usr/bin/python3
"""The budget of a job, of two files of callgrind: see bench/instructions.

usage: instructions.py worker|take FOLDER N M       with FOLDER/jobs.N and FOLDER/jobs.M
"""
import re
import sys
from collections import defaultdict

# What a job costs in a claim is counted by itself; the rest of a claim is once for each
BATCH = 100


class Profile:
    """Inclusive instructions and calls of each caller and callee, by the job"""

    def __init__(self, path):
        self.cost = defaultdict(int)
        self.calls = defaultdict(int)
        names = {}
        caller = callee = edge = None
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if match := re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line):
                    # what the compiler has split off belongs to its function
                    if match[3]:
                        names[match[2]] = re.sub(r"\.(part|isra|constprop|cold)\.?\d*|'\d+$", "", match[3])
                    if match[1]:
                        callee = names[match[2]]
                    else:
                        caller = names[match[2]]
                elif match := re.match(r"calls=(\d+)", line):
                    edge = (caller, callee)
                    self.calls[edge] += int(match[1])
                elif edge and (match := re.match(r"[+*\-\d]\S* (\d+)$", line)):
                    if edge[0] != edge[1]:
                        self.cost[edge] += int(match[1])
                    edge = None


class Difference:
    def __init__(self, few, many, jobs):
        self.few, self.many, self.jobs = few, many, jobs

    def of(self, what, callee, caller=None):
        table = [getattr(p, what) for p in (self.few, self.many)]
        keys = {k for t in table for k in t if k[1] == callee and caller in (None, k[0])}
        return sum(table[1][k] - table[0][k] for k in keys) / self.jobs

    def cost(self, callee, caller=None):
        return self.of("cost", callee, caller)


def budget(d):
    """Rows of the table: name, instructions a job"""
    claims = d.of("calls", "batch_claim")
    claim = d.cost("batch_claim")
    found = ((d.cost("index_getnext_slot", "claim_ready_queue") - d.cost("_bt_first")) /
             d.of("calls", "index_getnext_slot", "claim_ready_queue"))
    taken = d.cost("claim_row", "claim_ready_queue")
    deleted = (d.cost("job_delete_left", "batch_finalize_in_transaction") - d.cost("job_table", "job_delete_left") - d.cost("open_for_transaction", "job_delete_left") +
               d.cost("rollup_collect", "batch_finalize_in_transaction"))
    each = (claim - found - taken - deleted) / claims
    function = d.cost("plpgsql_call_handler", "call_directly")
    arguments = d.cost("function_convert_args", "execute_function")
    call = d.cost("execute_job") - function - arguments
    index = d.cost("insert_plain_index_entry")
    row = d.cost("history_insert") - index
    counts = d.cost("statistics_job_ended") + d.cost("statistics_xact_callback")
    end = d.cost("finish_success") - row - index - d.cost("statistics_job_ended")
    commit = (d.cost("CommitTransactionCommand", "run_job") + d.cost("StartTransactionCommand", "run_job") -
              d.cost("statistics_xact_callback"))
    reset = sum(d.cost(name) for name in ("session_before_job", "session_after_job", "session_between_jobs"))
    whole = d.cost("run_job")
    rest = whole - function - arguments - call - index - row - counts - end - commit - reset
    rows = [("claim: find the row", found), ("claim: write the claim into it", taken),
            ("claim: delete the row, count the job", deleted),
            (f"claim: all else, {each:,.0f} a batch, of {BATCH}", each / BATCH),
            ("arguments", arguments), ("call", call), ("history row", row), ("history index", index),
            ("counts", counts), ("end of the job", end), ("transaction", commit), ("reset of the session", reset),
            ("all else between two jobs", rest)]
    return rows, function, 1 / claims


def budget_take(d):
    """The same for a session that takes and ends jobs; without what parses, plans and returns rows"""
    take, claim, found = d.cost("defer_take"), d.cost("claim_row"), d.cost("index_getnext_slot", "claim_ready_queue")
    call, ends = d.cost("defer_complete_many"), d.cost("lease_write_ends")
    index = d.cost("insert_plain_index_entry", "insert_index_entries")
    row = d.cost("history_insert") - index
    deleted = d.cost("job_delete_claim")
    counts = d.cost("rollup_list_add") + d.cost("rollup_list_write")
    return [("take: find the row", found), ("take: write the claim into it", claim), ("take: all else", take - claim - found),
            ("complete_many: the call", call), ("COMMIT: delete the row", deleted), ("COMMIT: history row", row),
            ("COMMIT: history index", index), ("COMMIT: count the job", counts),
            ("COMMIT: all else of the end", ends - deleted - row - index - counts), ("COMMIT: the lease", d.cost("lease_remove") + d.cost("lease_hold"))]


def main():
    what, folder, few, many = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    difference = Difference(Profile(f"{folder}/jobs.{few}"), Profile(f"{folder}/jobs.{many}"), many - few)
    rows, function, batch = (budget_take(difference), None, None) if what == "take" else budget(difference)
    print("| what | instructions a job |\n|---|---|")
    for name, cost in rows:
        print(f"| {name} | {cost:,.0f} |")
    print(f"| **together** | **{sum(cost for _, cost in rows):,.0f}** |")
    if function is not None:
        print(f"| the function itself | {function:,.0f} |")
        print(f"\nBatches had {batch:.1f} jobs here.")


main()
