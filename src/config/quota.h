/*
 * quota.h
 *		How many rows of one kind a role may have.
 */
#ifndef DEFER_QUOTA_H
#define DEFER_QUOTA_H

/*
 * Raise an error if the role has as many rows of defer.<table> as
 * defer.max_objects_per_role allows; "plural" says what they are, in a message.
 * Superusers may have any number.  Called before a row is inserted: sessions of
 * one role that do so at the same time may each add one more.
 */
extern void quota_check(const char *table, const char *plural, Oid owner);

#endif							/* DEFER_QUOTA_H */
