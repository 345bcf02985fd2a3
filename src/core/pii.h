/*
 * pii.h
 *	  Free text that looks like personal data, which must not leave.
 */
#ifndef PCAPI_PII_H
#define PCAPI_PII_H

#include <stddef.h>

/*
 * What a free text looks like that must not leave: "an e-mail address", "a
 * phone number", "a payment card number", "a social security number", "an
 * IBAN"; NULL when nothing was found.
 */
extern const char *pcapi_pii_find(const char *text, size_t len);

/* the same in what is meant to be an id, where a long number is no card's */
extern const char *pcapi_pii_find_in_id(const char *id, size_t len);

#endif							/* PCAPI_PII_H */
