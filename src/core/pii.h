/*
 * pii.h
 *	  Find personal data in free text, which must not be sent.
 */
#ifndef PCAPI_PII_H
#define PCAPI_PII_H

#include <stddef.h>

/*
 * Return the personal data that a free text looks like: "an e-mail address", "a
 * phone number", "a payment card number", "a social security number", "an
 * IBAN"; NULL if it looks like none.
 */
extern const char *pcapi_pii_find(const char *text, size_t len);

/* The same for an id, in which a long number is not taken for a card's. */
extern const char *pcapi_pii_find_in_id(const char *id, size_t len);

#endif							/* PCAPI_PII_H */
