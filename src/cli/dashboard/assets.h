/*
 * assets.h
 *		Files that are compiled in: style sheet, script, icon.
 */
#ifndef DASHBOARD_ASSETS_H
#define DASHBOARD_ASSETS_H

#include "core/base.h"

typedef struct Asset
{
	const char *path;
	const char *type;
	const void *data;
	size_t		size;
	const char *version;		/* changes with the data */
} Asset;

extern const Asset *asset_find(const char *path);
extern const char *asset_version(const char *path);

#endif							/* DASHBOARD_ASSETS_H */
