// graphile-worker.  One command a line on stdin, one answer (JSON) a line on
// stdout:
//   migrate
//   work N MODE       run until N jobs are done; MODE is fast or default
//   empty N MODE      the same with a task that does nothing, until all are gone; answers with seconds
//   start MODE TASK   run TASK in the background, until stop
//   listen            run "probe" in the background, which notes when it is called, until stop
//   times             these times: {n: seconds since 1970}
//   stop
// Connections come from PG* in the environment.  Jobs are added in SQL.
import readline from "node:readline";
import pg from "pg";
import { run, runMigrations, Logger } from "graphile-worker";

const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});
const pools = new Map();
let runner = null;

// The settings of graphile-worker's own performance test, and what its manual
// starts with (there with 1 at a time, here 10)
const modes = {
  fast: {
    concurrentJobs: 24,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
  default: { concurrentJobs: 10 },
};

function poolFor(size) {
  if (!pools.has(size)) {
    const pool = new pg.Pool({ max: size });
    pool.on("error", () => {});
    pool.on("connect", (client) => client.on("error", () => {}));
    pools.set(size, pool);
  }
  return pools.get(size);
}

function begin(mode, taskList) {
  const settings = modes[mode];
  return run({
    pgPool: poolFor(settings.concurrentJobs + 2),
    taskList,
    noHandleSignals: true,
    logger,
    preset: { worker: settings },
  });
}

async function work(count, mode) {
  let left = count;
  let done;
  const all = new Promise((resolve) => (done = resolve));
  const started = await begin(mode, {
    work: (payload, helpers) =>
      helpers.withPgClient(async (client) => {
        await client.query({
          name: "work",
          text: "SELECT compute_product_recommendation($1)",
          values: [payload.user_id],
        });
        if (--left === 0) done();
      }),
  });
  await all;
  await started.stop();
}

let times = {};

async function empty(count, mode) {
  let called = 0;
  let first;
  const started = await begin(mode, {
    work: async () => {
      first ??= performance.now();
      called++;
    },
  });
  const left = async () =>
    (await poolFor(2).query("SELECT EXISTS (SELECT FROM graphile_worker._private_jobs) AS some")).rows[0].some;

  while (called < count || (await left())) await new Promise((resolve) => setTimeout(resolve, 5));
  const seconds = (performance.now() - first) / 1000;

  await started.stop();
  return { jobs: called, seconds };
}

const commands = {
  migrate: () => runMigrations({ pgPool: poolFor(2), logger }),
  work: (count, mode) => work(Number(count), mode),
  start: async (mode, task) => {
    runner = await begin(mode, {
      [task]: (payload, helpers) =>
        helpers.withPgClient((client) =>
          client.query({ name: task, text: `SELECT ${task}($1)`, values: [payload.n] }),
        ),
    });
  },
  empty: (count, mode) => empty(Number(count), mode),
  async listen() {
    runner = await begin("default", {
      probe: async (payload) => {
        times[payload.n] = (performance.timeOrigin + performance.now()) / 1000;
      },
    });
  },
  times() {
    const now = times;

    times = {};
    return { times: now };
  },
  stop: () => runner.stop(),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [command, ...rest] = line.split(" ");
  try {
    console.log(JSON.stringify({ ok: true, ...(await commands[command](...rest)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack ?? error) }));
  }
}
for (const pool of pools.values()) await pool.end();
