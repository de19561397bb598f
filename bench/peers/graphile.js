// graphile-worker.  One command a line on stdin, one answer (JSON) a line on
// stdout:
//   migrate
//   work N MODE       run until N jobs are done; MODE is fast or default
//   start MODE TASK   run TASK in the background, until stop
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
  stop: () => runner.stop(),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [command, ...rest] = line.split(" ");
  try {
    await commands[command](...rest);
    console.log(JSON.stringify({ ok: true }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack ?? error) }));
  }
}
for (const pool of pools.values()) await pool.end();
