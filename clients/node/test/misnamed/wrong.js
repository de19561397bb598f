import { defer } from 'defer-postgres';

const right = async () => {};

export default defer(right);
