\qecho '-- How did the run go?  A mail is a job, too, enqueued by the one that computed it'
SELECT function, state, count(*), max(attempt) AS attempts FROM defer.jobs
 GROUP BY function, state ORDER BY min(id), state;

\qecho '-- When all mails were out there was one to the team'
SELECT j.args ->> 'subject' AS subject, j.args ->> 'body' AS body, j.state FROM defer.jobs j
 WHERE j.function = 'defer.email' AND j.args ->> 'to' LIKE '%team@%';

\qecho '-- Who could not be served, and why?'
SELECT id, args, attempt, sqlstate, error FROM defer.jobs WHERE state = 'failed';

\qecho '-- What became of its attempts?'
SELECT attempt, outcome, message, retry_at - finished_at AS wait
  FROM defer.attempts
 WHERE job_id = (SELECT id FROM defer.jobs WHERE state = 'failed')
 ORDER BY attempt;

\qecho '-- A mailbox was busy: what about that mail?'
SELECT j.id, j.parent_id, j.args ->> 'to' AS "to", a.message AS "first attempt", j.state, j.result
  FROM defer.attempts a JOIN defer.jobs j ON j.id = a.job_id
 WHERE j.function = 'defer.email' LIMIT 1;

\qecho '-- Each user exactly once (a failed attempt leaves nothing behind)?'
SELECT count(*) AS recommendations, count(DISTINCT user_id) AS users FROM recommendation;
