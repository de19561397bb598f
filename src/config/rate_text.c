/*
 * rate_text.c
 *		Rates as settings have them: see rate_text.h.
 */
#include "postgres.h"

#include "config/rate_text.h"

int64
rate_interval_of_text(const char *setting, const char *value)
{
	char		problem[128];
	int64_t		interval;

	if (!rate_parse(value, &interval, problem, sizeof(problem)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\"", setting, value),
				 errdetail_internal("%s", problem),
				 errhint("Give a number and a time, as in '100/minute', '5/10 s' or '1/2 hours', or 'none'.")));
	return interval;
}

Rate
rate_of_values(const char *value, int32 burst)
{
	Rate		rate = {0, burst};

	if (value != NULL)
		rate.interval = rate_interval_of_text("rate", value);
	return rate;
}
