/*
 * zone_names.h
 *		Zones that the tests run in: those with something awkward about them.
 */
#ifndef ZONE_NAMES_H
#define ZONE_NAMES_H

static const char *const zone_names[] = {
	"America/New_York",			/* an hour at 2 */
	"Europe/London",			/* an hour at 1 UTC; double summer time */
	"Europe/Dublin",			/* winter time is the "daylight saving" */
	"Australia/Lord_Howe",		/* half an hour */
	"America/Sao_Paulo",		/* gap at midnight, until 2019 */
	"Africa/Cairo",				/* gap at midnight on Friday, since 2023 */
	"Asia/Beirut",				/* gap at midnight */
	"America/Havana",			/* gap at midnight, overlap 1 to 0 */
	"Asia/Tehran",				/* until 2022 */
	"Pacific/Apia",				/* no 30 December 2011 */
	"Pacific/Kwajalein",		/* no 21 August 1993 */
	"Asia/Manila",				/* a day twice, and one left out */
	"Africa/Casablanca",		/* twice a year around Ramadan */
	"Asia/Gaza",				/* changes its rules each year */
	"America/St_Johns",			/* -3:30, once two hours */
	"Pacific/Chatham",			/* +12:45 */
	"America/Nuuk",				/* on Saturday evening */
	"America/Santiago",			/* southern, gap at midnight */
	"Asia/Pyongyang",			/* half an hour, for good */
	"America/Caracas",			/* the same, twice */
	"Antarctica/Troll",			/* two hours */
	"Africa/Monrovia",			/* 44 minutes and 30 seconds */
	"Asia/Kolkata",				/* no changes now */
	"Etc/GMT-14",				/* no changes ever */
	"UTC",
};

static const int n_zone_names = sizeof(zone_names) / sizeof(zone_names[0]);

#endif							/* ZONE_NAMES_H */
