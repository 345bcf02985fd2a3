/*
 * forget.h
 *	  Erase a person.
 */
#ifndef PCAPI_FORGET_H
#define PCAPI_FORGET_H

#include "pinterest_capi.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/*
 * Erase the visitor of that digest, which may be NULL, and those whom user_data
 * identifies.  Return the number of rows emptied or deleted; -1: nobody is named.
 */
extern int64 pcapi_forget(unsigned char *visitor, Jsonb *user_data, bool hashed, List **warnings);

#endif							/* PCAPI_FORGET_H */
