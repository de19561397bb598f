export { configure, close } from './lib/database.js';
export { currentJob } from './lib/context.js';
export { Cancelled, DeferError, ExecutionFailed, Fail, LeaseLost, Release, Stopping } from './lib/errors.js';
export { addMetadata, assignOptions, defer, delay, discardAfter, email, enqueueMany, trigger } from './lib/functions.js';
export { awaitResult, cancelExecution, getExecution, reRunExecution, rescheduleExecution } from './lib/executions.js';
