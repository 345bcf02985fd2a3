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

/* one argument: a key and a column, an expression or a constant */
typedef struct PcapiMapping
{
	char	   *key;
	PcapiMappingTarget target;
	int			attnum;			/* of a column, else 0 */
	char	   *query;			/* of an expression, else NULL */
	SPIPlanPtr	plan;			/* of the query; NULL: not prepared yet */
	PcapiRowUse row_use;		/* what the plan reads of the row */
	Datum		constant;
	bool		guarded;		/* can raise an error: evaluated in a subtransaction */
	PcapiColumnUse use;			/* the form that the key takes */
	Oid			value_type;
	PcapiColumnType type;		/* of value_type */
} PcapiMapping;

/* why an argument can't be used; may quote CREATE TRIGGER, never a row */
typedef struct PcapiMappingFault
{
	const char *key;			/* or "argument N" */
	const char *what;			/* a sentence */
	const char *hint;
} PcapiMappingFault;

typedef struct PcapiTriggerMap
{
	MemoryContext context;		/* of the map, its plans included */
	char	   *event_name;		/* empty when there is none */
	List	   *faults;			/* of PcapiMappingFault *; an expression's are
								 * found when it is prepared */
	int			in_use;			/* number of firings that use it */
	uint64		generation;		/* of the names that expressions were prepared with */
	Oid			role;			/* that prepared them */
	bool		has_expressions;
	bool		has_guarded;
	int			nmappings;
	PcapiMapping mappings[FLEXIBLE_ARRAY_MEMBER];
} PcapiTriggerMap;

#define PCAPI_RIGHTS_HINT \
	"Grant the role that writes to the table what the expression reads and calls."

/* how a trigger with track_trigger is written */
#define PCAPI_TRIGGER_HINT \
	"Write CREATE TRIGGER ... AFTER INSERT ON ... FOR EACH ROW EXECUTE FUNCTION pinterest_capi.track_trigger(...)."

/* the reason that events of triggers of another kind get */
#define PCAPI_MISPLACED	"not a row-level AFTER trigger"

/* Read a trigger's arguments, into a child of the current memory context. */
extern PcapiTriggerMap *pcapi_read_trigger(const Trigger *trigger, Relation rel);

/* Prepare an expression and keep it; inside SPI.  Raises the parser's errors. */
extern void pcapi_prepare_mapping(PcapiMapping *m, Relation rel);

/* Return a hint for an error of pcapi_prepare_mapping. */
extern const char *pcapi_hint_of_expression(const ErrorData *error);

#endif							/* PCAPI_MAPPING_H */
