/*
 * catalog.h
 *		The extension's own objects.
 */
#ifndef DEFER_CATALOG_H
#define DEFER_CATALOG_H

typedef enum CatalogObject
{
	CAT_JOB,
	CAT_JOB_PKEY,
	CAT_JOB_CLAIM_IDX,
	CAT_JOB_KEY_IDX,
	CAT_JOB_SCHEDULE_IDX,
	CAT_JOB_HELD_IDX,
	CAT_JOB_ORDER_IDX,
	CAT_JOB_ID_SEQ,
	CAT_KEY_HOLD,
	CAT_KEY_HOLD_PKEY,
	CAT_KEY_HOLD_UNTIL_IDX,
	CAT_DEPENDENCY,
	CAT_DEPENDENCY_AWAITS_IDX,
	CAT_DEPENDENCY_OPEN_IDX,
	CAT_DEPENDENCY_PKEY,
	CAT_STEP,
	CAT_STEP_PKEY,
	CAT_EVENT,
	CAT_EVENT_PKEY,
	CAT_EVENT_KEY_IDX,
	CAT_SIGNAL,
	CAT_SIGNAL_PKEY,
	CAT_SIGNAL_KEY_IDX,
	CAT_FAN_OUT,
	CAT_FAN_OUT_PKEY,
	CAT_FAN_OUT_DELTA,
	CAT_CLAIM,
	CAT_CLAIM_PKEY,
	CAT_CLAIM_ID_SEQ,
	CAT_HISTORY,
	CAT_HISTORY_DEFAULT,
	CAT_ATTEMPT_DEFAULT,
	CAT_LOG_DEFAULT,
	CAT_FUNCTION,
	CAT_QUEUE,
	CAT_ENDPOINT,
	CAT_TASK,
	CAT_SCHEDULE,
	CAT_INSTALLATION,
	CAT_ORIGIN,
	CAT_FAILURE,
	CAT_ROLLUP_NEW,
	CAT_ALERT,
	CAT_ALERT_EVENT,
	CAT_ALERT_FAILING,
	CAT_SCHEDULE_RESULT,
	CAT_GROUP_HOLD,
	CAT_N
} CatalogObject;

extern bool catalog_installed(void);	/* true if this database has the
										 * extension */
extern Oid	catalog_owner(void);	/* owner of the extension */
extern Oid	catalog_oid(CatalogObject which);	/* cached; error if missing */
extern bool catalog_is_active(void);	/* false in a restored or copied
										 * database */
extern bool catalog_database_is_template(Oid database);

#endif							/* DEFER_CATALOG_H */
