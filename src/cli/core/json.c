/*
 * json.c
 *		JSON for programs: UTF-8, always valid, whatever is in the values.
 */
#include "core/cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Types of columns, from PostgreSQL's catalog/pg_type.dat; they never change */
#define BOOLOID			16
#define INT8OID			20
#define INT2OID			21
#define INT4OID			23
#define OIDOID			26
#define JSONOID			114
#define FLOAT4OID		700
#define FLOAT8OID		701
#define TIMESTAMPTZOID	1184
#define NUMERICOID		1700
#define JSONBOID		3802

/* Also what need not be escaped in JSON: a terminal may read this, too */
static void
json_escape(Buffer *out, uint32_t code)
{
	if (code >= 0x10000)
		buffer_printf(out, "\\u%04x\\u%04x", (unsigned) (0xd7c0 + (code >> 10)),
					  (unsigned) (0xdc00 + (code & 0x3ff)));
	else
		buffer_printf(out, "\\u%04x", (unsigned) code);
}

/* Append a string with its quotes; what is not valid becomes U+FFFD */
void
json_text(Buffer *out, const char *value)
{
	size_t		left = strlen(value);

	buffer_char(out, '"');
	while (left > 0)
	{
		uint32_t	code;
		size_t		len = utf8_length(value, left, &code);

		if (len == 0)
		{
			buffer_add(out, "\\ufffd");
			len = 1;
		}
		else if (code == '"' || code == '\\')
			buffer_printf(out, "\\%c", (char) code);
		else if (code == '\n')
			buffer_add(out, "\\n");
		else if (text_is_dangerous(code))
			json_escape(out, code);
		else
			buffer_add_len(out, value, len);
		value += len;
		left -= len;
	}
	buffer_char(out, '"');
}

/* What must stand before the next value or key */
static void
separate(Json *json)
{
	if (json->depth == 0)
		return;
	if (json->comma[json->depth])
		buffer_add(&json->out, json->lines && json->depth <= 2 ? ",\n" : ", ");
	json->comma[json->depth] = true;
}

void
json_open(Json *json, char bracket)
{
	separate(json);
	buffer_char(&json->out, bracket);
	if (json->depth + 1 < (int) lengthof(json->comma))
		json->depth++;
	json->comma[json->depth] = false;
}

void
json_close(Json *json, char bracket)
{
	buffer_char(&json->out, bracket);
	json->depth--;
}

/* The value must follow */
void
json_key(Json *json, const char *key)
{
	separate(json);
	json_text(&json->out, key);
	buffer_add(&json->out, ": ");
	json->comma[json->depth] = false;
}

/* NULL is null */
void
json_string(Json *json, const char *value)
{
	separate(json);
	if (value == NULL)
		buffer_add(&json->out, "null");
	else
		json_text(&json->out, value);
}

/* Something that is JSON; NULL is null */
void
json_raw(Json *json, const char *value)
{
	separate(json);
	buffer_add(&json->out, value == NULL ? "null" : value);
}

void
json_bool(Json *json, bool value)
{
	json_raw(json, value ? "true" : "false");
}

void
json_int(Json *json, int64_t value)
{
	separate(json);
	buffer_printf(&json->out, "%lld", (long long) value);
}

void
json_key_string(Json *json, const char *key, const char *value)
{
	json_key(json, key);
	json_string(json, value);
}

/*
 * jsonb as the server wrote it is JSON, but may hold bytes that are not UTF-8
 * (in a database without an encoding) and characters that a terminal obeys.
 * Outside of strings it has none of them.
 */
static void
json_from_server(Buffer *out, const char *value)
{
	size_t		left = strlen(value);

	while (left > 0)
	{
		uint32_t	code;
		size_t		len = utf8_length(value, left, &code);

		if (len == 0)
		{
			buffer_add(out, "\\ufffd");
			len = 1;
		}
		else if (code == '\n' || code == '\t' || code == '\r')
			buffer_char(out, ' ');	/* json, not jsonb: between values */
		else if (text_is_dangerous(code))
			json_escape(out, code);
		else
			buffer_add_len(out, value, len);
		value += len;
		left -= len;
	}
}

/* One value of a result, as its type wants it */
void
json_value(Json *json, const PGresult *res, int row, int column)
{
	const char *value = PQgetvalue(res, row, column);

	separate(json);
	if (PQgetisnull(res, row, column))
	{
		buffer_add(&json->out, "null");
		return;
	}
	switch (PQftype(res, column))
	{
		case BOOLOID:
			buffer_add(&json->out, value[0] == 't' ? "true" : "false");
			break;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
			buffer_add(&json->out, value);
			break;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			/* there is no NaN and no Infinity in JSON */
			if (isdigit((unsigned char) value[0]) ||
				(value[0] == '-' && isdigit((unsigned char) value[1])))
				buffer_add(&json->out, value);
			else
				json_text(&json->out, value);
			break;
		case JSONOID:
		case JSONBOID:
			json_from_server(&json->out, value);
			break;
		case TIMESTAMPTZOID:
			buffer_char(&json->out, '"');
			format_iso(&json->out, value);
			buffer_char(&json->out, '"');
			break;
		default:
			json_text(&json->out, value);
	}
}

/* The columns of a row, within an object that is open */
void
json_members(Json *json, const PGresult *res, int row)
{
	for (int i = 0; i < PQnfields(res); i++)
	{
		json_key(json, PQfname(res, i));
		json_value(json, res, row, i);
	}
}

void
json_row(Json *json, const PGresult *res, int row)
{
	json_open(json, '{');
	json_members(json, res, row);
	json_close(json, '}');
}

/* The same without one of its columns */
void
json_row_but(Json *json, const PGresult *res, int row, const char *but)
{
	json_open(json, '{');
	for (int i = 0; i < PQnfields(res); i++)
	{
		if (strcmp(PQfname(res, i), but) == 0)
			continue;
		json_key(json, PQfname(res, i));
		json_value(json, res, row, i);
	}
	json_close(json, '}');
}

void
json_rows(Json *json, const PGresult *res)
{
	json_open(json, '[');
	for (int row = 0; row < PQntuples(res); row++)
		json_row(json, res, row);
	json_close(json, ']');
}

void
json_print(Json *json)
{
	fputs(json->out.data, stdout);
	putchar('\n');
	buffer_free(&json->out);
}
