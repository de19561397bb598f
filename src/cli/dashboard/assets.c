/*
 * assets.c
 *		Files that are compiled in: style sheet, script, icon.
 */
#include "dashboard/assets.h"

#include <string.h>

#include "dashboard/dashboard_assets.h"

/* The icon with a dot of its own */
#define ICON(dot) \
	"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"8\" fill=\"#3f5bd9\"/>" \
	"<path d=\"M9 8h6a8 8 0 0 1 0 16H9z\" fill=\"none\" stroke=\"#fff\" stroke-width=\"3\"/>" \
	dot "</svg>\n"

static const char icon[] = ICON("<circle cx=\"25\" cy=\"24\" r=\"3\" fill=\"#8ee6b8\"/>");
static const char attention[] = ICON("<circle cx=\"24\" cy=\"23\" r=\"7\" fill=\"#e5484d\" stroke=\"#fff\" stroke-width=\"2\"/>");

static const Asset assets[] = {
	{"/dashboard.css", "text/css; charset=utf-8", dashboard_css, sizeof(dashboard_css), dashboard_css_version},
	{"/dashboard.js", "text/javascript; charset=utf-8", dashboard_js, sizeof(dashboard_js), dashboard_js_version},
	{"/icon.svg", "image/svg+xml", icon, sizeof(icon) - 1, ""},
	{"/alarm.svg", "image/svg+xml", attention, sizeof(attention) - 1, ""},
};

/* Return the asset of a path; NULL: there is none */
const Asset *
asset_find(const char *path)
{
	for (size_t i = 0; i < lengthof(assets); i++)
	{
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	}
	return NULL;
}

/* Return what the address of an asset ends with, so that browsers see changes */
const char *
asset_version(const char *path)
{
	const Asset *asset = asset_find(path);

	return asset != NULL ? asset->version : "";
}
