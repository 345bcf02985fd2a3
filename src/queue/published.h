/*
 * published.h
 *	  Tell whether this database is published, so that another server sends its events.
 */
#ifndef PCAPI_PUBLISHED_H
#define PCAPI_PUBLISHED_H

#include "pinterest_capi.h"

#define PCAPI_PUBLICATION	"pinterest_capi"

/* Return whether another server sends what is queued here.  Needs a transaction. */
extern bool pcapi_published(void);

#endif							/* PCAPI_PUBLISHED_H */
