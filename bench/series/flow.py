"""Rates and limits of groups: how exact, and what they cost."""
import pq
import workload

TITLE = "Rates, groups and limits of groups"

USED = "defer, rate 1,000/s: share of its tokens that was used"
FULLEST = "defer, rate 1,000/s: attempts in the fullest second"
PLAIN = "others: nothing else waits"
HELD = "others beside 1,000,000 jobs that a rate holds"
NO_GROUPS = "jobs without groups"
GROUPS = "100,000 groups with group_concurrency"
TENTHS = "nine tenants with 1,000 jobs each, a tenth of the workers for each"
BESIDE = "the same beside a tenant with 1,000,000"

SELDOM = """
CREATE FUNCTION seldom(n bigint) RETURNS void LANGUAGE sql AS 'SELECT';
SELECT defer.configure('seldom', rate => '1/day')"""
LIMITED = "SELECT defer.configure('compute_product_recommendation', {})"
OF_GROUPS = ("SELECT max(defer.enqueue('compute_product_recommendation', jsonb_build_object('user_id', g),"
             " group_key => 'g' || g % {groups})) FROM generate_series(1, {n}) g")

TENANTS = ("SELECT max(defer.enqueue('compute_product_recommendation', jsonb_build_object('user_id', {first} + g),"
           " group_key => {group})) FROM generate_series(1, {n}) g")
FIRST = 100000000                   # user of the nine tenants


def at_a_rate(bench, series, number):
    """A minute of jobs that do next to nothing, at one each millisecond."""
    jobs = bench.count(60000, 3000)
    database = bench.database("rated")
    with pq.Connection(database) as app:
        app.run(LIMITED.format("rate => '1000/s'"))
        workload.fresh(bench, database, "defer.job")
        app.run(workload.ENQUEUE.format(n=jobs))
        workload.wait_for_rows(app, jobs)
        # the worker that has just been started has to find its way first
        share, fullest = app.rows("""
            WITH begun AS (SELECT started_at AS at FROM defer.jobs WHERE started_at IS NOT NULL ORDER BY started_at OFFSET 100)
            SELECT (SELECT (count(*) - 1) / extract(epoch FROM max(at) - min(at)) / 1000 FROM begun),
                   (SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY at RANGE BETWEEN CURRENT ROW
                        AND interval '1 s' - interval '1 us' FOLLOWING) AS n FROM begun) x)""")[0]
    series.add(USED, float(share), "", number)
    series.add(FULLEST, int(fullest), "attempts", number)
    bench.server.drop(database)


def nine_tenants(bench, database, large):
    """Jobs a second of nine tenants, from their commit to the end of the last."""
    jobs = bench.count(9000)
    workload.fresh(bench, database, "defer.job", "defer.claim")
    with pq.Connection(database) as app:
        if large > 0:
            app.run(TENANTS.format(first=0, group="'large'", n=large))
        app.run(TENANTS.format(first=FIRST, group="'tenant' || g % 9", n=jobs))
        began = app.value("SELECT clock_timestamp()")
        done = f"FROM recommendation WHERE user_id > {FIRST}"
        # the table grows with the jobs of the large one: not often
        workload.wait_until(lambda: app.integer(f"SELECT count(*) {done}") >= jobs,
                            f"the {jobs} jobs of nine tenants were done", pause=1)
        seconds = app.value(f"SELECT extract(epoch FROM max(made_at) - '{began}') {done}")
        app.run("SELECT defer.cancel_jobs(group_key => 'large')")
        workload.wait_until(lambda: app.integer("SELECT count(*) FROM defer.live_jobs") == 0, "the rest was cancelled", pause=1)
    return jobs / float(seconds)


def run(bench, series):
    series.limit(USED, "≥", 0.98)
    series.limit(FULLEST, "≤", 1000)
    series.compare(HELD, PLAIN, ("≥", 0.9))
    series.compare(GROUPS, NO_GROUPS, ("≥", 0.7))
    series.compare(BESIDE, TENTHS, ("≥", 1 / 1.5))
    bench.server.restart()
    for number in range(bench.rounds):
        at_a_rate(bench, series, number)
    databases = {PLAIN: bench.database("unburdened"), HELD: bench.database("rate_held")}
    with pq.Connection("rate_held") as app:
        app.run(SELDOM)
        app.run(f"SELECT count(defer.enqueue('seldom', jsonb_build_array(g))) FROM generate_series(1, {bench.count(1000000)}) g")
    for number in range(bench.rounds):
        for case, database in databases.items():
            series.add(case, workload.warm_defer_jobs(bench, database, bench.count(300000)), "jobs/s", number)
    bench.server.drop(*databases.values())

    database = bench.database("tenants")
    nine_tenants(bench, database, 0)    # not counted: workers are started
    for number in range(bench.rounds):
        # alone they have all workers
        series.add(TENTHS, nine_tenants(bench, database, 0) * 0.9, "jobs/s", number)
        series.add(BESIDE, nine_tenants(bench, database, bench.count(1000000)), "jobs/s", number)
    bench.server.drop(database)

    # one role has half of the slots
    groups = bench.count(100000)
    bench.server.restart(defer__shared_slots=max(2 * groups + 1000, 4096))
    databases = {NO_GROUPS: bench.database("no_groups"), GROUPS: bench.database("groups")}
    with pq.Connection("groups") as app:
        app.run(LIMITED.format("group_concurrency => 1"))
    for number in range(bench.rounds):
        for case, database in databases.items():
            series.add(case, workload.defer_jobs(
                bench, database, bench.count(300000),
                workload.ENQUEUE if case == NO_GROUPS else OF_GROUPS.replace("{groups}", str(groups))), "jobs/s", number)
    bench.server.drop(*databases.values())
