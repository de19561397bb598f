import { awaitResult, defer } from 'defer-postgres';
import add from './add.js';

const asks = async (depth) => {
	if (depth > 0)
		return awaitResult(asks2)(depth - 1);
	return (await awaitResult(add)(20, 22)).sum;
};
const asks2 = defer(asks);

export default asks2;
