/*
 * guc_delivery.h
 *		The settings of deliveries in postgresql.conf: base/guc.c defines them.
 */
#ifndef DEFER_GUC_DELIVERY_H
#define DEFER_GUC_DELIVERY_H

/* Most deliveries that a database has under way at a time: maximum of defer.max_deliveries */
#define TRANSFERS_MAX	2048

extern int	defer_max_deliveries;
extern char *defer_smtp_url;
extern char *defer_smtp_password_file;
extern char *defer_smtp_from;
extern char *defer_http_allow;
extern char *defer_http_ca_file;

#endif							/* DEFER_GUC_DELIVERY_H */
