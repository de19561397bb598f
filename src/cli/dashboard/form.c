/*
 * form.c
 *		Fields of forms that change settings.
 *
 * A field has the value of the column of its name.  An action that fails leads back to an
 * address with what was typed, and a token, without which a link of another person could
 * fill in what is then saved.
 */
#include "dashboard/form.h"

#include <stdlib.h>
#include <string.h>

#include "dashboard/html.h"

/* Append the options of a choice */
static void
choices(Buffer *out, const char *words, const char *value)
{
	for (;;)
	{
		size_t		len = strcspn(words, ",");
		bool		chosen = strlen(value) == len && strncmp(words, value, len) == 0;
		char	   *word = xprintf("%.*s", (int) len, words);

		html_add(out, "<option value=\"%s\"%s>%s</option>", word, chosen ? " selected" : "",
				 len > 0 ? word : "default");
		free(word);
		if (words[len] == '\0')
			break;
		words += len + 1;
	}
}

/* Append a field with its label; form: what ids of its fields begin with */
static void
append_field(Page *page, const char *form, const FormField *field, const char *value)
{
	Buffer	   *out = page->out;

	if (value == NULL)
		value = "";
	if (field->kind == FORM_CHECK)
	{
		html_add(out, "<div class=\"wide\"><label class=\"check\"><input type=\"checkbox\" name=\"%s\" value=\"true\"%s> %s</label></div>\n",
				 field->name, strcmp(value, "t") == 0 || strcmp(value, "true") == 0 ? " checked" : "",
				 field->label);
		return;
	}
	html_add(out, "<div class=%s><label for=\"%s-%s\">%s</label>", field->kind == FORM_LINES ? "wide" : "field",
			 form, field->name, field->label);
	if (field->kind == FORM_CHOICE)
	{
		html_add(out, "<select id=\"%s-%s\" name=\"%s\">", form, field->name, field->name);
		choices(out, field->hint, value);
		buffer_add(out, "</select></div>\n");
		return;
	}
	if (field->kind == FORM_LINES)
	{
		/* the first line break of a text area is not a part of it */
		html_add(out, "<textarea id=\"%s-%s\" name=\"%s\" rows=\"3\" spellcheck=\"false\" placeholder=\"%s\"%s>\n",
				 form, field->name, field->name, field->hint, field->required ? " required" : "");
		html_field(out, value);
		buffer_add(out, "</textarea></div>\n");
		return;
	}
	html_add(out, "<input id=\"%s-%s\" name=\"%s\" value=\"", form, field->name, field->name);
	html_field(out, value);
	html_add(out, "\" placeholder=\"%s\" spellcheck=\"false\" autocomplete=\"off\"%s",
			 field->hint, field->required ? " required" : "");
	if (field->kind == FORM_NUMBER)
		buffer_add(out, " inputmode=\"numeric\"");
	if (field->kind == FORM_TIME)
		html_add(out, " title=\"a time in %s\"", page->zone);
	buffer_add(out, "></div>\n");
}

/* Check whether the last action has led here with what was typed */
static bool
is_refilled(const Page *page)
{
	const char *token = request_query(page->request, "typed");

	return token != NULL && page->session->typed[0] != '\0' &&
		secret_equal(page->session->typed, token);
}

void
form_field(Page *page, const char *form, const FormField *field, const PGresult *values)
{
	const char *value = is_refilled(page) ? request_query(page->request, field->name) : NULL;

	if (value == NULL && values != NULL)
		value = result_value(values, 0, field->name);
	append_field(page, form, field, value);
}

void
form_fields(Page *page, const char *form, const FormField *fields, const PGresult *values)
{
	for (; fields->name != NULL; fields++)
		form_field(page, form, fields, values);
}

void
form_fields_of_address(Page *page, const char *form, const FormField *fields)
{
	for (; fields->name != NULL; fields++)
		append_field(page, form, fields, request_query(page->request, fields->name));
}
