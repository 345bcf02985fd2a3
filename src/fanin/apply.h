/*
 * apply.h
 *	  Rows of other servers: who brings them, and whether they may be taken.
 */
#ifndef PCAPI_APPLY_H
#define PCAPI_APPLY_H

#include "commands/trigger.h"

/* Does the apply worker of a subscription to a publisher of ours run this? */
extern bool pcapi_is_from_publisher(void);

/* Raise an error in a copy of a dispatcher, before anything is confirmed. */
extern void pcapi_check_not_a_copy(void);

/* Return a column of the trigger's row, by its name; the second as text, NULL if it is null. */
extern Datum pcapi_row_field(TriggerData *trigger, const char *name, bool *isnull);
extern char *pcapi_row_text(TriggerData *trigger, const char *name);

#endif							/* PCAPI_APPLY_H */
