/*
 * citus.h
 *		Whether the database is a node of Citus, and which: base/citus.c.
 */
#ifndef DEFER_CITUS_H
#define DEFER_CITUS_H

/* The server has Citus: without it nothing below is called, and this is all that it costs */
extern bool citus_loaded;
extern void citus_init(void);	/* in _PG_init */

/*
 * Both in a transaction; from a cache.  Check whether the database has Citus; return the
 * number of this node: 0 for the coordinator, and where there is no Citus.
 */
extern bool citus_here(void);
extern int32 citus_node(void);

/* Check whether rows of a table are on several nodes, or on another one; not for copies on all */
extern bool citus_distributes(Oid table);

/* Numbers of jobs of a node: node * this + the number that the sequence gives */
#define CITUS_NODE_IDS	INT64CONST(100000000000000)

/* Of a job, the node that has issued its id */
static inline int32
citus_node_of_job(int64 id)
{
	return (int32) (id / CITUS_NODE_IDS);
}

/*
 * Have the present transaction commit on all nodes that it writes on, or on none, also if
 * that is one only.  False: this version of Citus does not let us.
 */
extern bool citus_commit_in_two_phases(void);

/* What Citus calls its sessions on other nodes begins so */
#define CITUS_INTERNAL_SESSION	"citus_internal gpid="

#endif							/* DEFER_CITUS_H */
