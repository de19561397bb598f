SELECT count(*) AS jobs, max(finished_at) - min(started_at) AS "from first to last",
       round(count(*) / extract(epoch FROM max(finished_at) - min(started_at))) AS "jobs/s"
  FROM defer.jobs
 WHERE function LIKE '%compute_product_recommendation%' AND attempt = 1;
