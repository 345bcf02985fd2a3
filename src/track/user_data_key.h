/*
 * user_data_key.h
 *	  The keys of user_data: names, form, where each is stored and looked up.
 */
#ifndef PCAPI_USER_DATA_KEY_H
#define PCAPI_USER_DATA_KEY_H

#include "pinterest_capi.h"

#include "core/normalize.h"

/*
 * Numbers of the keys.  The hashed ones come first and have the numbers of
 * core's PcapiKind; those named here are sent as text.
 */
typedef enum PcapiUserDataKey
{
	PCAPI_CLIENT_IP = PCAPI_KINDS,
	PCAPI_CLIENT_USER_AGENT,
	PCAPI_CLICK_ID,
	PCAPI_PARTNER_ID,
	PCAPI_CUSTOMER_TYPE
} PcapiUserDataKey;

#define PCAPI_USER_DATA_KEYS	(PCAPI_CUSTOMER_TYPE + 1)
#define PCAPI_KEY_BIT(key)		((uint32) 1 << (key))

/* where a visitor's value is in the table _visitor */
typedef enum PcapiKeyStorage
{
	PCAPI_IN_USER_DATA,			/* the column user_data */
	PCAPI_IN_CLICK_ID,			/* the column click_id, in a row of its own (visitor.c) */
	PCAPI_NOT_STORED			/* tells of the event, not of the visitor */
} PcapiKeyStorage;

typedef struct PcapiUserDataField
{
	const char *name;			/* the API's key; the same in _visitor.user_data */
	const char *aliases[2];		/* other names that callers may use */

	/*
	 * Check a text without blanks around it and set *out to what is sent.
	 * Returns NULL, or a static text that says what is wrong or was changed.
	 * NULL for a hashed key: core/normalize.h has its form.
	 */
	const char *(*parse) (char **out, const char *s, size_t len);
	PcapiKeyStorage storage;
	bool		identifies;		/* Pinterest and forget() can find a person by it alone */
	const char *setting;		/* column of destination that lets it be sent;
								 * NULL: it always may */
} PcapiUserDataField;

extern const PcapiUserDataField pcapi_user_data_fields[PCAPI_USER_DATA_KEYS];

/* Return the key of this name or alias, or -1.  *name gets the name in the table's memory. */
extern int	pcapi_user_data_key(const char *s, size_t len, const char **name);

/* Return the names of the keys that identify, as a phrase. */
extern char *pcapi_identifying_keys(void);

/* Set *click_id, or return what is wrong with it. */
extern const char *pcapi_parse_click_id(char **click_id, const char *s, size_t len);

#endif							/* PCAPI_USER_DATA_KEY_H */
