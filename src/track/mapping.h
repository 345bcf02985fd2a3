/*
 * mapping.h
 *	  Read the arguments of a track_trigger trigger.
 */
#ifndef PCAPI_MAPPING_H
#define PCAPI_MAPPING_H

#include "pinterest_capi.h"

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "track/column_type.h"
#include "track/row_argument.h"
#include "utils/relcache.h"
#include "utils/reltrigger.h"

typedef enum PcapiMappingTarget
{
	PCAPI_TO_PROPERTIES,
	PCAPI_TO_USER_DATA,
	PCAPI_TO_VISITOR_ID,
	PCAPI_TO_EVENT_ID,
	PCAPI_TO_EVENT_TIME,
	PCAPI_TO_ACTION_SOURCE,
	PCAPI_TO_DESTINATION,
	PCAPI_TO_CONSENT
} PcapiMappingTarget;

/* one argument: of a column, an expression, or a constant */
typedef struct PcapiMapping
{
	char	   *key;
	PcapiMappingTarget target;
	int			attnum;			/* of a column, else 0 */
	char	   *query;			/* of an expression, else NULL */
	SPIPlanPtr	plan;			/* of the query; NULL: not prepared yet */
	PcapiRowUse row_use;		/* what the plan reads of the row */
	Datum		constant;
	bool		guarded;		/* can raise an error: only in a subtransaction */
	PcapiColumnUse use;			/* what the key takes */
	Oid			value_type;		/* the type that the next field is about */
	PcapiColumnType type;
} PcapiMapping;

/* why an argument can't be used; quotes what stands in CREATE TRIGGER, no row */
typedef struct PcapiMappingFault
{
	const char *key;			/* or "argument N" */
	const char *what;			/* a sentence */
	const char *hint;
} PcapiMappingFault;

typedef struct PcapiTriggerMap
{
	MemoryContext context;		/* everything, plans included, goes with it */
	char	   *event_name;		/* empty when there is none */
	List	   *faults;			/* of PcapiMappingFault *; those of
								 * expressions show when they are prepared */
	int			in_use;			/* firings */
	uint64		generation;		/* of what expressions were prepared against */
	Oid			role;			/* as whom they were prepared */
	bool		has_expressions;
	bool		has_guarded;
	int			nmappings;
	PcapiMapping mappings[FLEXIBLE_ARRAY_MEMBER];
} PcapiTriggerMap;

#define PCAPI_RIGHTS_HINT \
	"Grant the role that writes to the table what the expression reads and calls."

/* where and how track_trigger is to be used */
#define PCAPI_TRIGGER_HINT \
	"Write CREATE TRIGGER ... AFTER INSERT ON ... FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger(...)."

/* the reason of events of other triggers */
#define PCAPI_MISPLACED	"not a row-level AFTER trigger"

/* Read a trigger's arguments, into a child of the current memory context. */
extern PcapiTriggerMap *pcapi_read_trigger(const Trigger *trigger, Relation rel);

/* Prepare an expression and keep it; inside SPI.  Raises what the parser does. */
extern void pcapi_prepare_mapping(PcapiMapping *m, Relation rel);

/* What to do about an error of the latter. */
extern const char *pcapi_hint_of_expression(const ErrorData *error);

#endif							/* PCAPI_MAPPING_H */
