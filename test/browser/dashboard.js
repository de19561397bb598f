// The dashboard in a real browser: every page, every button, live updates, what
// is hostile shown as text, a cross-origin POST, the keyboard, narrow and dark.
//
//   node dashboard.js URL OTHER_ORIGIN_PORT SQL_COMMAND [SCREENSHOT_FOLDER]
//
// URL is the one with the token; SQL_COMMAND runs what is on its standard input.
"use strict";

const { chromium } = require("playwright-core");
const { execFileSync } = require("child_process");
const fs = require("fs");
const http = require("http");

const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [url, command, shots] = process.argv.slice(2);
const origin = new URL(url).origin;
let passed = 0;
let failed = 0;

function ok(good, what) {
	if (good) { passed++; } else { failed++; console.log("not ok: " + what); }
}

function sql(text) {
	return execFileSync("sh", ["-c", command], { input: text, encoding: "utf8" }).trim();
}

async function until(what, condition) {
	for (const end = Date.now() + 60000; Date.now() < end;) {
		if (await condition()) { ok(true, what); return; }
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
	ok(false, what);
}

const pages = ["/", "/?range=10min", "/?range=7d", "/jobs", "/jobs?state=failed", "/jobs?order=oldest", "/errors", "/workflows", "/functions", "/schedules", "/queues", "/workers", "/servers", "/endpoints", "/alerts"];

async function open(browser, options) {
	const context = await browser.newContext(options);
	const page = await context.newPage();
	page.problems = [];
	page.on("console", (message) => { if (message.type() === "error") { page.problems.push(message.text()); } });
	page.on("pageerror", (error) => page.problems.push(error.message));
	page.on("request", (request) => { if (!request.url().startsWith(origin)) { page.problems.push("elsewhere: " + request.url()); } });
	page.on("dialog", (dialog) => dialog.accept());
	return page;
}

// Press a button, wait for the page that follows and for what it says
async function press(page, path, name, says) {
	await page.goto(origin + path);
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name, exact: true }).first().click()]);
	const message = await page.locator(".message").first().textContent();
	ok(says.test(message), `${name} on ${path}: "${message}"`);
}

// Texts whose contrast with what is behind them is below 4.5 (3 for large ones)
function lowContrast() {
	const luminance = (c) => {
		const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return n.length < 4 ? n.concat(1) : n; };
	const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
	const background = (element) => {
		const layers = [];
		for (let e = element; e; e = e.parentElement) {
			const colour = parse(getComputedStyle(e).backgroundColor);
			if (colour[3] > 0) { layers.push(colour); }
			if (colour[3] === 1) { break; }
		}
		return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
	};
	const found = new Set();
	for (const e of document.querySelectorAll("body *")) {
		const style = getComputedStyle(e);
		const box = e.getBoundingClientRect();
		const text = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.data.trim()) || (e.matches("input") && e.value);
		if (!text || style.visibility !== "visible" || box.width < 2 || box.height < 2 || box.right < 0 || e.closest("svg, .spoken")) { continue; }
		let opacity = 1;
		for (let p = e; p; p = p.parentElement) { opacity *= Number(getComputedStyle(p).opacity); }
		const behind = background(e);
		const colour = parse(style.color);
		const [a, b] = [luminance(over([...colour.slice(0, 3), colour[3] * opacity], behind)), luminance(behind)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		const size = parseFloat(style.fontSize);
		if (ratio < (size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700) ? 3 : 4.5)) {
			found.add(`${e.tagName} .${e.className} "${(e.textContent || e.value).trim().slice(0, 20)}" ${ratio.toFixed(2)}`);
		}
	}
	return Array.from(found).slice(0, 5);
}

// Placeholders that do not fit their fields
function cutPlaceholders() {
	return Array.from(document.querySelectorAll("input[placeholder]")).filter((e) => {
		const copy = e.cloneNode();
		copy.value = copy.placeholder;
		copy.removeAttribute("list");
		copy.style.cssText = "position: absolute; width: " + e.getBoundingClientRect().width + "px";
		e.parentNode.appendChild(copy);
		const cut = copy.scrollWidth > copy.clientWidth;
		copy.remove();
		return cut;
	}).map((e) => e.placeholder);
}

// What axe-core finds wrong with a page: rules, and the first elements that break each
async function accessibility(page) {
	await page.evaluate(axe);
	return page.evaluate(async () => {
		const result = await window.axe.run(document, { preload: false });
		return result.violations.map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(" "));
	});
}

async function everyPage(page, jobs) {
	for (const path of pages.concat(jobs)) {
		await page.goto(origin + path);
		ok(await page.locator("h1").count() === 1, path + ": one heading");
		ok(await page.locator("main").count() === 1, path + ": main");
		ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), path + ": fits the width");
		const unnamed = await page.evaluate(() => Array.from(document.querySelectorAll("button, a[href], input:not([type=hidden]), select, [role=img], progress")).filter((e) =>
			!(e.textContent.trim() || e.getAttribute("aria-label") || e.getAttribute("title") || (e.labels && e.labels.length) || e.querySelector("img[alt]"))).map((e) => e.outerHTML.slice(0, 100)));
		ok(unnamed.length === 0, path + ": everything has a name: " + unnamed.join(" "));
		const low = await page.evaluate(lowContrast);
		ok(low.length === 0, path + ": contrast: " + low.join("; "));
		const wrong = await accessibility(page);
		ok(wrong.length === 0, path + ": axe: " + wrong.join("; "));
		const cut = await page.evaluate(cutPlaceholders);
		ok(cut.length === 0, path + ": placeholders fit: " + cut.join("; "));
		if (page.shotName !== "dark") {
			const wide = await page.evaluate(() => Array.from(document.querySelectorAll(".scroll")).filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.firstChild.className));
			ok(wide.length === 0, path + ": tables fit: " + wide.join(" "));
		}
		const here = await page.evaluate(() => {
			const a = document.querySelector("nav a[aria-current]").getBoundingClientRect();
			return a.left >= 0 && a.right <= window.innerWidth;
		});
		ok(here, path + ": the menu shows where one is");
		if (shots) { await page.screenshot({ path: `${shots}/${path.replace(/[^a-z0-9]+/gi, "_")}-${page.shotName}.png`, fullPage: true }); }
	}
	ok(page.problems.length === 0, "no errors: " + page.problems.join("; "));
}

async function liveFanOut(page) {
	sql("SELECT defer.pause('slow_child(int)'); SELECT defer.configure('slow_child(int)', concurrency => 1);");
	const id = sql("SELECT defer.enqueue('slow_parent')");
	await until("the parent has ended", () => sql(`SELECT state FROM defer.jobs WHERE id = ${id}`) === "succeeded");
	await page.goto(origin + "/tree?id=" + id);
	ok(/^0%/.test(await page.locator(".legend").textContent()), "nothing done yet");
	await page.evaluate(() => { window.stays = true; });
	await page.locator("footer").click();
	await page.locator(".tree a").first().focus();
	sql("SELECT defer.resume('slow_child(int)')");
	const seen = new Set();
	await until("progress comes to the end without reload", async () => {
		const text = (await page.locator(".legend strong").textContent()).trim();
		seen.add(text);
		return text === "100%";
	});
	ok(seen.size > 2, "and was seen on its way: " + Array.from(seen).join(" "));
	ok(await page.evaluate(() => window.stays === true), "it was not loaded anew");
	ok(await page.evaluate(() => document.activeElement && document.activeElement.matches(".tree a")), "the focus stayed");
}

async function liveState(page) {
	const id = sql("SELECT defer.enqueue('work', '[0]', delay => '1 hour')");
	await page.goto(origin + "/job?id=" + id);
	sql(`SELECT defer.reschedule(${id})`);
	await until("the state of a job changes while one looks", async () => /succeeded/.test(await page.locator("#job-state").textContent()));
	ok(/succeeded/.test(await page.title()), "and so does the title of the window: " + await page.title());
	await until("and is said", async () => /Now succeeded/.test(await page.locator("#spoken").textContent()));
	await page.locator("#live-button").click();
	ok(await page.locator("#live-button").getAttribute("aria-pressed") === "false", "live can be paused");
}

async function buttons(page) {
	const later = sql("SELECT defer.enqueue('work', '[0]', delay => '1 hour')");
	await press(page, "/job?id=" + later, "Run now", /ready to run/);
	await until("it has run", () => sql(`SELECT state FROM defer.jobs WHERE id = ${later}`) === "succeeded");
	await press(page, "/job?id=" + later, "Run again", /another run of job/);
	ok(!page.url().endsWith("id=" + later), "one is led to the new job");
	const cancel = sql("SELECT defer.enqueue('work', '[0]', delay => '1 hour')");
	await press(page, "/job?id=" + cancel, "Cancel", /is cancelled/);
	const stop = sql("SELECT defer.enqueue('forever')");
	await until("it runs", () => sql(`SELECT state FROM defer.jobs WHERE id = ${stop}`) === "running");
	await press(page, "/job?id=" + stop, "Stop", /being stopped/);
	await until("it is cancelled", () => sql(`SELECT state FROM defer.jobs WHERE id = ${stop}`) === "cancelled");
	await press(page, "/schedules", "Run now", /run of "nightly" was enqueued: job \d+/);
	await page.goto(origin + "/schedules");
	await page.locator("summary", { hasText: "Pause with a reason" }).first().click();
	await page.getByLabel("Reason").first().fill("<b>moving</b>");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Pause it" }).first().click()]);
	ok(/by postgres: <b>moving<\/b>/.test(await page.locator(".schedule .message").first().textContent()), "why a schedule is paused");
	if (shots) { await page.screenshot({ path: `${shots}/schedules-paused.png`, fullPage: true }); }
	await press(page, "/schedules", "Resume", /schedule "nightly" is active/);
	await press(page, "/schedules", "Pause", /schedule "nightly" is paused/);
	await press(page, "/schedules", "Resume", /schedule "nightly" is active/);
	await press(page, "/functions", "Pause", /function ".*" is paused/);
	await press(page, "/functions", "Resume", /function ".*" is resumed/);
	await press(page, "/queues", "Pause", /queue "default" is paused/);
	await press(page, "/queues", "Resume", /queue "default" is resumed/);
}

// Fill in fields by their labels, press a button, and wait for what the page says
async function send(page, fields, name, says) {
	for (const [label, value] of Object.entries(fields)) { await page.getByLabel(label, { exact: true }).last().fill(value); }
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name, exact: true }).click()]);
	const message = await page.locator(".message").first().textContent();
	ok(says.test(message), `${name}: "${message}"`);
}

// A schedule is made, changed, run for the past and deleted
async function schedule(page) {
	await page.goto(origin + "/schedules");
	await Promise.all([page.waitForNavigation(), page.getByRole("link", { name: /^New schedule/ }).click()]);
	await send(page, { Name: "hourly", When: "bogus", "or one SQL statement": "SELECT 1" }, "Make it", /bogus|invalid/);
	ok(await page.getByLabel("or one SQL statement").inputValue() === "SELECT 1", "what was typed stays");
	await send(page, { When: "0 * * * *" }, "Make it", /schedule "hourly" is made/);
	await send(page, { "Pause after failures in a row": "3" }, "Save", /schedule "hourly" is changed/);
	await page.getByLabel("From", { exact: true }).fill("2026-01-01");
	await page.getByLabel("Before", { exact: true }).fill("2026-01-02");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Count the runs" }).click()]);
	ok(await page.locator("#backfill-count").textContent() === "24", "the runs of a backfill are counted");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Run 24 times" }).click()]);
	await until("they run", async () => await page.locator("table.runs .is-succeeded").count() === 24);
	if (shots) { await page.screenshot({ path: `${shots}/schedule-runs.png`, fullPage: true }); }
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Delete" }).click()]);
	ok(/"hourly" is deleted/.test(await page.locator(".message").first().textContent()), "and deleted");
}

// Settings of a function, a queue and a group; the zone
async function settings(page) {
	await page.goto(origin + "/function?name=public.work(integer)");
	await page.locator("summary", { hasText: "Change" }).click();
	if (shots) { await page.screenshot({ path: `${shots}/function-settings.png`, fullPage: true }); }
	await send(page, { Rate: "1000/s", Attempts: "4" }, "Save", /settings of "public.work\(integer\)" are changed/);
	ok(/1000\/s/.test(await page.locator("dl.facts").last().textContent()), "and shown");
	await page.goto(origin + "/queues");
	await send(page, { "New queue": "bulk" }, "Make it", /queue "bulk" is made/);
	await page.goto(origin + "/queue?name=bulk");
	await page.locator("summary", { hasText: "Change" }).click();
	await send(page, { "Jobs at the same time": "2" }, "Save", /settings of "bulk" are changed/);
	await page.locator("summary", { hasText: "Settings of one group" }).click();
	await page.locator("#group-group").fill("acme");
	await page.locator("#group-weight").fill("2");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Set them" }).click()]);
	ok(/group "acme" are changed/.test(await page.locator(".message").first().textContent()), "settings of a group");
	await press(page, "/queue?name=bulk", "Reset", /no settings of its own/);
	await press(page, "/queue?name=bulk", "Delete", /queue "bulk" is deleted/);
	await page.locator("summary", { hasText: "time zone" }).click();
	await send(page, { "Time zone": "Asia/Tokyo" }, "Use it", /time zone Asia\/Tokyo/);
	await page.locator("summary", { hasText: "Asia/Tokyo" }).click();
	await send(page, { "Time zone": "" }, "Use it", /Times are in the time zone/);
}

// What a job says is seen while it runs; a step of a chart leads to its jobs
async function liveLog(page) {
	const id = sql("SELECT defer.enqueue('talks')");
	await page.goto(origin + "/job?id=" + id);
	await until("what a running job says is there", async () => /page 1 of 2/.test(await page.locator("#content").textContent()));
	await until("while it runs", async () => /running/.test(await page.locator("#job-state").textContent()));
	sql("INSERT INTO told VALUES (1)");
	await until("and so is the rest", async () => /page 2 of 2/.test(await page.locator("#content").textContent()));
	await page.goto(origin + "/function?name=public.work(integer)");
	const step = page.locator(".panel a.step").first();
	await Promise.all([page.waitForNavigation(), step.dispatchEvent("click")]);
	ok(/ended_since=/.test(page.url()) && await page.locator("table.jobs tbody tr").count() > 0, "a step of a chart leads to its jobs");
}

// All jobs that a filter shows: count, then act
async function many(page) {
	sql("SELECT defer.enqueue('work', '[0]', metadata => '{\"many\": true}', delay => '1 hour') FROM generate_series(1, 3)");
	await page.goto(origin + "/jobs?metadata=" + encodeURIComponent('{"many": true}'));
	await Promise.all([page.waitForNavigation(), page.getByRole("link", { name: /^Reschedule jobs/ }).click()]);
	await page.getByLabel(/New time/).fill("2100-01-01T08:00");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Move them" }).click()]);
	ok(/3 of 3 jobs were moved/.test(await page.locator(".message").first().textContent()), "all are moved");
	await Promise.all([page.waitForNavigation(), page.getByRole("link", { name: /^Cancel jobs/ }).click()]);
	ok(await page.locator("#bulk-count").textContent() === "3", "it says how many they are");
	await page.getByLabel("also stop those that run").check();
	sql("SELECT defer.enqueue('work', '[0]', metadata => '{\"many\": true}', delay => '1 hour')");
	await until("the count is live", async () => await page.locator("#bulk-count").textContent() === "4");
	ok(await page.getByLabel("also stop those that run").isChecked(), "and what was chosen stays");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Cancel them" }).click()]);
	ok(/4 of 4 jobs were cancelled/.test(await page.locator(".message").first().textContent()), "all are cancelled");
	ok(page.url().startsWith(origin + "/jobs?metadata="), "back to the list");
}

// Groups of a queue: what they wait for, pause with a reason
async function groups(page) {
	await page.goto(origin + "/queues");
	await Promise.all([page.waitForNavigation(), page.getByRole("link", { name: "tenants", exact: true }).click()]);
	ok(await page.locator("table.groups tbody tr").count() === 3, "the groups of a queue");
	await page.locator("#g-group").fill("acme");
	await page.getByLabel("Reason").fill("invoice not paid");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Pause this group" }).click()]);
	ok(/invoice not paid/.test(await page.locator("table.groups").textContent()), "why a group is paused");
	if (shots) { await page.screenshot({ path: `${shots}/queue-paused.png`, fullPage: true }); }
	await page.goto(origin + "/queue?name=tenants");
	await Promise.all([page.waitForNavigation(), page.locator("table.groups").getByRole("button", { name: "Resume" }).click()]);
	ok(/group "acme" is resumed/.test(await page.locator(".message").first().textContent()), "it goes on");
}

// Copy what is there, save the list as a file, run a job with other arguments
async function copies(page) {
	await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin });
	const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
	const id = sql("SELECT max(id) FROM defer.jobs WHERE function = 'public.work(integer)' AND state = 'succeeded'");
	await page.goto(origin + "/job?id=" + id);
	await page.getByRole("button", { name: "Copy the id" }).click();
	await until("the id is copied", async () => await clipboard() === id);
	await page.getByRole("button", { name: "Copy: Arguments" }).click();
	await until("the arguments are copied", async () => /^\[\s*\d+\s*\]$/.test(await clipboard()));
	await page.getByText("As SQL").click();
	await page.getByRole("button", { name: "Copy: Statement" }).click();
	await until("the statement is copied", async () => /^SELECT defer\.enqueue\('public\.work\(integer\)', /.test(await clipboard()));
	ok(await page.getByText("Copied", { exact: true }).count() > 0, "it says so");
	await page.getByText("Run with other arguments").click();
	if (shots) { await page.screenshot({ path: `${shots}/job-again.png`, fullPage: true }); }
	const found = await accessibility(page);
	ok(found.length === 0, "axe-core, with the form open: " + found.join("; "));
	await page.getByLabel("Arguments", { exact: true }).fill("[4711]");
	await page.waitForFunction(() => window.performance.getEntriesByType("resource").filter((e) => e.initiatorType === "fetch").length > 1);
	ok(await page.getByLabel("Arguments", { exact: true }).inputValue() === "[4711]", "an update leaves the arguments alone");
	await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Enqueue" }).click()]);
	ok(/This job is like job/.test(await page.locator(".message").first().textContent()), "to the new job");
	ok(sql("SELECT args FROM defer.jobs WHERE id = " + new URL(page.url()).searchParams.get("id")) === "[4711]", "which has these arguments");

	await page.goto(origin + "/jobs?function=work&state=succeeded");
	await Promise.all([page.waitForNavigation(), page.getByRole("link", { name: "Oldest first" }).click()]);
	ok(await page.locator("table.jobs tbody tr a").first().textContent() ===
		sql("SELECT min(id) FROM defer.jobs WHERE function LIKE '%work%' AND state = 'succeeded'"), "the oldest is first");
	const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
	ok(download.suggestedFilename() === "jobs.csv", "a file: " + download.suggestedFilename());
	const lines = fs.readFileSync(await download.path(), "utf8").trim().split("\r\n");
	ok(lines.length === 1 + Number(sql("SELECT count(*) FROM defer.jobs WHERE function LIKE '%work%' AND state = 'succeeded'")), "with all of them: " + lines.length);
	await page.goto(origin + "/");
	ok(await page.getAttribute("link[rel=icon]", "href") === "/alarm.svg", "the icon says that something needs attention");
}

async function hostile(page) {
	const id = sql("SELECT max(id) FROM defer.jobs WHERE state = 'failed' AND function LIKE '%hacked%'");
	for (const path of ["/", "/jobs", "/jobs?state=failed", "/errors", "/functions", "/job?id=" + id]) {
		await page.goto(origin + path);
		await page.waitForFunction(() => window.performance.getEntriesByType("resource").some((e) => e.initiatorType === "fetch"));
		ok(await page.evaluate(() => !window.hacked && document.querySelectorAll("main script, main img[src=x]").length === 0), path + ": nothing hostile came alive");
	}
	await page.goto(origin + "/job?id=" + id);
	ok((await page.locator(".message.bad").first().textContent()).includes("<img src=x onerror=\"window.hacked=1\">"), "the error is there as text");
}

// A page of another origin, in a browser with our session, sends forms to us
async function crossOrigin(page, context) {
	const id = sql("SELECT defer.enqueue('work', '[0]', delay => '1 hour')");
	const server = http.createServer((request, response) => {
		response.setHeader("Content-Type", "text/html");
		response.end(`<form method="post" action="${origin}/do/cancel"><input name="id" value="${id}"><button>Win</button></form>`);
	});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	const other = await context.newPage();
	await other.goto(`http://localhost:${server.address().port}/`);
	const [answer] = await Promise.all([other.waitForNavigation(), other.getByRole("button").click()]);
	ok(answer.status() === 403, "a form of another site is refused: " + answer.status());
	await other.goto(`http://localhost:${server.address().port}/`);
	const fetched = await other.evaluate(async (target) => {
		try { await fetch(target, { credentials: "include" }); return "read"; } catch (e) { return "refused"; }
	}, origin + "/jobs");
	ok(fetched === "refused", "another site cannot read a page");
	ok(sql(`SELECT state FROM defer.jobs WHERE id = ${id}`) === "scheduled", "the job waits all the same");
	sql(`SELECT defer.cancel(${id})`);
	await other.close();
	server.close();
}

async function keyboard(page) {
	await page.goto(origin + "/jobs");
	await page.keyboard.press("Tab");
	ok(await page.evaluate(() => document.activeElement.className) === "skip", "the first stop skips the menu");
	await page.keyboard.press("Enter");
	ok(await page.evaluate(() => document.activeElement.id) === "main", "to the content");
	await page.locator(".tabs a", { hasText: "failed" }).focus();
	await page.keyboard.press("Enter");
	await page.waitForURL("**state=failed**");
	ok(/failed/.test(await page.locator(".tabs a[aria-current]").textContent()), "the tab is chosen");
	await page.locator("#f-function").fill("work");
	await page.keyboard.press("Enter");
	await page.waitForURL("**function=work**");
	ok(page.url() === origin + "/jobs?state=failed&function=work", "empty filters are not in the address: " + page.url());
	ok(await page.locator("#f-function").inputValue() === "work", "the filter is filled in");
}

async function typing(page) {
	await page.goto(origin + "/jobs");
	await page.locator("#f-function").fill("half a na");
	await page.waitForFunction(() => window.performance.getEntriesByType("resource").filter((e) => e.initiatorType === "fetch").length > 1);
	ok(await page.locator("#f-function").inputValue() === "half a na", "an update does not take away what one types");
}

(async () => {
	const browser = await chromium.launch({
		executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
		args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
	});
	try {
		const page = await open(browser, { viewport: { width: 1280, height: 900 } });
		page.shotName = "light";
		await page.goto(url);
		await page.waitForURL(origin + "/");
		ok(true, "the address with the token logs in");
		const fan = sql("SELECT min(id) FROM defer.jobs WHERE function LIKE '%slow_parent%'");
		const bad = sql("SELECT max(id) FROM defer.jobs WHERE state = 'failed' AND function LIKE '%hacked%'");
		const jobs = ["/job?id=" + fan, "/tree?id=" + fan, "/job?id=" + bad, "/function?name=public.work(integer)", "/queue?name=tenants", "/schedule?id=1", "/schedule?id=1&from=2026-01-01&to=2026-02-01", "/new-schedule", "/jobs?function=work&state=succeeded", "/bulk?do=rerun&function=work&state=succeeded", "/bulk?do=cancel&queue=tenants"];
		jobs.push("/workflow?id=" + sql("SELECT min(id) FROM defer.workflows"), "/job?id=" + sql("SELECT min(job_id) FROM defer.steps"),
			"/job?id=" + sql("SELECT min(job_id) FROM defer.batches"));
		await everyPage(page, jobs);
		await buttons(page);
		await many(page);
		await groups(page);
		await schedule(page);
		await settings(page);
		await liveLog(page);
		await copies(page);
		await hostile(page);
		await liveFanOut(page);
		await liveState(page);
		await keyboard(page);
		await typing(page);
		ok(page.problems.length === 0, "no errors: " + page.problems.join("; "));
		await crossOrigin(page, page.context());
		for (const [name, options] of [["dark", { colorScheme: "dark", viewport: { width: 1360, height: 900 } }], ["phone", { viewport: { width: 390, height: 844 } }],
			["plain", { javaScriptEnabled: false, viewport: { width: 1024, height: 800 } }]]) {
			const other = await open(browser, options);
			other.shotName = name;
			await other.goto(url);
			if (name === "plain") { await other.getByRole("button", { name: "Log in" }).click(); }
			await other.waitForURL(origin + "/");
			if (name !== "plain") {
				await everyPage(other, jobs);
			} else {
				await other.goto(origin + jobs[0]);
				ok(/slow_parent/.test(await other.locator("h1").textContent()), "without a script a job can be read");
				await press(other, "/queues", "Pause", /queue "default" is paused/);
				await press(other, "/queues", "Resume", /queue "default" is resumed/);
			}
			await other.context().close();
		}
		await page.goto(origin + "/");
		await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Log out" }).click()]);
		ok(page.url() === origin + "/login", "logged out");
	} catch (error) {
		failed++;
		console.log("broken off: " + error.stack);
	} finally {
		await browser.close();
	}
	console.log(`${passed} passed, ${failed} failed`);
	process.exit(failed > 0 ? 1 : 0);
})();
