// What the environment says, so that a test can deploy another text
import { defer } from 'defer-postgres';

const weekly = async () => 'ran';

export default process.env.WEEKLY ? defer.cron(weekly, process.env.WEEKLY, { timezone: 'Europe/Paris', retry: 4 }) : defer(weekly);
