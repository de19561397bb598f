\qecho '-- How did the run go?'
SELECT state, count(*) FROM defer.jobs
 WHERE function LIKE '%compute_product_recommendation%'
 GROUP BY state;

\qecho '-- Who could not be served, and why?'
SELECT id, args, attempt, error FROM defer.jobs WHERE state = 'failed';

\qecho '-- What became of its attempts?'
SELECT attempt, outcome, sqlstate, message, retry_at - finished_at AS wait
  FROM defer.attempts
 WHERE job_id = (SELECT id FROM defer.jobs WHERE state = 'failed')
 ORDER BY attempt;

\qecho '-- And of those whose first attempt failed?'
SELECT state, attempt AS attempts, count(*) FROM defer.jobs
 WHERE function LIKE '%compute_product_recommendation%'
 GROUP BY 1, 2 ORDER BY 1, 2;

\qecho '-- Each user exactly once (a failed attempt leaves nothing behind)?'
SELECT count(*) AS recommendations, count(DISTINCT user_id) AS users FROM recommendation;

\qecho '-- What did the jobs say?'
SELECT * FROM defer.logs ORDER BY at LIMIT 3;

\qecho '-- And the function as a whole?'
\x on
SELECT * FROM defer.functions WHERE function LIKE '%compute_product_recommendation%';
\x off
