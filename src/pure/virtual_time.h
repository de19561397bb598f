/*
 * virtual_time.h
 *		Start-time fair queueing: who is served next, by the service that each has had.
 *		Pure: no server in it.
 *
 * The time here is virtual: service (microseconds of a worker) over weight.  An account
 * has a tag, its finish: it is what it was served up to.  The account with the smallest
 * tag is served next, and virtual time is where the last service has begun.
 */
#ifndef VIRTUAL_TIME_H
#define VIRTUAL_TIME_H

typedef struct VirtualAccount
{
	double		finish;			/* it is served when this is the smallest */
	double		floor;			/* virtual time when it came last: no
								 * correction goes below this */
} VirtualAccount;

/*
 * The account comes, or comes back: it gets nothing for the time when it had nothing to
 * do, and keeps its debt.
 */
static inline void
virtual_come(VirtualAccount *account, double virtual_time)
{
	account->floor = virtual_time;
	if (account->finish < virtual_time)
		account->finish = virtual_time;
}

/* Begin a service, with what it is expected to cost; virtual time goes on to its begin */
static inline void
virtual_begin(VirtualAccount *account, double cost, double *virtual_time)
{
	if (*virtual_time < account->finish)
		*virtual_time = account->finish;
	account->finish += cost;
}

/* What was charged for a service is something else now */
static inline void
virtual_correct(VirtualAccount *account, double charged, double cost)
{
	account->finish += cost - charged;
	if (account->finish < account->floor)
		account->finish = account->floor;
}

#endif							/* VIRTUAL_TIME_H */
