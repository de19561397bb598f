// DBOS: workflows of ten steps, each a row.  One command a line on stdin, one answer (JSON) a
// line on stdout.
//   open                 install
//   work N LOOPS         rows 1 to N, of N / 10 workflows, LOOPS at a time: one that ends is
//                        followed by the next, so that no queue is between them
import readline from "node:readline";
import pg from "pg";
import { DBOS } from "@dbos-inc/dbos-sdk";

const pool = new pg.Pool({ max: 24 });
let round = 0;

pool.on("error", () => {});
const row = async (user) => {
  await pool.query({
    name: "work",
    text: "SELECT compute_product_recommendation($1)",
    values: [user],
  });
};
const tenSteps = DBOS.registerWorkflow(
  async (first) => {
    for (let i = 0; i < 10; i++) await DBOS.runStep(() => row(first + i), { name: `row ${i}` });
  },
  { name: "ten_steps" },
);

const commands = {
  async open() {
    const system = new pg.Pool({ max: 24 });

    system.on("error", () => {});
    DBOS.setConfig({
      name: "bench",
      systemDatabaseUrl: `postgresql://${process.env.PGUSER}@localhost:${process.env.PGPORT}/${process.env.PGDATABASE}?host=${process.env.PGHOST}`,
      systemDatabasePool: system,
      runAdminServer: false,
      logLevel: "error",
    });
    await DBOS.launch();
  },
  async work(count, loops) {
    let next = 0;
    const number = ++round;
    const loop = async () => {
      for (let first; (first = next) < Number(count); ) {
        next += 10;
        await (await DBOS.startWorkflow(tenSteps, { workflowID: `${number}.${first}` })(first)).getResult();
      }
    };

    await Promise.all(Array.from({ length: Number(loops) }, loop));
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [command, ...rest] = line.split(" ");
  try {
    console.log(JSON.stringify({ ok: true, ...(await commands[command](...rest)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack ?? error) }));
  }
}
process.exit(0);
