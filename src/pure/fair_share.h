/*
 * fair_share.h
 *		How much one role may take of what all roles share.  Pure: no server in it.
 */
#ifndef FAIR_SHARE_H
#define FAIR_SHARE_H

/*
 * Returns how many units more a role may take that holds "held" of the "used" ones.
 * It never holds more than it leaves free; one that holds none may take the last.
 *
 * So one role alone gets half of all, the next half of the rest, and so on: with
 * 2^n units, a role that comes late finds one even if n roles take all they can
 * and give nothing back.
 */
extern int	fair_share(int capacity, int used, int held);

#endif							/* FAIR_SHARE_H */
