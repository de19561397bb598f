/*
 * call_hint.h
 *		Hints for calls of defer's functions that the server finds no function for.
 */
#ifndef DEFER_CALL_HINT_H
#define DEFER_CALL_HINT_H

/* Called once, by _PG_init */
extern void call_hint_init(void);

#endif							/* DEFER_CALL_HINT_H */
