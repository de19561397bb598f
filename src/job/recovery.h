/*
 * recovery.h
 *		Claims of processes that are gone.
 */
#ifndef DEFER_RECOVERY_H
#define DEFER_RECOVERY_H

#include "postgres.h"

/*
 * Finalize the claims that no live process has, in transactions of our own;
 * after_crash: those of before the server was started.  True: some could not be
 * finalized yet.
 */
extern bool recover_claims(bool after_crash);

/* Check whether a live process of this database shows the claim in its slot */
extern bool claim_is_live(int64 id);

#endif							/* DEFER_RECOVERY_H */
