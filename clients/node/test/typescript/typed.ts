// TypeScript: what types allow, and what they refuse; run by the worker as it stands
import { addMetadata, awaitResult, currentJob, defer, delay, trigger } from "defer-postgres";
import { double } from "./_helper";

export interface User { id: number }

const typed = async (user: User, how: "plain" | "double" = "plain"): Promise<number> => {
	currentJob().log(`user ${user.id}`);
	return how === "double" ? double(user.id) : user.id;
};

const deferred = defer(typed, { retry: { maxAttempts: 3, initialInterval: "1 s" }, maxConcurrencyAction: "keep" });

export default deferred;

// Never called: for tsc
export async function types() {
	const { id } = await deferred({ id: 1 });
	const later = addMetadata(delay(deferred, "1 hour"), { tenant: id });
	const result: number = await awaitResult(later)({ id: 2 }, "double");

	// @ts-expect-error an argument of another type
	await deferred({ id: "1" });
	// @ts-expect-error an option that there is not
	defer(typed, { retries: 3 });
	// @ts-expect-error a scheduled function takes no arguments
	defer.cron(typed, "0 8 * * 1");
	await trigger(defer.cron(async () => {}, "0 8 * * 1", { name: "now", timezone: "Europe/Paris" }));
	return result;
}
