/*
 * form.h
 *		Fields of forms that change settings: dashboard/form.c.
 */
#ifndef DASHBOARD_FORM_H
#define DASHBOARD_FORM_H

#include "dashboard/page.h"

typedef enum FormKind
{
	FORM_TEXT,
	FORM_NUMBER,
	FORM_CHOICE,				/* one of the words of hint, with commas
								 * between them; the empty word is the default */
	FORM_LINES,					/* text of several lines */
	FORM_TIME,					/* in the zone of the page */
	FORM_CHECK
} FormKind;

typedef struct FormField
{
	const char *name;			/* also of the column that has the value */
	const char *label;
	FormKind	kind;
	const char *hint;			/* an example, or the choices */
	bool		required;
} FormField;

/* Append a field; form: what ids of its fields begin with; values NULL: it is empty */
extern void form_field(Page *page, const char *form, const FormField *field,
					   const PGresult *values);

/* Append fields; one without a name ends them */
extern void form_fields(Page *page, const char *form, const FormField *fields,
						const PGresult *values);

/* The same in a form that only asks, and has what the address asks for */
extern void form_fields_of_address(Page *page, const char *form, const FormField *fields);

#endif							/* DASHBOARD_FORM_H */
