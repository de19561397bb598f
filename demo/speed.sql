SELECT function, count(*) AS jobs, max(finished_at) - min(started_at) AS "from first to last",
       round(count(*) / extract(epoch FROM max(finished_at) - min(started_at))) AS "jobs/s"
  FROM defer.jobs
 WHERE attempt = 1 AND state = 'succeeded' AND function <> 'defer.slack' AND id <= :last_job
 GROUP BY function HAVING count(*) > 1 ORDER BY function DESC;
