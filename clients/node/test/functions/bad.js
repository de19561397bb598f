import { defer } from 'defer-postgres';

const bad = async () => 1n;

export default defer(bad, { retry: false });
