/*
 * server_facts.h
 *		How defer stands on this server and in this database: report/views.c.
 */
#ifndef SERVER_FACTS_H
#define SERVER_FACTS_H

#include "postgres.h"

typedef struct ServerFacts
{
	bool		launcher;		/* these run */
	bool		scheduler;
	bool		no_slots;		/* no background worker is free for a worker */
	bool		refused;		/* workers of a role could not connect */
	int			workers;		/* that count against defer.max_workers */
} ServerFacts;

/* Read them out of shared memory; none of them where defer is not loaded */
extern void server_facts(ServerFacts *facts);

/* Check that the database is no copy that waits for defer.activate(); reads tables */
extern bool server_database_is_active(void);

#endif							/* SERVER_FACTS_H */
