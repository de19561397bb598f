"""Jobs a second of others, while many jobs wait that cannot run."""
import pq
import workload

TITLE = "Others' throughput beside jobs that wait"

PLAIN = "plain: nothing else waits"
HELD = "defer, 300,000 held by a concurrency limit"
FUTURE = "defer, a million in the future"

SLEEPER = """
CREATE FUNCTION held(n bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(36000);
END $$;
SELECT defer.configure('held', concurrency => 1, max_duration => '0')"""


def run(bench, series):
    series.compare(HELD, PLAIN, ("≥", 0.9))
    series.compare(FUTURE, PLAIN, ("≥", 0.9))
    bench.server.restart()
    databases = {PLAIN: bench.database("unburdened"), HELD: bench.database("held"),
                 FUTURE: bench.database("future")}
    with pq.Connection("held") as app:
        app.run(SLEEPER)
        app.run(f"SELECT count(defer.enqueue('held', jsonb_build_array(g))) FROM generate_series(1, {bench.count(300000)}) g")
    with pq.Connection("future") as app:
        app.run("SELECT count(defer.enqueue('compute_product_recommendation', jsonb_build_array(g), delay => '1 day'))"
                f" FROM generate_series(1, {bench.count(1000000)}) g")
    for number in range(bench.rounds):
        for case, database in databases.items():
            series.add(case, workload.warm_defer_jobs(bench, database, bench.count(300000)), "jobs/s", number)
    bench.server.drop(*databases.values())
