/*
 * published.c
 *	  Tell whether this database is published, so that another server sends its events.
 */
#include "pinterest_capi.h"

#include "catalog/pg_publication.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "fmgr.h"
#include "queue/published.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* These are two look-ups in the catalog cache, which follows CREATE and DROP PUBLICATION. */
bool
pcapi_published(void)
{
	Oid			publication = get_publication_oid(PCAPI_PUBLICATION, true);

	return OidIsValid(publication) &&
		SearchSysCacheExists2(PUBLICATIONRELMAP, ObjectIdGetDatum(pcapi_table(PCAPI_TABLE_EVENT)),
							  ObjectIdGetDatum(publication));
}
