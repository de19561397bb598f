import { defer } from 'defer-postgres';

const add = async (a, b) => ({ sum: a + b });

export default defer(add, { retry: 2, maxDuration: 60, queue: 'default' });
